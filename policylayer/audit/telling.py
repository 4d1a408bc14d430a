"""What the log's own events and signed checkpoints tell of chains: heads, and what was pruned, on purpose.

Shared by whoever verifies a log (`verify.py`) and whoever prunes it (`prune.py`), which must not make anything look
right that was not. Plain functions over a SQLAlchemy connection. Must not know how links are made.

An event `log.pruned` tells of every chain up to the id `upto`: the chains in `left` still had rows (or should have),
and begin behind the row named there; all others up to it were rightly removed, whole. So the newest event stands for
all that was ever pruned, and the rows of earlier ones may be pruned too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import Connection, select

from policylayer.store.tables import equals, is_event, records

PRUNED: Final = "log.pruned"
"""The type of the event that prunings leave."""

Heads: TypeAlias = dict[str, tuple[int, str]]
"""Of chains: the number and link of a row."""

Told: TypeAlias = dict[str, dict[int, bytes]]
"""What others say of chains: the links at certain places."""

AT_ODDS: Final = b""
"""Where they do not agree, no link is right."""

WHOLE: Final = (0, "")
"""Where a chain begins that was never pruned."""


@dataclass(slots=True)
class Telling:
    """All that is told. `begins`: the last row that is rightly gone, of chains that were pruned."""

    told: Told = field(default_factory=dict)
    begins: Heads = field(default_factory=dict)
    removals: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    upto: str = ""

    def tell(self, heads: Mapping[str, tuple[int, str]]) -> None:
        """Take in the heads that one witness tells of; all or none of them."""
        for chain, (seq, link) in [(chain, (seq, bytes.fromhex(head))) for chain, (seq, head) in heads.items()]:
            places = self.told.setdefault(chain, {})
            if places.setdefault(seq, link) != link:
                places[seq] = AT_ODDS

    def hear(self, connection: Connection, *types: str) -> None:
        """Take in what the log's events of these types tell."""
        for type in types:
            query = select(records.c.reason_code, records.c.detail).where(is_event(), *equals("reason_code", type))
            self.take_in(connection.execute(query))

    def take_in(self, events: Iterable[Any]) -> None:
        """Take in events, each its type and detail."""
        for type, detail in events:
            try:
                self._event(type, orjson.loads(detail))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # Its row was changed, which the walk finds.

    def latest(self) -> Heads:
        """The last row that is told of, of each chain."""
        return {chain: (last := max(places), places[last].hex()) for chain, places in self.told.items()}

    def was_removed(self, chain: str) -> bool:
        """Whether a pruning removed all of this chain."""
        return any(chain <= upto and chain not in left for upto, left in self.removals)

    def beyond(self, present: Mapping[str, tuple[int, str]]) -> Heads:
        """What is told of rows that are not there: behind the heads that there are, and of chains that are missing."""
        found: Heads = {}
        for chain, head in self.latest().items():
            if head[0] > present[chain][0] if chain in present else not self.was_removed(chain):
                found[chain] = head
        return found

    def _event(self, type: str, content: Any) -> None:
        heads = _heads(content["heads"])
        if type == PRUNED:
            cuts, left, upto = _heads(content["cuts"]), _heads(content["left"]), str(content["upto"])
            # Chains only ever begin later, in whatever order clocks put the events.
            for chain, begin in (*left.items(), *cuts.items()):
                if begin > self.begins.get(chain, WHOLE):
                    self.begins[chain] = begin
            self.removals.append((upto, frozenset(left)))
            self.upto = max(self.upto, upto)
        self.tell(heads)


def _heads(content: Any) -> Heads:
    """Heads as JSON has them; raises where they are none."""
    return {str(chain): (int(seq), bytes.fromhex(head).hex()) for chain, (seq, head) in content.items()}


def merged(several: Iterable[Heads]) -> Heads:
    """The latest of each chain."""
    found: Heads = {}
    for heads in several:
        for chain, head in heads.items():
            found[chain] = max(found.get(chain, WHOLE), head)
    return found
