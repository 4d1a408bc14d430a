"""Who presents a credential: found by prefix, remembered briefly, gone within a second of its revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from structlog.testing import capture_logs

from policylayer.clock import Clock
from policylayer.core.call import Caller
from policylayer.core.errors import AuditUnavailable
from policylayer.identity import grants, known, tokens
from policylayer.identity.authenticator import Authenticator, opens
from policylayer.identity.credential import Sort, mint
from policylayer.identity.person import Person, Role
from policylayer.store import tables
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from tests.identity.conftest import KEYS
from tests.support.hand_clock import HandClock

pytestmark = pytest.mark.anyio

IP = "203.0.113.7"


class Counted:
    """A store that counts reads, and may fail or pause them."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.reads = 0
        self.failing: Exception | None = None
        self.dialect = store.dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, fn: Callable[[Connection], Any]) -> Any:
        self.reads += 1
        if self.failing:
            raise self.failing
        return await self._store.read(fn)


async def make(store: SqliteStore, clock: Clock, name: str = "bot", **more: Any) -> tuple[str, bytes]:
    def create(conn: Connection) -> Any:
        return grants.create(conn, clock, name, f"agent:{name}", ["shop"], **more)

    row, token = await store.write(create, topics=("grants",))
    return row["id"], f"Bearer {token}".encode()


@pytest.mark.shows("proxy.5")
async def test_a_grant_says_who_calls(store: SqliteStore, gate: Authenticator, clock: HandClock) -> None:
    grant_id, header = await make(store, clock)
    caller = await gate.agent(header, IP)
    assert caller is not None
    assert caller.subject.id == "agent:bot"
    assert caller.grant is not None
    assert (caller.grant.id, caller.grant.name, caller.grant.servers) == (grant_id, "bot", frozenset({"shop"}))
    assert caller.on_behalf_of is None


@pytest.mark.shows("proxy.5")
async def test_auth_24_any_other_credential_is_nobodys(
    store: SqliteStore, gate: Authenticator, clock: HandClock
) -> None:
    await make(store, clock)
    for stranger in (
        b"Bearer sk_live_51H8xTheUpstreamsOwnToken",
        f"Bearer {mint(Sort.GRANT).token}".encode(),
        b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZ2VudDpib3QifQ.",
        b"",
    ):
        assert await gate.agent(stranger, IP) is None
    assert await gate.agent(None, IP) is None


@pytest.mark.shows("proxy.5")
async def test_auth_26_a_grant_opens_the_servers_it_names(
    store: SqliteStore, gate: Authenticator, clock: HandClock
) -> None:
    _, header = await make(store, clock)
    caller = await gate.agent(header, IP)
    assert isinstance(caller, Caller)
    assert opens(caller, "shop")
    for other in ("files", "Shop", "shop ", "", "sho"):
        assert not opens(caller, other)


@pytest.mark.shows("proxy.5")
async def test_right_prefix_wrong_secret_is_nobody(store: SqliteStore, gate: Authenticator, clock: HandClock) -> None:
    _, header = await make(store, clock)
    wrong = header[:-1] + (b"A" if header[-1:] != b"A" else b"B")
    assert await gate.agent(wrong, IP) is None
    assert await gate.agent(header, IP) is not None


@pytest.mark.shows("proxy.5")
async def test_auth_01_and_02_a_lookup_is_one_search_by_index(store: SqliteStore, clock: HandClock, path: Path) -> None:
    counted = Counted(store)
    gate = Authenticator(counted, clock)
    for garbage in (b"Bearer x", b"Basic eA==", b"Bearer " + b"A" * 65_536, b"Bearer \x00", "Bearer é".encode()):
        assert await gate.agent(garbage, IP) is None
    assert counted.reads == 0
    assert await gate.agent(f"Bearer {mint(Sort.GRANT).token}".encode(), IP) is None
    assert counted.reads == 1

    def plan(conn: Connection) -> str:
        statements: list[str] = []
        for name in ("prefix", "previous_prefix"):
            query = f"EXPLAIN QUERY PLAN SELECT * FROM grants WHERE {name} IN ('aaaaaaaa')"
            statements += [str(row) for row in conn.exec_driver_sql(query)]
        return " ".join(statements)

    assert "SCAN" not in await store.read(plan)


async def test_a_credential_that_was_just_seen_costs_no_query(store: SqliteStore, clock: HandClock) -> None:
    counted = Counted(store)
    gate = Authenticator(counted, clock)
    _, header = await make(store, clock)
    for _ in range(100):
        assert await gate.agent(header, IP) is not None
    assert counted.reads == 1
    clock.advance(known.FRESH + 0.01)
    found = await asyncio.gather(*(gate.agent(header, IP) for _ in range(100)))
    assert all(found)
    assert counted.reads == 2


@pytest.mark.shows("proxy.5")
async def test_auth_07_a_revocation_is_noticed_at_once(
    store: SqliteStore, gate: Authenticator, clock: HandClock
) -> None:
    grant_id, header = await make(store, clock)
    assert await gate.agent(header, IP) is not None
    await store.write(partial(grants.revoke, clock=clock, grant_id=grant_id), topics=("grants",))
    assert await gate.agent(header, IP) is None


@pytest.mark.shows("proxy.5")
async def test_auth_07_and_on_every_other_replica_within_a_second(
    store: SqliteStore, clock: HandClock, path: Path
) -> None:
    other = SqliteStore(path, KEYS, Clock(), Program("other"))
    await other.start()
    try:
        deaf = Counted(other)
        deaf.subscribe = lambda topic, callback: lambda: None  # type: ignore[attr-defined]
        gate = Authenticator(deaf, clock)
        grant_id, header = await make(store, clock)
        assert await gate.agent(header, IP) is not None
        # No topic is told here: even then a second is all there is.
        await store.write(partial(grants.revoke, clock=clock, grant_id=grant_id))
        clock.advance(0.999)
        assert await gate.agent(header, IP) is None
    finally:
        await other.close()


async def test_a_foreign_revocation_is_told_by_the_store(store: SqliteStore, clock: HandClock, path: Path) -> None:
    other = SqliteStore(path, KEYS, Clock(), Program("other"))
    await other.start()
    try:
        gate = Authenticator(other, clock)
        await gate.start()
        told = asyncio.Event()
        other.subscribe("grants", told.set)
        grant_id, header = await make(store, clock)
        assert await gate.agent(header, IP) is not None
        told.clear()
        await store.write(partial(grants.revoke, clock=clock, grant_id=grant_id), topics=("grants",))
        async with asyncio.timeout(10):
            await told.wait()
        assert await gate.agent(header, IP) is None
        await gate.close()
    finally:
        await other.close()


@pytest.mark.shows("proxy.5")
async def test_where_the_database_does_not_answer_nobody_is_known_for_longer_than_a_second(
    store: SqliteStore, clock: HandClock
) -> None:
    counted = Counted(store)
    gate = Authenticator(counted, clock)
    _, header = await make(store, clock)
    assert await gate.agent(header, IP) is not None
    counted.failing = AuditUnavailable("the database is away")
    assert await gate.agent(header, IP) is not None
    clock.advance(known.FRESH + 0.01)
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            await gate.agent(header, IP)
    counted.failing = None
    assert await gate.agent(header, IP) is not None


async def test_a_change_while_the_row_is_read_is_not_missed(store: SqliteStore, clock: HandClock) -> None:
    grant_id, header = await make(store, clock)
    gate: Authenticator

    class Slow(Counted):
        async def read(self, fn: Callable[[Connection], Any]) -> Any:
            found = await super().read(fn)
            if self.reads == 1:  # revoked between the reading and the believing
                await store.write(partial(grants.revoke, clock=clock, grant_id=grant_id))
                gate._forget()
            return found

    gate = Authenticator(Slow(store), clock)
    assert await gate.agent(header, IP) is None


@pytest.mark.shows("proxy.5")
async def test_an_expiry_holds_to_the_microsecond_also_for_what_is_remembered(
    store: SqliteStore, clock: HandClock
) -> None:
    gate = Authenticator(store, clock)
    _, header = await make(store, clock, expires_us=clock.time_us() + 500_000)
    assert await gate.agent(header, IP) is not None
    clock.advance(0.499999)
    assert await gate.agent(header, IP) is not None
    clock.advance(0.000001)
    assert await gate.agent(header, IP) is None


async def test_a_clock_that_is_set_back_extends_nothing(store: SqliteStore, clock: HandClock) -> None:
    gate = Authenticator(store, clock)
    _, header = await make(store, clock, expires_us=clock.time_us() + 10_000_000)
    assert await gate.agent(header, IP) is not None
    clock.jump(-3600)
    clock.advance(9)
    assert await gate.agent(header, IP) is not None
    clock.advance(1)
    assert await gate.agent(header, IP) is None
    assert await Authenticator(store, clock).agent(header, IP) is not None  # a restart knows only the wall clock


@pytest.mark.shows("proxy.5")
async def test_a_rotation_ends_the_old_token_after_its_overlap(
    store: SqliteStore, gate: Authenticator, clock: HandClock
) -> None:
    grant_id, header = await make(store, clock)
    assert await gate.agent(header, IP) is not None

    async def rotate(overlap: int) -> bytes:
        turn = partial(grants.rotate, clock=clock, grant_id=grant_id, overlap_s=overlap)
        return f"Bearer {(await store.write(turn, topics=('grants',)))[1]}".encode()

    second = await rotate(60)
    for good in (header, second):
        caller = await gate.agent(good, IP)
        assert caller is not None
        assert caller.grant is not None
        assert caller.grant.id == grant_id
    clock.advance(60)
    assert await gate.agent(header, IP) is None
    third = await rotate(0)
    assert await gate.agent(second, IP) is None
    assert await gate.agent(third, IP) is not None


@pytest.mark.shows("proxy.5")
async def test_auth_06_guessing_is_throttled_by_source_and_others_are_not_affected(
    store: SqliteStore, clock: HandClock
) -> None:
    counted = Counted(store)
    gate = Authenticator(counted, clock)
    _, header = await make(store, clock)
    _, later = await make(store, clock, "later")
    assert await gate.agent(header, IP) is not None
    counted.reads = 0
    for _ in range(1000):
        assert await gate.agent(f"Bearer {mint(Sort.GRANT).token}".encode(), IP) is None
    assert counted.reads <= 31
    assert gate.throttled(IP)
    assert await gate.agent(header, IP) is not None  # known already
    assert await gate.agent(later, "198.51.100.1") is not None  # comes from elsewhere
    assert await gate.agent(later, IP) is not None  # known by now
    clock.advance(30)
    assert not gate.throttled(IP)


async def test_what_is_remembered_is_bounded(
    store: SqliteStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "REMEMBERED", 3)
    gate = Authenticator(store, clock)
    headers = [(await make(store, clock, f"bot{number}"))[1] for number in range(6)]
    for header in headers:
        assert await gate.agent(header, IP) is not None
    assert len(gate._grants._entries) == 3
    assert await gate.agent(headers[0], IP) is not None


@pytest.mark.parametrize(
    ("ip", "known_there"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), (None, True), (IP, False), ("localhost", False)],
)
async def test_the_local_principal_is_local_and_only_without_a_credential(
    store: SqliteStore, clock: HandClock, ip: str | None, known_there: bool
) -> None:
    gate = Authenticator(store, clock, "agent:dev")
    caller = await gate.agent(None, ip)
    assert (caller is not None) is known_there
    assert caller is None or (caller.subject.id == "agent:dev" and caller.grant is None and opens(caller, "any"))
    assert await gate.agent(b"", ip) is None
    assert await gate.agent(b"Bearer x", ip) is None
    assert await gate.person(None, ip) is None


@pytest.mark.shows("proxy.5")
async def test_a_grant_is_never_a_person(store: SqliteStore, gate: Authenticator, clock: HandClock) -> None:
    _, header = await make(store, clock)
    row, token = await store.write(
        partial(tokens.create, clock=clock, principal="user:alice", role=Role.APPROVER), topics=("grants",)
    )
    person = f"Bearer {token}".encode()
    assert await gate.person(person, IP) == Person("user:alice", Role.APPROVER, row["id"])
    assert await gate.person(header, IP) is None
    assert await gate.agent(person, IP) is None
    # Not even where a row of the other table had this very hash.
    stolen = update(tables.tokens).values(prefix=header[11:19].decode(), token_hash=mint(Sort.GRANT).hash)
    await store.write(lambda conn: conn.execute(stolen).rowcount, topics=("grants",))
    assert await gate.person(header, IP) is None
    await store.write(partial(tokens.revoke, clock=clock, token_id=row["id"]), topics=("grants",))
    assert await gate.person(person, IP) is None


async def test_the_last_use_is_written_now_and_then_and_never_back(store: SqliteStore, clock: HandClock) -> None:
    gate = Authenticator(store, clock)
    await gate.start()
    grant_id, header = await make(store, clock)
    for _ in range(50):
        clock.advance(0.001)
        await gate.agent(header, IP)

    async def last_used() -> Any:
        row = await store.read(partial(grants.find, named=grant_id))
        assert row is not None
        return row["used_us"]

    assert await last_used() is None
    await gate.close()
    noted = await last_used()
    assert noted == clock.time_us()
    again = Authenticator(store, clock)
    again._grants.used = {grant_id: noted - 1}
    await again._note_use()
    assert await last_used() == noted


@pytest.mark.parametrize("failure", [AuditUnavailable("the database is away"), ValueError("odd")])
async def test_the_check_in_the_background_survives_a_failure(
    store: SqliteStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr("policylayer.identity.authenticator.POLL", 0.01)
    counted = Counted(store)
    gate = Authenticator(counted, clock)
    await gate.start()
    _, header = await make(store, clock)
    assert await gate.agent(header, IP) is not None
    counted.failing = failure
    clock.advance(2)
    before = counted.reads
    async with asyncio.timeout(10):
        while counted.reads < before + 2:
            await asyncio.sleep(0.01)
    counted.failing = None
    assert await gate.agent(header, IP) is not None
    await gate.close()


async def test_a_stop_while_the_database_is_away_is_a_good_one(
    store: SqliteStore, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_args: Any, **_more: Any) -> None:
        raise AuditUnavailable("the database is away")

    counted = Counted(store)
    gate = Authenticator(counted, clock)
    await gate.start()
    _, header = await make(store, clock)
    assert await gate.agent(header, IP) is not None
    monkeypatch.setattr(counted, "write", away, raising=False)
    with capture_logs() as said:
        await gate.close()
    assert [each["event"] for each in said] == ["last uses could not be noted"]
