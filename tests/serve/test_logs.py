"""The program's own log: one record is one short line of JSON, whatever is in it, and names the call's decision."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from policylayer.proxy import saying
from policylayer.serve import logs
from tests.support.logging_kept import logging_kept

pytestmark = pytest.mark.shows("audit.1")

ODD = {
    "a new line": 'x\r\n{"event":"forged","level":"info"}',
    "another line": "x\u2028\u2029\x85\x0b\x0cx",
    "colours": "\x1b[2J\x1b[31mred\x9b31mred",
    "nothing": "a\0b",
    "quotes": '"}\\"',
    "turned around": "\u202etxt.exe\u2066",
    "unseen": "\ufeff\u200b\u00ad",
    "half a sign": "\ud800",
    "long": "x" * 10_000_000,
    "no text": b"\xff\0",
    "deep": [{"a": ["\x1b\n"]}] * 3,
}


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    """What the log writes."""
    made = io.StringIO()
    with logging_kept():
        logs.configure(to=made)
        yield made


def of_a_library(text: str, *values: object) -> None:
    """A record of the standard library's, to our handler alone."""
    record = logging.makeLogRecord({"name": "library", "msg": text, "args": values, "levelno": logging.ERROR})
    logging.getLogger().handlers[0].emit(record)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """The records: each line is one, whoever cuts lines, and every sign of it can be seen."""
    text = out.getvalue()
    assert text == "" or text.endswith("\n")
    cut = text.splitlines()
    assert len(cut) == text.count("\n")
    assert all(line.isprintable() for line in cut)
    return [orjson.loads(line) for line in cut]


@pytest.mark.parametrize("name", ODD)
def test_one_record_is_one_line(out: io.StringIO, name: str) -> None:
    """AUD-14."""
    value = ODD[name]
    log = structlog.get_logger()
    log.info("as a value", tool=value)
    log.warning(str(value)[:5000])
    if isinstance(value, str):
        log.info("as a name", **{value[:5000]: 1})
    of_a_library("it says %s", value)
    try:
        raise ValueError(value)
    except ValueError:
        log.exception("as an error")
    found = lines(out)
    assert len(found) == (5 if isinstance(value, str) else 4)
    assert not [record for record in found if record["event"] == "forged"]
    assert all(len(line) <= logs.LINE * 6 for line in out.getvalue().splitlines())


@given(st.text(), st.text(min_size=1))
def test_any_text_is_one_line_and_read_back(value: str, name: str) -> None:
    text = logs.line({"event": "x", name: value})
    assert text.isprintable()
    assert len(text.splitlines()) == 1
    if name != "event":
        assert orjson.loads(text)[name] == value


def test_what_is_too_long_is_cut_and_says_so(out: io.StringIO) -> None:
    structlog.get_logger().info("long", tool="y" * 100_000, more=["z" * 100] * 10_000)
    (found,) = lines(out)
    assert found["cut"] > 1_000_000
    structlog.get_logger().info("long", tool="y" * 100_000)
    assert lines(out)[1]["tool"] == "y" * logs.LONGEST + "… (100000 characters)"


def test_what_cannot_be_shown_is_still_told(out: io.StringIO) -> None:
    class Unshowable:
        def __str__(self) -> str:
            raise RuntimeError

    structlog.get_logger().info("odd", value=Unshowable())
    of_a_library("%d", "no number")
    assert [record["event"] for record in lines(out)] == ["odd", "a record that cannot be read"]


def test_a_thread_that_fails_says_so_on_one_line(out: io.StringIO) -> None:
    def work() -> None:
        raise ValueError("x\r\ny")

    thread = threading.Thread(target=work, name="a thread")
    thread.start()
    thread.join()
    (found,) = lines(out)
    assert (found["event"], found["thread"], found["level"]) == ("a thread failed", "a thread", "error")
    assert "x\r\ny" in found["exception"]


def test_lines_of_a_call_name_its_decision(out: io.StringIO) -> None:
    log = structlog.get_logger()
    saying.about("row-1")
    log.info("anything")
    logging.getLogger("library").error("anything else")
    saying.about("row-2")
    saying.failed("Forward", RuntimeError("x"))
    saying.over()
    log.info("later")
    assert [record.get("decision") for record in lines(out)] == ["row-1", "row-1", "row-2", None]
