"""Answers that are cut: whole items first, told where it was, and never much larger than they may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.wire.results import TOLD, CannotCut, Treatment, treat
from policylayer.wire.server_messages import ServerMessage, decode
from tests.wire.answers import EMAIL, answer, text, treated

CUT = "[Cut by policy: the whole result has "


def test_what_is_small_enough_is_the_same_bytes() -> None:
    message = answer(text("hello"))
    size = len(json.dumps(text("hello")))
    assert treat(message, Treatment(cap=size)).raw == message.raw
    assert treat(message, Treatment(cap=size - 1)).done == ("cut",)


def test_whole_items_then_part_of_one_then_the_word() -> None:
    found = treated(text("a" * 300, "é\n" * 2000, "never"), cap=1000)
    kept, part, told = found["content"]
    assert kept["text"] == "a" * 300
    assert 100 < len(part["text"]) < 700
    assert ("é\n" * 2000).startswith(part["text"])
    assert told["text"].startswith(CUT)
    assert found["_meta"] == {TOLD: {"cut": True}}
    assert 800 < len(json.dumps({"content": found["content"]}, ensure_ascii=False).encode()) <= 1040
    assert "isError" not in found


def test_half_of_structured_content_is_nothing() -> None:
    result = {**text("x"), "structuredContent": {"rows": ["y" * 100] * 100}, "resultType": "complete"}
    for schema, is_error in ((None, True), (b'{"type":"object"}', True), (b"", None)):
        done = treat(answer(result), Treatment(cap=1000, schema=schema))
        found = json.loads(done.raw)["result"]
        assert "structuredContent" not in found
        assert found.get("isError") is is_error
        assert found["content"][0] == {"type": "text", "text": "x"}
        assert found["resultType"] == "complete"


@pytest.mark.parametrize(
    ("result", "read"),
    [
        ({"contents": [{"uri": "a:b", "text": "z" * 5000}]}, lambda found: found["contents"][-1]["text"]),
        ({"contents": [{"uri": "a:b", "blob": "eg==" * 1250}]}, lambda found: found["contents"][-1]["text"]),
        (
            {"messages": [{"role": "user", "content": {"type": "text", "text": "z" * 5000}}]},
            lambda found: found["messages"][-1]["content"]["text"],
        ),
        (
            {"content": [{"type": "image", "data": "eg==" * 1250, "mimeType": "image/png"}]},
            lambda f: f["content"][-1]["text"],
        ),
        ({"content": "z" * 10, "contents": [{"uri": "a:b", "text": "z" * 5000}]}, lambda f: f["contents"][-1]["text"]),
    ],
)
def test_results_of_each_kind(result: Any, read: Any) -> None:
    found = treated(result, cap=800)
    assert read(found).startswith(CUT)
    assert len(json.dumps(found)) < 1000


@pytest.mark.parametrize(
    "result",
    [
        {"completion": {"values": ["z" * 5000]}},
        {"resultType": "input_required", "requestState": "z" * 5000, "content": []},
    ],
)
def test_what_has_nothing_to_leave_out_cannot_be_cut(result: Any) -> None:
    with pytest.raises(CannotCut):
        treated(result, cap=1000)


def test_errors_are_cut_too() -> None:
    message = answer(error={"code": 1, "message": "m" * 5000, "data": "d" * 5000})
    error = json.loads(treat(message, Treatment(cap=1000)).raw)["error"]
    assert set(error) == {"code", "message"}
    assert len(error["message"]) <= 1000


@given(st.lists(st.text(max_size=300), max_size=8), st.integers(1, 3000), st.booleans())
def test_no_cut_result_is_much_larger_than_it_may_be(texts: list[str], cap: int, structured: bool) -> None:
    result = {**text(*texts), **({"structuredContent": {"t": texts}} if structured else {})}
    done = treat(answer(result), Treatment(cap=cap))
    found = decode(done.raw)
    assert isinstance(found, ServerMessage)
    if done.done:
        assert len(done.raw) <= cap + 400
        shown = [item["text"] for item in (found.result or {})["content"]]
        whole = shown[:-2]
        assert whole == texts[: len(whole)]
    else:
        assert done.raw is not None


def test_masked_first_then_cut() -> None:
    found = treated(text("a@b.io " * 500), EMAIL, cap=600)
    assert "@" not in json.dumps(found)
    assert set(found["_meta"][TOLD]) == {"masked", "cut"}
