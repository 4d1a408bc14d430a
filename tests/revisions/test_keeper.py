"""The active set: whole revisions only, and the last good one for as long as nothing better comes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from policylayer.clock import Clock
from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Decision
from policylayer.core.errors import PolicyError
from policylayer.policy.known import Known
from policylayer.revisions.keeper import KEPT, PolicyRefused, Revisions
from tests.revisions.made import ALLOW, DENY, TEST, Told, commit, git, keeper, replace, repository, write

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.10")]


def decide(revisions: Revisions) -> Decision:
    """What the active set says of a search."""
    call = Call("shop", "tools/call", "search", {}, b"", b"", "2025-11-25")
    question = Question(call, Subject("agent:bot"), ServerFacts("shop"), Clock().now())
    return revisions.current.decide(question)


def effect(revisions: Revisions) -> str:
    """Its effect."""
    return str(decide(revisions).effect)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that the keeper does by itself."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def kept(source: str | Path, told: Told | None = None, **options: Any) -> Any:
    """A started keeper."""
    revisions = keeper(source, told, **options)
    await revisions.start()
    try:
        yield revisions
    finally:
        await revisions.close()


async def test_the_first_revision_becomes_active(tmp_path: Path) -> None:
    told = Told()
    async with kept(write(tmp_path, {"shop.yaml": ALLOW}), told) as revisions:
        assert effect(revisions) == "allow"
        assert revisions.activated_us > 0
        assert (list(revisions.refused), revisions.pending, revisions.commit) == ([], None, None)
    ((type_, detail),) = told.events
    assert type_ == "policy_activated"
    assert detail["added"] == ["shop.yaml"]
    assert detail["revision"] == revisions.current.revision


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "files", [{}, {"shop.yaml": "x"}, {"shop.yaml": ""}, {"shop.yaml": ALLOW, "b.yml": "x"}, {"a_test.yaml": TEST}]
)
async def test_without_a_first_good_revision_there_is_no_start(tmp_path: Path, files: dict[str, str]) -> None:
    revisions = keeper(write(tmp_path, files))
    with pytest.raises(PolicyRefused) as refused:
        await revisions.start()
    assert isinstance(refused.value, PolicyError)
    assert refused.value.diagnostics
    assert refused.value.rendered.count("error[PL") >= 1
    with pytest.raises(RuntimeError):
        _ = revisions.current


async def test_no_folder_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="no folder"):
        await keeper(tmp_path / "missing").start()


@pytest.mark.shows("proxy.9")
async def test_all_problems_are_told_at_the_start(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": "policy: 5\n", "b.yaml": "policy: b\nrulse: []\n"})
    with pytest.raises(PolicyRefused) as refused:
        await keeper(tmp_path).start()
    assert {finding.file for finding in refused.value.diagnostics} == {"a.yaml", "b.yaml"}
    assert "b.yaml:2:1: error[PL103]: unknown key `rulse`" in refused.value.rendered


async def test_a_change_becomes_active_by_itself(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: effect(revisions) == "deny")
        write(tmp_path, {"shop.yaml": ALLOW})
        await until(lambda: effect(revisions) == "allow")


BROKEN = {
    "half-written": DENY[:70],
    "not yaml": "policy: [",
    "emptied": "",
    "unknown key": DENY.replace("effect:", "efect:"),
    "bad pattern": DENY.replace("reason: why", 'when: {args.x: {matches: "("}}'),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_change_is_refused_and_the_last_good_one_stays(tmp_path: Path, name: str) -> None:
    told = Told()
    write(tmp_path, {"shop.yaml": ALLOW})
    with capture_logs() as said:
        await _broken(tmp_path, told, name)
    assert [each["log_level"] for each in said if each["event"] == "policy refused"] == ["warning"]


async def _broken(tmp_path: Path, told: Told, name: str) -> None:
    async with kept(tmp_path, told) as revisions:
        good = revisions.current
        replace(tmp_path / "shop.yaml", BROKEN[name])
        await until(lambda: revisions.refused)
        assert revisions.current is good
        (refused,) = revisions.refused
        assert refused is revisions.pending
        assert refused.revision not in ("", good.revision)
        assert any(finding.file == "shop.yaml" and finding.is_error for finding in refused.diagnostics)
        assert "shop.yaml:" in refused.rendered
        assert [type_ for type_, _ in told.events] == ["policy_activated", "policy_refused"]
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: effect(revisions) == "deny")
        assert revisions.pending is None
        assert list(revisions.refused) == [refused]


async def test_a_revision_whose_tests_fail_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW, "shop_test.yaml": TEST})
    async with kept(tmp_path) as revisions:
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: revisions.refused)
        assert effect(revisions) == "allow"
        assert "PL190" in [finding.code for finding in revisions.refused[0].diagnostics]
        (tmp_path / "shop_test.yaml").unlink()
        await until(lambda: effect(revisions) == "deny")


@pytest.mark.shows("policy.5")
async def test_load_11_however_many_fail_nothing_is_allowed_by_it(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": DENY})
    async with kept(tmp_path) as revisions:
        good = revisions.current
        for number in range(KEPT + 5):
            replace(tmp_path / "shop.yaml", ALLOW + f"wrong{number}: x\n")
            assert await revisions.reload() is not None
            assert revisions.current is good
        assert len(revisions.refused) == KEPT
        assert f"wrong{KEPT + 4}" in revisions.refused[-1].rendered


@pytest.mark.shows("policy.5")
async def test_load_12_a_deleted_folder_leaves_the_last_good_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "policies", {"shop.yaml": ALLOW})
    async with kept(folder) as revisions:
        (folder / "shop.yaml").unlink()
        await until(lambda: revisions.refused)
        assert [finding.code for finding in revisions.refused[-1].diagnostics] == ["PL132"]
        shutil.rmtree(folder)
        await until(lambda: len(revisions.refused) > 1)
        assert [finding.code for finding in revisions.refused[-1].diagnostics] == ["PL192"]
        assert effect(revisions) == "allow"
        write(folder, {"shop.yaml": DENY})
        await until(lambda: effect(revisions) == "deny")


async def test_a_folder_that_is_closed_meanwhile_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = os.stat

    def look(path: Any, **how: Any) -> os.stat_result:
        if str(path) == f"{tmp_path}/.git":
            raise PermissionError(13, "Permission denied")
        return looked_at(path, **how)

    async with kept(write(tmp_path, {"shop.yaml": ALLOW})) as revisions:
        with capture_logs() as logs, monkeypatch.context() as closing:
            closing.setattr(os, "stat", look)
            await until(lambda: revisions.refused)
        assert effect(revisions) == "allow"
        assert f"`{tmp_path}` cannot be looked into" in revisions.refused[-1].diagnostics[0].message
        assert not any("exc_info" in each for each in logs), "it is no failure of ours"
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: effect(revisions) == "deny")


async def test_removed_added_and_changed_files_are_announced(tmp_path: Path) -> None:
    told = Told()
    other = DENY.replace("policy: shop", "policy: other")
    write(tmp_path, {"a.yaml": ALLOW, "b.yaml": other, "c_test.yaml": TEST.replace("allow}", "deny}")})
    async with kept(tmp_path, told) as revisions:
        (tmp_path / "b.yaml").rename(tmp_path / "d.yaml")
        replace(tmp_path / "a.yaml", ALLOW + "# changed\n")
        await revisions.reload()
    _, detail = told.events[-1]
    assert (detail["removed"], detail["added"], detail["changed"]) == (["b.yaml"], ["d.yaml"], ["a.yaml"])
    assert detail["tests"] == 1


async def test_nothing_is_activated_while_git_is_at_work(tmp_path: Path) -> None:
    repository(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        lock = tmp_path / ".git" / "index.lock"
        lock.touch()
        replace(tmp_path / "shop.yaml", DENY)
        reloading = asyncio.ensure_future(revisions.reload())
        done, _ = await asyncio.wait([reloading], timeout=0.5)
        assert not done
        assert effect(revisions) == "allow"
        lock.unlink()
        assert await reloading is None
        assert effect(revisions) == "deny"


async def test_the_commit_is_known_where_there_is_one(tmp_path: Path) -> None:
    first = repository(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        assert revisions.commit == first
        replace(tmp_path / "shop.yaml", DENY)
        await revisions.reload()
        assert revisions.commit is None


async def test_a_branch_becomes_active_by_commits_only(tmp_path: Path) -> None:
    first = repository(tmp_path, {"shop.yaml": ALLOW})
    async with kept(f"git:{tmp_path}@main") as revisions:
        assert revisions.commit == first
        replace(tmp_path / "shop.yaml", DENY)
        assert await revisions.reload() is None
        assert effect(revisions) == "allow"
        second = commit(tmp_path)
        await until(lambda: revisions.commit == second)
        assert effect(revisions) == "deny"
        git(tmp_path, "branch", "-m", "main", "gone")
        await until(lambda: revisions.pending)
        assert effect(revisions) == "deny"


async def test_a_swapped_link_is_one_whole_folder_or_the_other(tmp_path: Path) -> None:
    write(tmp_path, {"one/shop.yaml": ALLOW, "two/shop.yaml": DENY})
    (tmp_path / "now").symlink_to("one")
    async with kept(tmp_path / "now") as revisions:
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "now")
        await until(lambda: effect(revisions) == "deny")


@pytest.mark.shows("policy.5")
async def test_load_09_every_decision_is_by_one_whole_good_revision(tmp_path: Path) -> None:
    """Two folders whose files belong together; a mixture of them would neither load nor pass its tests."""
    for name, text in (("one", ALLOW), ("two", DENY)):
        test = TEST if name == "one" else TEST.replace("allow}", "deny}")
        write(tmp_path / name, {"shop.yaml": text, "shop_test.yaml": test})
    (tmp_path / "now").symlink_to("one")
    by_revision: dict[str, str] = {}
    async with kept(tmp_path / "now") as revisions:
        swapping = True

        async def swap() -> None:
            for number in range(1000):
                with suppress(FileExistsError):
                    (tmp_path / "next").symlink_to("two" if number % 2 else "one")
                os.replace(tmp_path / "next", tmp_path / "now")
                if number % 25 == 0:
                    await revisions.reload()
                await asyncio.sleep(0)

        work = asyncio.ensure_future(swap())
        while swapping:
            decision = decide(revisions)
            assert by_revision.setdefault(decision.revision, str(decision.effect)) == str(decision.effect)
            swapping = not work.done()
            await asyncio.sleep(0)
        await work
        await revisions.reload()
        assert effect(revisions) == "deny"
        assert sorted(by_revision.values()) == ["allow", "deny"]
        assert list(revisions.refused) == []


async def test_reload_reads_again_and_says_how_it_stands(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        assert await revisions.reload() is None
        replace(tmp_path / "shop.yaml", "policy: [")
        refused = await revisions.reload()
        assert refused is not None
        assert refused.diagnostics[0].code == "PL101"
        again = await revisions.reload()
        assert again is not None
        assert len(revisions.refused) == 1, "one state is refused once"
        assert await revisions.reload(wait=False) is None


async def test_who_subscribed_is_told_each_new_set_and_cannot_stop_it(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW})
    sets: list[object] = []

    def fail(_: object) -> None:
        raise ValueError("x")

    async def fail_later(type_: str, detail: object) -> None:
        raise ValueError("x")

    revisions = Revisions(str(tmp_path), keeper(tmp_path)._clock, fail_later, judge=keeper(tmp_path)._judge)
    revisions.subscribe(fail)
    revisions.subscribe(sets.append)
    await revisions.start()
    await revisions.close()
    assert sets == [revisions.current]


async def test_a_changed_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW})
    async with kept(tmp_path) as revisions:
        (tmp_path / "more.yaml").symlink_to("/dev/zero")
        await until(lambda: revisions.refused)
        assert effect(revisions) == "allow"
        assert [finding.code for finding in revisions.refused[0].diagnostics] == ["PL135"]


async def test_the_whole_way_with_a_process_of_its_own_and_the_real_clock(tmp_path: Path) -> None:
    write(tmp_path, {"shop.yaml": ALLOW, "shop_test.yaml": TEST})
    revisions = Revisions(str(tmp_path), Clock(), known=Known(servers=frozenset({"shop"})))
    await revisions.start()
    try:
        replace(tmp_path / "shop.yaml", DENY)
        await until(lambda: revisions.refused)
        replace(tmp_path / "shop_test.yaml", TEST.replace("allow}", "deny}"))
        await until(lambda: effect(revisions) == "deny")
    finally:
        await revisions.close()
