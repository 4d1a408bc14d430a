"""What an engine must answer before it is trusted with a policy set: expressions whose wrong answer would be silent.

Evaluated as one more unit whenever a set is opened. Must not know the set.
"""

from __future__ import annotations

from typing import Final

FILE: Final = "policylayer/selftest.rego"

TEXT: Final = """package policylayer

decision := [
	1 == 1.0,
	{x | some x in [1, 1, 2]} == {2, 1},
	count({x | some x in []}) == 0,
	9007199254740993 != 9007199254740992,
	startswith("delete_all", "delete_"),
	net.cidr_contains("10.0.0.0/8", "10.1.2.3"),
	regex.match(`^c-[0-9]+$`, "c-17"),
	glob.match("docs/*", ["/"], "docs/a"),
	object.get(input, "missing", 7) == 7,
	absent,
	every_holds,
	total == 6,
]

absent if not input.missing

every_holds if {
	every x in [1, 2] { x > 0 }
}

total := sum([x | some x in [1, 2, 3]])
"""

ANSWERS: Final = [True] * 12
