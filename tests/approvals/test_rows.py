"""Moves as single conditional updates, and what a row is bound to, below everything that looks before it acts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, StaticPool, create_engine, update

from policylayer.approvals import demand, opening, rows
from policylayer.approvals.binding import call_keys, open_arguments, seal_arguments, stored_digest
from policylayer.approvals.opening import Opening
from policylayer.approvals.rows import Desk
from policylayer.core.approval import TRANSITIONS, Move, State
from policylayer.core.call import Call
from policylayer.store.tables import approvals, metadata
from tests.approvals.desk import KEYS, call, caller, held, hold

DESK = Desk(KEYS, lambda type, actor, detail: None, lambda: "id")
NOW = 1_000_000_000


@pytest.fixture
def conn() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


def opened(conn: Connection, what: Call | None = None) -> str:
    wish = Opening(caller(), what or call(), held(hold(expires=10)), "r")
    return opening.open_or_join(conn, DESK, wish, NOW, 3600)[0]


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("step", list(Move))
@pytest.mark.parametrize("late", [False, True])
def test_a_move_happens_only_from_where_and_when_it_may(conn: Connection, state: State, step: Move, late: bool) -> None:
    approval = opened(conn)
    conn.execute(update(approvals).values(state=state))
    now = NOW + 10_000_000 - (0 if late else 1)
    done = rows.move(conn, approval, step, now)
    assert done is (step in TRANSITIONS[state] and late is (step is Move.EXPIRE))
    row = rows.find(conn, approval)
    assert row is not None
    assert row["state"] == (TRANSITIONS[state][step] if done else state)
    assert not rows.move(conn, "apr_other", step, now)


@pytest.mark.shows("proxy.8")
def test_where_two_stand_a_denial_holds(conn: Connection) -> None:
    first, second = opened(conn), opened(conn, call(amount=2))
    rows.move(conn, second, Move.DENY, NOW + 1)
    conn.execute(
        update(approvals).where(approvals.c.id == second).values(call_key=call_keys(KEYS, caller(), call())[0])
    )
    assert opened(conn) == second != first
    found = opening.seek(conn, keys=KEYS, caller=caller(), call=call(), now_us=NOW)
    assert found is not None
    assert (found.approval_id, found.state) == (second, "denied")


def test_a_digest_that_is_not_that_of_what_was_sealed_does_not_open(conn: Connection) -> None:
    row = dict(rows.find(conn, opened(conn)) or {})
    row["digest"] = stored_digest(KEYS, call(amount=2))
    row["arguments_sealed"] = seal_arguments(KEYS, call(), row)
    assert open_arguments(KEYS, row) is None
    row["arguments_sealed"] = seal_arguments(KEYS, call(amount=2), row)
    kept = open_arguments(KEYS, row)
    assert kept is not None
    assert kept.arguments == {"amount": 2}


def test_demands_survive_their_storing() -> None:
    rules = (hold("a", "group:x", "owner", quorum=2, expires=5, note_required=True), hold("b", each_round=True))
    assert demand.loads(demand.dumps(rules)) == rules
    assert demand.limited(demand.dumps(rules, {"p/b"})) == {"p/b"}
