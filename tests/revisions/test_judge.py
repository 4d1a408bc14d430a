"""The process that judges: its answer, its end, and its limits."""

from __future__ import annotations

import pytest

from policylayer.policy.known import Known
from policylayer.revisions.judge import Judge, judges
from policylayer.revisions.process import Process
from policylayer.revisions.snapshot import Snapshot
from tests.revisions.made import ALLOW, DENY, TEST

pytestmark = pytest.mark.anyio


def files(**texts: str) -> Snapshot:
    """A snapshot of these files."""
    return Snapshot({f"{name}.yaml": text.encode() for name, text in texts.items()})


async def test_a_good_revision_comes_back_as_policies() -> None:
    finding = await Judge().ask(files(shop=ALLOW, shop_test=TEST))
    assert finding.policies is not None
    assert [policy.name for policy in finding.policies] == ["shop"]
    assert finding.tests == 1


@pytest.mark.shows("proxy.10")
async def test_a_revision_whose_tests_fail_is_refused() -> None:
    finding = await Judge().ask(files(shop=DENY, shop_test=TEST))
    assert finding.policies is None
    (failed,) = (each for each in finding.diagnostics if each.is_error)
    assert (failed.code, failed.file, failed.line) == ("PL190", "shop_test.yaml", 5)
    assert "searching is allowed" in failed.message


async def test_what_is_known_is_asked() -> None:
    text = ALLOW.replace('servers: ["*"]', "servers: [shpo]")
    finding = await Judge().ask(files(shop=text), Known(servers=frozenset({"shop"})))
    assert [each.code for each in finding.diagnostics] == ["PL148"]
    assert finding.policies is not None


async def test_a_process_that_takes_too_long_is_killed() -> None:
    judge = Judge(seconds=0.001)
    finding = await judge.ask(files(shop=ALLOW))
    assert [each.code for each in finding.diagnostics] == ["PL191"]
    assert finding.policies is None


async def test_a_process_that_dies_refuses() -> None:
    finding = await Judge(process=Process("policylayer.revisions.nothing")).ask(files(shop=ALLOW))
    assert [each.code for each in finding.diagnostics] == ["PL191"]


async def test_a_judge_that_is_not_asked_is_ended() -> None:
    judge = Judge()
    judge.close()
    judge.close()


async def test_a_process_that_is_warm_already_is_asked_first() -> None:
    with Process("policylayer.revisions.nothing") as first:
        make = judges(first)
        assert (await make().ask(files(shop=ALLOW))).policies is None
        assert (await make().ask(files(shop=ALLOW))).policies is not None
