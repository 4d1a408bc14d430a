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
    assert instructions.per_call() <= kept * (1 + instructions.TOLERANCE)
