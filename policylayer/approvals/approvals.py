"""Approvals for the rest of the program: what the data path, the API and the decision log's writer call.

Assembles the modules beside it over one `Store`. `open_or_join`, `consume`, `redeem` and the cancelling functions run
inside someone else's transaction; everything else opens its own. Must not know MCP, HTTP, or who may see an approval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection

from policylayer.approvals import demand, ending, listing, opening, rows, voters, voting, waiver_rows, waivers
from policylayer.approvals.binding import open_arguments
from policylayer.approvals.deadlines import Deadlines
from policylayer.approvals.opening import Opening
from policylayer.approvals.rows import Desk, Row
from policylayer.approvals.view import Shown, view
from policylayer.approvals.voters import Directory
from policylayer.approvals.voting import Ballot, Moment
from policylayer.approvals.waiting import Waiting
from policylayer.approvals.waiver_rows import Wish
from policylayer.approvals.waivers import Similar
from policylayer.clock import Clock
from policylayer.core.approval import State
from policylayer.core.call import Call, Caller
from policylayer.core.commands import Found, Round, Waited, Waived
from policylayer.core.decision import Charge, HoldRule
from policylayer.core.errors import UNKNOWN, ApprovalError
from policylayer.identity.person import Person
from policylayer.keys import Keys
from policylayer.store.rows import Row as LogRow
from policylayer.store.soon import read_soon
from policylayer.store.store import Add, Store
from policylayer.tasks import beat, keep_on, spawn

SWEEP: Final = 1.0
"""Seconds between looks for approvals whose time is over."""

SELDOM: Final = 10
"""Every so many of these looks where none is open, as far as is known."""

T = TypeVar("T")

EXPIRES: Final = 3600
"""Seconds that an approval lasts where neither its rules nor the configuration say."""

MakeEvent = Callable[[str, str, Mapping[str, Any]], LogRow]
"""Makes an event's row: its type, who did it, what there is to say."""

ENDED: Final[dict[State, Literal["approved", "denied", "expired", "pending"]]] = {
    State.PENDING: "pending",
    State.APPROVED: "approved",
    # An identical call was quicker: this one tries too, is told so, and waits on a new approval.
    State.CONSUMED: "approved",
    State.DENIED: "denied",
    State.EXPIRED: "expired",
}
"""What a waiting call is told; of one that was cancelled, by what (`ending.cause`)."""


class Approvals:
    """All approvals of one database."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        clock: Clock,
        directory: Callable[[], Directory],
        make_event: MakeEvent,
        expires: int = EXPIRES,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._directory = directory
        self._make_event = make_event
        self._expires = expires
        self._deadlines = Deadlines(clock)
        self._lasting = Deadlines(clock)
        self._waiting = Waiting(store, clock, self._deadlines.now_us)
        self._still = 0
        self._sweeper: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Listen for changes, and see to it that what is over expires."""
        self._unsubscribe = self._store.subscribe("approvals", self._changed)
        for approval_id, expires_us in await self._store.read(listing.live):
            self._deadlines.note(approval_id, expires_us)
        for waiver in await self._store.read(partial(waiver_rows.standing, now_us=self._clock.time_us())):
            self._lasts(waiver)
        self._sweeper = spawn(keep_on(self._tick, "approvals cannot be swept"), "approvals-sweep")

    async def close(self) -> None:
        """Stop listening. Nobody's approval ends by it."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._waiting.close()

    # --- inside the transaction that writes a row of the decision log -------------------------------------------------

    def open_or_join(self, conn: Connection, add: Add, held: Opening) -> str:
        """The approval that a held call waits on: the live one of identical calls, or a new one."""
        now = self._clock.time_us()
        approval_id, expires_us = opening.open_or_join(conn, self._desk(add), held, now, self._expires)
        self._deadlines.note(approval_id, expires_us)
        return approval_id

    def consume(self, conn: Connection, add: Add, approval_id: str, record_id: str | None = None) -> bool:
        """Use an approved approval up; False where it cannot be used (any more)."""
        now = self._deadlines.now_us(approval_id)
        return opening.use_up(conn, self._desk(add), approval_id, record_id, now)

    def redeem(self, conn: Connection, round: Round, record_id: str) -> bool:
        """Use a round up; False where that was done before."""
        return opening.redeem(conn, round, record_id, self._clock.time_us())

    def cancel_for_grant(self, conn: Connection, add: Add, grant_id: str, actor: str) -> int:
        """End the live approvals of a grant that is revoked; how many."""
        return ending.for_grant(conn, self._desk(add), grant_id, actor, self._clock.time_us())

    def cancel_for_freeze(self, conn: Connection, add: Add, scope: str, name: str | None, actor: str) -> int:
        """End the live approvals that a freeze (`all`, `principal`, `server`) concerns; how many."""
        return ending.for_freeze(conn, self._desk(add), scope, name, actor, self._clock.time_us())

    # --- the data path ------------------------------------------------------------------------------------------------

    async def seek(self, caller: Caller, call: Call) -> Found | None:
        """What is known of exactly this call."""
        ask = partial(opening.seek, keys=self._keys, caller=caller, call=call, now_us=self._clock.time_us())
        return await read_soon(self._store, ask)

    async def wait(self, approval_id: str, deadline: float) -> Waited:
        """Wait until the approval is settled, or until the monotonic deadline. Being cancelled ends only the wait."""
        row = await self._waiting.settled(approval_id, deadline)
        if row is None:
            return Waited("pending", approval_id)
        state = rows.state_at(row, self._deadlines.now_us(approval_id))
        if state is State.APPROVED and open_arguments(self._keys, row) is None:
            await self._record(partial(ending.tampered, approval_id=approval_id, now_us=self._clock.time_us()))
            return Waited("cancelled", approval_id)
        if state is State.CANCELLED:
            why = ending.cause(row)
            # Only what a person wrote is for the agent to read.
            return Waited(why, approval_id, note=row["note"] if why == "withdrawn" else None)
        return Waited(ENDED[state], approval_id, rows.satisfied_by(row), row["note"])

    def waiters(self, approval_id: str) -> int:
        """How many calls wait for it in this process."""
        return self._waiting.count(approval_id)

    async def waived(
        self, caller: Caller, call: Call, holds: Sequence[HoldRule], charges: Sequence[Charge] = ()
    ) -> tuple[Waived, ...]:
        """The waivers that satisfy rules which hold this call, each of which it uses once.

        `charges` are those of the same decision: a rule with a limit that asks for approval is never waived.
        """
        limited = demand.limits_that_hold(charges)
        holds = [hold for hold in holds if hold.ref.name not in limited]
        now, may = self._clock.time_us(), partial(voters.may_vote, self._directory(), self._clock.now())
        ask = partial(waivers.covering, keys=self._keys, caller=caller, call=call, holds=holds, may=may, now_us=now)
        found = await read_soon(self._store, ask)
        covered = {rule: lasting for rule, them in found.items() if (lasting := [*filter(self._lasts, them)])}
        if not covered:
            return ()
        return await self._store.write(partial(waivers.spend, covered=covered, now_us=now))

    # --- people -------------------------------------------------------------------------------------------------------

    async def vote(
        self,
        approval_id: str,
        person: Person,
        decision: Literal["approve", "deny"],
        note: str | None = None,
        similar: Similar | None = None,
    ) -> dict[str, Any]:
        """Cast a vote; the approval as it is then. ApprovalError says why it does not count."""
        ballot = Ballot(approval_id, person, decision, note, similar)
        at = Moment(self._deadlines.now_us(approval_id), self._clock.now(), self._directory())
        return self._seen(await self._record(partial(_then_show, at.now_us, voting.cast, ballot=ballot, at=at)))

    async def withdraw(self, approval_id: str, person: Person, note: str | None = None) -> dict[str, Any]:
        """End a live approval; for operators and admins."""
        now = self._deadlines.now_us(approval_id)
        wish = partial(ending.withdraw, approval_id=approval_id, person=person, note=note, now_us=now)
        return self._seen(await self._record(partial(_then_show, now, wish)))

    async def withdraw_own(self, approval_id: str, caller: Caller) -> bool:
        """End a live approval for the agent whose call it is; False where it has none such."""
        now = self._deadlines.now_us(approval_id)
        return await self._record(partial(ending.withdraw_own, approval_id=approval_id, caller=caller, now_us=now))

    async def get(self, approval_id: str) -> dict[str, Any]:
        """One approval. ApprovalError `not_found`."""
        now = self._clock.time_us()
        return self._seen(await self._store.read(partial(listing.one, approval_id=approval_id, now_us=now)))

    async def list(
        self, state: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        """Approvals, newest first, and the cursor of the next page. `state` as of now, swept or not."""
        now = self._clock.time_us()
        ask = partial(listing.page, state=state, limit=limit, cursor=cursor, now_us=now)
        found, following = await self._store.read(ask)
        return [self._view(each) for each in found], following

    async def waivers(self, limit: int = 100, cursor: str | None = None) -> tuple[Sequence[dict[str, Any]], str | None]:
        """The waivers that still cover something, the one that ends first at the front; and the next page's cursor."""
        now = self._clock.time_us()
        found, following = await self._store.read(partial(waiver_rows.page, limit=limit, cursor=cursor, now_us=now))
        return [waiver_rows.view(row) for row in found if self._lasts(row)], following

    async def revoke_waiver(self, waiver_id: str, person: Person) -> dict[str, Any]:
        """End a waiver; the waiver as it is then. ApprovalError says why it cannot be, or why this person may not."""
        wish = Wish(waiver_id, person, self._directory(), self._clock.now(), self._clock.time_us())
        ended = await self._record(partial(waiver_rows.revoke, wish=wish))
        if isinstance(ended, ApprovalError):
            raise ended
        return waiver_rows.view(ended)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Expire what is over; how many."""
        passed = self._deadlines.passed()
        now, self._still = self._clock.time_us(), 1
        live, over = await self._store.read(partial(rows.standing, now_us=now))
        if live:
            self._still = 0
        if not passed and not over:
            return 0
        ended = await self._record(partial(ending.sweep, now_us=now, passed=passed))
        for approval_id in passed:
            self._deadlines.forget(approval_id)
        return ended

    def _changed(self) -> None:
        self._still = 0
        self._waiting.changed()

    async def _tick(self) -> None:
        await beat(SWEEP)
        # Where none was open at the last look and none has changed since, an occasional look is enough.
        self._still += 1
        if 1 < self._still < SELDOM:
            return
        try:
            await self.sweep()
        except Exception:
            self._still = 0
            raise

    async def _record(self, fn: Callable[[Connection, Desk], T]) -> T:
        """Run `fn(conn, desk)` in a transaction of its own, then tell who waits."""
        return await self._store.record(lambda conn, add: fn(conn, self._desk(add)), topics=("approvals",))

    def _desk(self, add: Add) -> Desk:
        def on_event(type: str, actor: str, detail: dict[str, Any]) -> None:
            add(self._make_event(type, actor, detail))

        return Desk(self._keys, on_event, self._clock.new_id)

    def _lasts(self, waiver: Row) -> bool:
        """Whether a waiver is in time, also where the wall clock was set back since it was first seen here."""
        expires_us: int = waiver["expires_us"]
        self._lasting.note(waiver["id"], expires_us)
        return self._lasting.now_us(waiver["id"]) < expires_us

    def _seen(self, found: Shown | ApprovalError | None) -> dict[str, Any]:
        if found is None:
            raise ApprovalError("not_found", "there is no such approval", UNKNOWN)
        if isinstance(found, ApprovalError):
            raise found
        return self._view(found)

    def _view(self, shown: Shown) -> dict[str, Any]:
        approval_id = shown.row["id"]
        shown = replace(shown, waivers=[*filter(self._lasts, shown.waivers)])
        return view(self._keys, shown, self._waiting.count(approval_id), self._deadlines.now_us(approval_id))


def _then_show(
    now_us: int, act: Callable[..., Row | ApprovalError], conn: Connection, desk: Desk, **values: Any
) -> Shown | ApprovalError:
    """What an act left behind, with all that is shown of it, read in the same transaction."""
    row = act(conn, desk, **values)
    return row if isinstance(row, ApprovalError) else listing.shown(conn, [row], now_us)[0]
