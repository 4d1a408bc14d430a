"""A call costs no more instructions than the committed figure allows."""

from __future__ import annotations

import json

import pytest

from benchmarks import instructions


@pytest.mark.slow
@pytest.mark.shows("speed.2")
def test_a_call_costs_no_more_instructions_than_it_did() -> None:
    """Counted, not timed: the same on a busy machine. Where it rises for a good reason: `--write`, and say so."""
    if (why := instructions.missing()) is not None:
        pytest.skip(why)
    kept = json.loads(instructions.FIGURES.read_text()).get(instructions.python())
    if kept is None:
        pytest.skip(f"no figure for {instructions.python()}")
    counted = instructions.per_call()
    assert not instructions.too_many(counted, kept), f"{counted:,} instructions a call; committed: {kept:,}"


@pytest.mark.shows("speed.2")
def test_a_fifth_more_is_allowed_and_no_more_than_that() -> None:
    assert not instructions.too_many(2_380_000, 2_000_000)
    assert not instructions.too_many(2_400_000, 2_000_000)
    assert instructions.too_many(2_420_000, 2_000_000)
    assert instructions.TOLERANCE == 0.20


@pytest.mark.shows("speed.2")
def test_the_program_fails_where_it_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What continuous integration sees of it."""
    name, figure = next(iter(json.loads(instructions.FIGURES.read_text()).items()))
    monkeypatch.setattr(instructions, "missing", lambda: None)
    monkeypatch.setattr(instructions, "python", lambda: name)
    monkeypatch.setattr(instructions, "per_call", lambda without="": int(figure * 1.19))
    assert instructions.main([]) == 0
    monkeypatch.setattr(instructions, "per_call", lambda without="": int(figure * 1.21))
    assert instructions.main([]) == 1
