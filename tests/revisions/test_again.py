"""What could not be judged, through no fault of its content: shown, and tried again, ever more seldom, until it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from policylayer.policies import Policies
from policylayer.revisions import again
from policylayer.revisions.judging import Finding
from policylayer.revisions.keeper import PolicyRefused
from tests.revisions.made import ALLOW, DENY, HereJudge, Told, keeper, replace, write
from tests.revisions.test_keeper import effect, kept, until

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.10")]


class Failing(HereJudge):
    """Judges, but for as long as `failures` lasts not: the machine cannot start a process."""

    failures = 0
    asked = 0

    async def ask(self, *arguments: Any) -> Finding:
        """As said."""
        type(self).asked += 1
        if type(self).failures > 0:
            type(self).failures -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await super().ask(*arguments)


@pytest.fixture
def failing() -> type[Failing]:
    return type("FailingHere", (Failing,), {"failures": 0, "asked": 0})


async def test_a_passing_failure_is_shown_and_the_revision_is_tried_again(
    tmp_path: Path, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "FIRST", 0.2)
    told = Told()
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path, told, judge=failing) as revisions:
        failing.failures = 2
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: revisions.pending)
        assert effect(revisions) == "allow", "the last good one stays"
        status, part = Policies(revisions).status(), Policies(revisions).part()
        (refused,) = status["refused"]
        assert "resource temporarily unavailable" in refused["diagnostics"][0]["message"]
        assert "tried again by itself" in refused["diagnostics"][0]["help"]
        assert part.detail["refused"] == refused["revision"] != revisions.current.revision
        await until(lambda: effect(revisions) == "deny")
        assert revisions.pending is None
        assert [type_ for type_, _ in told.events] == ["policy_activated", "policy_refused", "policy_activated"]


async def test_what_stays_broken_is_tried_ever_more_seldom_and_told_once(
    tmp_path: Path, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "FIRST", 0.4)
    told = Told()
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path, told, judge=failing) as revisions:
        failing.failures = 1000
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: failing.asked >= 3)  # the first revision, the second, and that once more
        at = failing.asked
        await asyncio.sleep(0.6)
        assert failing.asked == at, "it waits longer each time"
        assert len(told.events) == 2
        replace(tmp_path / "shop.yaml", DENY + "# mended\n")
        failing.failures = 0
        await until(lambda: effect(revisions) == "deny")  # a change does not wait


async def test_what_is_refused_by_its_content_is_not_judged_again(
    tmp_path: Path, failing: type[Failing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "FIRST", 0.1)
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path, judge=failing) as revisions:
        replace(tmp_path / "shop.yaml", "policy: [")
        await until(lambda: revisions.pending)
        at = failing.asked
        await asyncio.sleep(1.2)
        assert failing.asked == at


async def test_a_judge_that_cannot_even_be_started_refuses_the_start_in_words(tmp_path: Path) -> None:
    def none() -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with pytest.raises(PolicyRefused, match="could not be judged: resource temporarily unavailable"):
        await keeper(write(tmp_path, {"shop.yaml": ALLOW}), judge=none).start()


async def test_a_source_that_cannot_be_looked_at_is_shown_and_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "FIRST", 0.2)
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        source = revisions._source
        state, failures = source.state, [OSError(24, "Too many open files")] * 2

        def look() -> object:
            if failures:
                raise failures.pop()
            return state()

        monkeypatch.setattr(source, "state", look)
        await until(lambda: revisions.pending)
        await until(lambda: revisions.pending is None)
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: effect(revisions) == "deny")


def test_waits_grow_to_a_limit_and_begin_anew_after_a_judgement() -> None:
    now = [0.0]
    trying = again.Again(lambda: now[0])
    assert not trying.due
    waits = []
    for _ in range(12):
        trying.failed()
        assert trying.waiting
        began = now[0]
        while not trying.due:
            now[0] += 1.0
        waits.append(now[0] - began)
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == again.LONGEST
    trying.judged()
    assert (trying.due, trying.waiting) == (False, False)
