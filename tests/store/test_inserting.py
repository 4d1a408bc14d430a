"""The statements by which rows go in: every value in its column, whatever a row has and however many come."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine

from policylayer.store.inserting import LARGEST, MOST, TOGETHER, Statements
from policylayer.store.rows import COLUMNS, Place, Row
from policylayer.store.schema import create

OPTIONAL = [name for name in Row._fields if name not in ("id", "kind", "time_us", "version")]
NUMBERS = {"decide_us", "record_us", "upstream_us", "size", "is_error"}


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Rows of a few shapes, as a batch has them."""
    shapes = draw(st.lists(st.sets(st.sampled_from(OPTIONAL)), min_size=1, max_size=4))
    made = []
    for number in range(draw(st.integers(0, 80))):
        names = shapes[number % len(shapes)]
        more = {name: number if name in NUMBERS else f"{name} {number}\u00e9" for name in names}
        made.append(Row(f"id-{number:04}", "decision", number, **more))
    return made


@given(rows())
def test_what_goes_in_comes_out(batch: list[Row]) -> None:
    engine = create_engine("sqlite://")
    place = Place("chain", b"k" * 32, "key")
    sealed = [place.seal(row) for row in batch]
    with engine.begin() as connection:
        create(connection)
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        done = [raw.execute(statement, values) for statement, values in Statements().of(sealed)]
        found = raw.execute(f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY id").fetchall()
    engine.dispose()
    assert found == sealed
    if len(batch) <= TOGETHER:
        assert len(done) == bool(batch)


def test_few_statements_do_for_any_batch() -> None:
    place = Place("chain", b"k" * 32, "key")
    seen, made = set(), Statements()
    for count in range(TOGETHER + 1, 130):
        sealed = [place.seal(Row(f"id-{number}", "decision", number)) for number in range(count)]
        seen |= {statement for statement, _ in made.of(sealed)}
    assert len(seen) == LARGEST


def test_no_value_needs_an_adapter() -> None:
    """NULL and bytes would each be looked up; that is what this is all for."""
    sealed = Place("chain", b"k" * 32, "key").seal(Row("id", "decision", 1, reason="x"))
    ((statement, values),) = Statements().of([sealed])
    assert {type(value) for value in values} <= {str, int, bytearray}
    assert statement.count("?") == len(values)


def test_only_so_many_are_kept() -> None:
    made, place = Statements(), Place("chain", b"k" * 32, "key")
    for number in range(2**11):
        names = [name for bit, name in enumerate(OPTIONAL[:11]) if number >> bit & 1]
        sealed = place.seal(Row("id", "decision", 1, **dict.fromkeys(names, "x")))
        ((_, values),) = made.of([sealed])
        assert len(values) == 8 + len(names)
    assert sum(map(len, made._shapes.values())) <= MOST
    assert len(made._few) <= MOST
