"""What must happen in the transaction of a row, done by others: approvals and limits.

The recorder calls these and knows no more of them; `app.py` puts them in. Each is a plain function over the connection
of the transaction; rows that it adds are part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection

from policylayer.core.call import Call, Caller
from policylayer.core.commands import Round
from policylayer.core.decision import Charge, Decision
from policylayer.core.immutable import immutable
from policylayer.store.store import Add, Topic


@immutable
class Held:
    """A held call that needs an approval.

    `record_id` is the row that holds it, `carried` the hold rules that earlier approvals satisfied, `arguments` what
    the log keeps of them, as JSON; `round` the number of a later round; `exceeds` the limits that it would exceed now.
    """

    caller: Caller
    call: Call
    decision: Decision
    record_id: str
    carried: frozenset[str] = frozenset()
    arguments: str | None = None
    session: str | None = None
    client: str | None = None
    ip: str | None = None
    round: int | None = None
    exceeds: tuple[Charge, ...] = ()


@immutable
class Charging:
    """Limits to charge for the row `record_id`. `approved` are the satisfied rules, and the limits that those who
    approved them were told of: these may go beyond their maximum."""

    decision: Decision
    record_id: str
    approved: frozenset[str] = frozenset()


@immutable
class Charged:
    """Either `over`, the decision that says what is exceeded, or what the row is to say of its charges."""

    over: Decision | None = None
    charges: str | None = None


OpenOrJoin: TypeAlias = Callable[[Connection, Add, Held], str]
Consume: TypeAlias = Callable[[Connection, Add, str, str | None], bool]
Redeem: TypeAlias = Callable[[Connection, Round, str], bool]
Charge_: TypeAlias = Callable[[Connection, Charging], Charged]
Exceeded: TypeAlias = Callable[[Connection, Sequence[Charge]], Sequence[Charge]]
GiveBack: TypeAlias = Callable[[Connection, str], None]


class Labels(Protocol):
    """Labels that rows set. What is to be set (`tainting`, `earn`) is written with the row, and kept once durable."""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Whom to tell of a change."""

    def tainting(self, caller: Caller, decision: Decision) -> Any | None:
        """What a row that forwards sets, or None."""

    def write(self, conn: Connection, marks: Any, row_id: str) -> None:
        """Set it, in the row's transaction."""

    def earn(self, conn: Connection, row_id: str, earned: Mapping[str, int], outcome_id: str) -> Any:
        """Set what the call of a row has earned, in the transaction of its outcome."""

    def keep(self, marks: Any) -> None:
        """What was set is durable."""


def _nothing_to_open(_conn: Connection, _add: Add, _held: Held) -> str:
    raise LookupError("nothing here keeps approvals")


@immutable
class Hooks:
    """The functions. Without them no approval can be opened or used, no round redeemed, and nothing is limited.

    `open_or_join` gives the approval's id. `consume` and `redeem` say whether they did. `charge` charges all of a
    decision's limits or none; `exceeded` gives those that it could not; `give_back` undoes the charges of a row.
    Without `labels` none are set.
    """

    open_or_join: OpenOrJoin = _nothing_to_open
    consume: Consume = lambda _conn, _add, _approval_id, _record_id: False
    redeem: Redeem = lambda _conn, _round, _record_id: False
    charge: Charge_ | None = None
    exceeded: Exceeded = lambda _conn, _charges: ()
    give_back: GiveBack | None = None
    labels: Labels | None = None
