"""A set that was replaced: calls under way end by it, and what comes later is denied, not decided without its Rego."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from policylayer.core.decision import Effect
from policylayer.policies import Policies
from policylayer.policy.load import load
from policylayer.revisions.active import Active
from policylayer.revisions.opened import opened
from tests.rego.test_embedded import question

pytest.importorskip("regorus", reason="the extra `rego` is not installed")
pytestmark = pytest.mark.anyio

YAML = b"""policy: shop
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: all, tools: ["*"], effect: allow}
"""
REGO = b"""package policylayer

decision := {"effect": "deny", "rule": "no", "reason": "No."}
"""


@asynccontextmanager
async def active() -> AsyncIterator[Active]:
    files = {"shop.yaml": YAML, "a.rego": REGO}
    async with opened(load(files), files) as made:
        yield made


async def test_what_is_retired_never_decides_without_its_rego() -> None:
    async with active() as one:
        before = await one.decide(question())
        assert (before.effect, before.reason_code) == (Effect.DENY, "rule")
        one.retire()
        # The engine ends beside; until it has, it may still say what it said.
        for _ in range(100):
            after = await one.decide(question())
            assert after.effect is Effect.DENY
            if after.reason_code == "engine_error":
                break
            await asyncio.sleep(0.05)
        for _ in range(3):
            after = await one.decide(question())
            assert (after.effect, after.reason_code) == (Effect.DENY, "engine_error")
            assert await one.listed(question())  # only a deny that was said hides
            told = await one.explain(question())
            assert told.explanation.decision.reason_code == "engine_error"


async def test_a_decision_under_way_ends_by_the_set_that_it_began_with() -> None:
    async with active() as one:
        under_way = [asyncio.ensure_future(one.decide(question())) for _ in range(20)]
        await asyncio.sleep(0)
        one.retire()
        assert {(await each).reason_code for each in under_way} == {"rule"}


async def test_a_decision_that_was_asked_for_before_a_change_is_by_the_set_after_it() -> None:
    async with active() as one, active() as two:
        revisions: Any = type("Revisions", (), {"at_work": one})()
        asked = Policies(revisions).decide(question())
        revisions.at_work = two
        one.retire()
        assert (await asked).reason_code == "rule"
