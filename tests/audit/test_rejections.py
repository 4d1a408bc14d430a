"""Refused input that is only counted: by source while there are few, and whoever is named stays so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from policylayer.audit import rejections
from policylayer.audit.rejections import NAMED, OTHERS, Rejections
from tests.support.hand_clock import HandClock

pytestmark = pytest.mark.anyio


async def test_who_is_named_stays_so_and_every_count_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "EACH", 0)
    written: list[tuple[str, Mapping[str, Any]]] = []

    async def write(type: str, who: str | None, detail: Mapping[str, Any]) -> None:
        written.append((type, detail))

    counting = Rejections(HandClock(), write)
    for _ in range(2):
        for number in range(NAMED + 10):
            for reason in ("bad_json", "bad_id"):
                await counting.add("rejected", f"agent:{number}", {"reason": reason})
        await counting.flush()
    await counting.close()
    assert [type for type, _ in written] == ["rejected.many"] * 2
    for _, detail in written:
        counts = {(each["source"], each["reason"]): each["count"] for each in detail["counts"]}
        named = {(f"agent:{number}", reason): 1 for number in range(NAMED) for reason in ("bad_json", "bad_id")}
        assert counts == {**named, (OTHERS, "bad_json"): 10, (OTHERS, "bad_id"): 10}
        assert detail["total"] == sum(counts.values())


async def test_a_source_that_was_named_is_counted_on_after_all_names_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rejections, "EACH", 0)
    written: list[Mapping[str, Any]] = []

    async def write(type: str, who: str | None, detail: Mapping[str, Any]) -> None:
        written.append(detail)

    counting = Rejections(HandClock(), write)
    for number in [*range(NAMED + 1), 0, 0]:
        await counting.add("rejected", None, {"reason": "bad_json", "ip": f"10.0.0.{number}"})
    await counting.close()
    counts = {each["source"]: each["count"] for each in written[0]["counts"]}
    assert (counts["10.0.0.0"], counts["10.0.0.1"], counts[OTHERS]) == (3, 1, 1)
