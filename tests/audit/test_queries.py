"""Reading the decision log: its form, its filters, its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from policylayer.audit import queries, stats
from policylayer.audit.queries import Filters, Page
from policylayer.audit.recorder import Recorder
from policylayer.audit.telling import Telling
from policylayer.clock import Clock
from policylayer.core.commands import Kind, Outcome, OutcomeState, Recorded, RecordOutcome
from policylayer.core.decision import Effect, ReasonCode, RuleRef
from policylayer.store import opening
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program, Store, open_store
from tests.audit.support import EXECUTED, KEYS, RULE, context, decision, record

pytestmark = pytest.mark.anyio
OTHER = RuleRef("ops", 'odd "name" %_', "ops.yaml", 3)


async def written(recorder: Recorder, effect: Effect = Effect.ALLOW, asked: Any = None, **more: Any) -> str:
    reply = await recorder.record(record(effect, **more), asked or context())
    assert isinstance(reply, Recorded)
    return reply.row_id


async def found(store: Store, **filters: Any) -> list[str]:
    page: Page = await store.read(partial(queries.decisions, filters=Filters(**filters)))
    return [item["id"] for item in page.items]


async def one(store: SqliteStore, row_id: str) -> dict[str, Any]:
    item = await store.read(partial(queries.decision, row_id=row_id))
    assert item is not None
    return item


@pytest.fixture
async def recorder(store: SqliteStore) -> AsyncIterator[Recorder]:
    made = Recorder(store, KEYS, Clock())
    yield made
    await made.close()


async def test_a_decision_has_the_interfaces_form(store: SqliteStore, recorder: Recorder) -> None:
    row_id = await written(recorder)
    await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
    await recorder.drained()
    item = await one(store, row_id)
    documented = "id kind parent time principal for grant server method target effect enforced would reason_code reason"
    documented += " rules revision arguments digest approval_id outcome latency_us"
    assert set(documented.split()) <= set(item)
    assert item["rules"] == [{"policy": "payments", "rule": "small-refunds", "file": "payments.yaml", "line": 14}]
    assert item["arguments"] == {"amount": 100}
    assert item["time"].endswith("Z")
    assert item["outcome"]["state"] == "executed"
    assert item["outcome"]["latency_us"] == 1200
    assert item["children"] == []


async def test_a_denial_was_never_sent(store: SqliteStore, recorder: Recorder) -> None:
    item = await one(store, await written(recorder, Effect.DENY))
    assert item["outcome"] == {"state": "never_sent", "at": item["time"], "latency_us": 0}


async def test_a_call_under_way_has_no_outcome_yet(store: SqliteStore, recorder: Recorder) -> None:
    assert (await one(store, await written(recorder)))["outcome"] is None


async def test_a_held_call_came_to_what_its_release_did(store: SqliteStore, recorder: Recorder) -> None:
    rows = [Row(id=f"0{n}", kind="decision", time_us=n, enforced="require_approval", parent=None) for n in (1,)]
    rows += [
        Row(id="02", kind="release", time_us=2, enforced="require_approval", parent="01"),
        Row(id="03", kind="release", time_us=3, enforced="allow", parent="02"),
        Row(id="04", kind="outcome", time_us=4, state="failed", parent="03", upstream_us=5),
    ]
    await store.append(tuple(rows))
    item = await one(store, "01")
    assert item["outcome"]["state"] == "failed"
    assert [child["id"] for child in item["children"]] == ["02"]
    page = await store.read(queries.decisions)
    assert [(each["id"], each["outcome"]["state"]) for each in page.items] == [
        (i, "failed") for i in ("03", "02", "01")
    ]


@pytest.mark.shows("audit.1")
async def test_a_call_that_was_held_again_and_again_came_to_what_the_last_release_did(store: SqliteStore) -> None:
    """By its id and in a list, whichever of its rows the page begins with."""
    ids = [f"{number:03}" for number in range(1, 41)]
    held = [
        Row(id=row_id, kind="release" if parent else "decision", time_us=1, enforced="require_approval", parent=parent)
        for row_id, parent in zip(ids, (None, *ids), strict=False)
    ]
    end = Row(id="9", kind="outcome", time_us=2, state="executed", parent=ids[-1], upstream_us=5)
    await store.append((*held[:-1], held[-1]._replace(enforced="allow"), end))
    for row_id in ids[:3]:
        item = await one(store, row_id)
        assert item["outcome"]["state"] == "executed", row_id
        assert len(item["children"]) == 1
    pages = [await store.read(queries.decisions)]
    pages += [await store.read(partial(queries.oldest_first, filters=Filters(), limit=2, after=None))]
    assert {each["outcome"]["state"] for page in pages for each in page.items} == {"executed"}


async def test_rows_that_are_their_own_parents_are_shown(store: SqliteStore) -> None:
    pairs = [("1", "1"), ("2", "3"), ("3", "2")]
    await store.append(
        tuple(Row(id=a, kind="release", time_us=1, enforced="require_approval", parent=b) for a, b in pairs)
    )
    assert await found(store) == ["3", "2", "1"]
    assert (await one(store, "2"))["outcome"] is None


async def test_a_held_call_that_was_given_up_says_so(store: SqliteStore, recorder: Recorder) -> None:
    await store.append((Row(id="01", kind="decision", time_us=1, enforced="require_approval"),))
    assert (await one(store, "01"))["outcome"] is None
    await recorder.outcome(RecordOutcome("01", Outcome(OutcomeState.NEVER_SENT, "pending"), decision()))
    await recorder.drained()
    assert (await one(store, "01"))["outcome"]["reason"] == "pending"


async def test_what_is_no_decision_is_not_shown_as_one(store: SqliteStore, recorder: Recorder) -> None:
    row_id = await written(recorder)
    await recorder.outcome(RecordOutcome(row_id, EXECUTED, decision()))
    await recorder.drained()
    await recorder.event("grant.created", "user:a", {})
    assert await found(store) == [row_id]
    for name in ("nothing", (await store.read(queries.events)).items[0]["id"]):
        assert await store.read(partial(queries.decision, row_id=name)) is None


async def test_filters(store: SqliteStore, recorder: Recorder) -> None:
    plain = await written(recorder)
    denied = await written(recorder, Effect.DENY, reason="no deletes, 100% sure", reason_code=ReasonCode.NOT_APPLICABLE)
    other = await written(
        recorder,
        Effect.DENY,
        context(
            {"path": "/srv/ÄB_c"}, principal="agent:b", server="files", method="resources/read", target="file:///X"
        ),
        rules=(RULE, OTHER),
    )
    assert await found(store, principal="agent:b") == [other]
    assert await found(store, server="files") == [other]
    assert await found(store, method="resources/read") == [other]
    assert await found(store, target="file:///X") == [other]
    assert await found(store, effect="deny") == [other, denied]
    assert await found(store, reason_code="not_applicable") == [denied]
    assert await found(store, rule="payments/small-refunds") == [other, denied, plain]
    assert await found(store, rule=OTHER.name) == [other]
    assert await found(store, rule="payments/small") == []
    assert await found(store, q="100% SURE") == [denied]
    assert await found(store, q="100_ sure") == []
    assert await found(store, q="b_C") == [other]
    assert await found(store, principal="agent:b", effect="allow") == []


@pytest.mark.shows("audit.1")
async def test_a_rule_is_found_by_its_very_name(database_url: str) -> None:
    """Two rules may differ in case alone, and signs that LIKE reads as others stand for themselves."""
    store = open_store(database_url, KEYS, Clock(), Program("serve"))
    await store.start()
    recorder = Recorder(store, KEYS, Clock())
    names = ["Big", "big", "b_g", "b%g", 'b"g', "b\\g", "bÄg", "bäg"]
    rows = {name: await written(recorder, rules=(RuleRef("p", name, "p.yaml", 1),)) for name in names}
    for name in names:
        assert await found(store, rule=f"p/{name}") == [rows[name]], name
    assert await found(store, rule="P/big") == []
    counted = await store.read(partial(stats.counts, by="rule", filters=Filters(rule="p/big")))
    assert counted.items == [{"key": "p/big", "count": 1}]
    await recorder.close()
    await store.close()


async def test_times_begin_inclusive_and_end_exclusive(store: SqliteStore) -> None:
    hour = 3_600_000_000
    times = [hour * n for n in range(4)]
    for time_us in times:
        row_id = queries.first_id(time_us)
        await store.append((Row(id=row_id, kind="decision", time_us=time_us, enforced="deny"),))
    ids = [queries.first_id(time_us) for time_us in times]
    assert await found(store, since=times[1], until=times[3]) == [ids[2], ids[1]]
    assert await found(store, since=times[1] + 1) == [ids[3], ids[2]]
    assert await found(store, until=times[1] + 1) == [ids[1], ids[0]]


async def test_pages_hold_every_row_once_while_more_is_written(store: SqliteStore, recorder: Recorder) -> None:
    rows = [await written(recorder) for _ in range(25)]
    seen: list[str] = []
    cursor = None
    while True:
        page: Page = await store.read(partial(queries.decisions, limit=7, cursor=cursor))
        seen += [item["id"] for item in page.items]
        await written(recorder)
        cursor = page.next
        if cursor is None:
            break
    assert seen == rows[::-1]


async def test_events_by_type(store: SqliteStore, recorder: Recorder) -> None:
    await recorder.event("grant.created", "user:a", {"name": "x"})
    await recorder.event("grant.revoked", "user:b", {})
    await recorder.event("policy.activated", None, {})
    assert [item["type"] for item in (await store.read(partial(queries.events, type="grant."))).items] == [
        "grant.revoked",
        "grant.created",
    ]
    (created,) = (await store.read(partial(queries.events, type="grant.created"))).items
    assert (created["actor"], created["detail"]) == ("user:a", {"name": "x"})
    page = await store.read(partial(queries.events, limit=2))
    assert len(page.items) == 2
    assert len((await store.read(partial(queries.events, cursor=page.next))).items) == 2


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"principal": "a"}, "records_principal"),
        ({"server": "a"}, "records_server"),
        ({"target": "a"}, "records_target"),
        ({"approval_id": "a"}, "records_approval_id"),
        ({"since": 1}, "sqlite_autoindex_records_1"),
        ({}, "sqlite_autoindex_records_1"),
    ],
)
async def test_a_page_goes_by_an_index_in_order(store: SqliteStore, path: Path, filters: Any, index: str) -> None:
    def plan(connection: Any) -> str:
        query = queries.where(Filters(**filters)).order_by(queries.records.c.id.desc()).limit(10)
        text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        return " ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))

    told = await store.read(plan)
    assert index in told
    assert "TEMP B-TREE" not in told


def test_kinds() -> None:
    assert {*queries.CALLS, "outcome", "event"} == set(Kind)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"effect": "deny"}, "records_effect"),
        ({"reason_code": "not_applicable"}, "records_reason_code"),
        ({"method": "resources/read"}, "records_method"),
        ({"effect": "allow"}, "sqlite_autoindex_records_1"),
        ({"effect": "deny", "principal": "a"}, "records_principal"),
        ({"effect": "deny", "reason_code": "frozen", "target": "a"}, "records_target"),
    ],
)
async def test_what_is_unusual_is_found_by_its_index(store: SqliteStore, filters: Any, index: str) -> None:
    assert index in await plan(store, partial(queries.decisions, filters=Filters(**filters)))


async def test_events_and_openings_are_found_by_an_index(store: SqliteStore) -> None:
    """A start, and the first row of a command, read them while nobody else may write."""
    assert "records_events" in await plan(store, queries.events)
    assert "records_reason_code" in await plan(store, partial(queries.events, type="chain.opened"))
    assert "records_reason_code" in await plan(store, opening._told)
    assert "records_reason_code" in await plan(store, lambda found: Telling().hear(found, "chain.opened", "log.pruned"))
    for read in (queries.events, opening._told):
        assert "SCAN records USING INDEX sqlite_autoindex" not in await plan(store, read)


async def plan(store: SqliteStore, read: Any) -> str:
    """How SQLite does what a function reads."""

    def explained(connection: Any) -> str:
        seen: list[Any] = []
        event.listen(connection, "before_cursor_execute", lambda *given: seen.append(given[2:4]))
        read(connection)
        statements, seen = seen, []
        return " ".join(
            line[-1]
            for each in statements
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each[0]}", each[1])
        )

    return await store.read(explained)


@pytest.mark.shows("audit.7")
@pytest.mark.parametrize("code", ["pending", "approval_denied", "approval_expired"])
async def test_a_held_call_is_found_by_how_its_hold_ended(store: SqliteStore, recorder: Recorder, code: str) -> None:
    """As its agent was told, though what policy said stays what it was."""
    held = [await written(recorder, Effect.REQUIRE_APPROVAL) for _ in range(3)]
    ends = (code, "the proxy ended while the call was held")
    for row_id, end in zip(held, ends, strict=False):
        await recorder.outcome(RecordOutcome(row_id, Outcome(OutcomeState.NEVER_SENT, end), decision()))
    again = await written(
        recorder, Effect.REQUIRE_APPROVAL, enforced=Effect.DENY, reason_code=ReasonCode(code), kind=Kind.DECISION
    )
    allowed, denied = await written(recorder), await written(recorder, Effect.DENY)
    await recorder.drained()
    assert await found(store, reason_code=code) == [again, held[0]]
    assert await found(store, reason_code=code, principal="agent:refund-bot") == [again, held[0]]
    assert await found(store, reason_code=code, effect="deny") == []
    assert await found(store, reason_code="rule") == [denied, allowed, *reversed(held)]
    told = [(await one(store, row_id))["told"] for row_id in (*held, again, allowed, denied)]
    assert told == [code, None, None, code, None, "rule"]
    assert (await one(store, held[0]))["reason_code"] == "rule"
    assert "records_effect" in await plan(store, partial(queries.decisions, filters=Filters(reason_code=code)))


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_page_looks_at_so_many_rows_for_a_text_and_says_where_to_go_on(
    store: SqliteStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    monkeypatch.setattr(queries, "LOOKED", 10)
    wanted = []
    for number in range(40):
        row_id = await written(recorder, Effect.DENY, context(target="needle" if number % 13 == 0 else "hay"))
        wanted += [row_id] if number % 13 == 0 else []
    pages: list[list[str]] = []
    cursor: str | None = None
    while cursor is not None or not pages:
        asked = Filters(q="NEEDLE")
        if order == "newest":
            page: Page = await store.read(partial(queries.decisions, filters=asked, limit=5, cursor=cursor))
        else:
            page = await store.read(partial(queries.oldest_first, filters=asked, limit=5, after=cursor))
        pages.append([item["id"] for item in page.items])
        cursor = page.next
    found = [row_id for page in pages for row_id in page]
    assert found == (wanted[::-1] if order == "newest" else wanted)
    assert [] in pages
    assert 4 <= len(pages) <= 6
    # Whatever an index finds is found at once, and only then looked at.
    asked = Filters(q="needle", target="needle")
    assert len((await store.read(partial(queries.decisions, filters=asked))).items) == len(wanted)
