"""How a decision is shown on a line."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.cli.audit import _target


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ({"target": "refund", "method": "tools/call", "detail": {}}, "refund"),
        ({"target": None, "method": "roots/list", "detail": {}}, "roots/list"),
        ({"target": "call", "detail": {"inner": [{"target": "refund"}]}, "method": ""}, "call (refund)"),
        (
            {"target": "batch", "detail": {"inner": [{"target": name} for name in "abcd"]}, "method": ""},
            "batch (a, b, c, …)",
        ),
    ],
)
def test_what_a_meta_tool_was_to_call_stands_beside_it(found: dict[str, Any], shown: str) -> None:
    assert _target(found) == shown
