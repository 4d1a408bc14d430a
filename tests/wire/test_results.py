"""Answers masked and cut: nothing masked is left, types stay, everything else stays as it came, and it is told."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policylayer.core.decision import Mask
from policylayer.core.masking import masker
from policylayer.wire import masks, splice
from policylayer.wire.results import TOLD, UNFIT, Treated, Treatment, treat
from tests.wire.answers import CARD, EMAIL, answer, paths, text, treated

IMAGE = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(128, 256)) + b"a@b.io"
RELATED = "io.modelcontextprotocol/related-task"

# --- masks ------------------------------------------------------------------------------------------------------------


def test_what_holds_nothing_to_mask_is_the_same_bytes() -> None:
    message = answer({**text("hello"), "structuredContent": {"n": 1.50, "big": 12345678901234567890}})
    assert treat(message, Treatment(EMAIL, 10_000)) == Treated(message.raw)


def test_types_stay_and_it_is_told_where() -> None:
    content = {"iban": "DE1", "sum": 12.5, "ok": True, "none": None, "in": {"a": ["x", 2]}, "open": "y"}
    found = treated(
        {"content": [], "structuredContent": content},
        paths(*(f"result.structuredContent.{k}" for k in content if k != "open")),
    )
    hidden = {"iban": "[masked]", "sum": 0, "ok": False, "none": None, "in": {"a": ["[masked]", 0]}, "open": "y"}
    assert found["structuredContent"] == hidden
    assert found["_meta"] == {
        TOLD: {"masked": [f"/structuredContent/{place}" for place in ("iban", "sum", "ok", "in/a/0", "in/a/1")]}
    }


@pytest.mark.parametrize(
    ("path", "masked"),
    [
        ("result.structuredContent.rows.*.iban", {"iban": "[masked]", "deep": {"iban": "c"}}),
        ("result.structuredContent.**.iban", {"iban": "[masked]", "deep": {"iban": "[masked]"}}),
        ("result.**.deep.**", {"iban": "a", "deep": {"iban": "[masked]"}}),
        ("result.structuredContent.rows.0", {"iban": "[masked]", "deep": {"iban": "[masked]"}}),
        ("result.structuredContent.rows.1", {"iban": "a", "deep": {"iban": "c"}}),
    ],
)
def test_paths(path: str, masked: Any) -> None:
    content = {"rows": [{"iban": "a", "deep": {"iban": "c"}}]}
    assert treated({"content": [], "structuredContent": content}, paths(path))["structuredContent"]["rows"] == [masked]


def test_patterns_are_found_wherever_text_stands() -> None:
    found = treated(
        {
            "content": [
                {"type": "text", "text": "to a@b.io"},
                {"type": "resource", "resource": {"uri": "crm://a@b.io", "text": "a@b.io", "mimeType": "text/plain"}},
                {"type": "resource_link", "uri": "x:y", "name": "a@b.io", "mimeType": "a@b.io"},
                {"type": "image", "mimeType": "image/png", "data": base64.b64encode(IMAGE).decode()},
                {"type": "resource", "resource": {"uri": "x:z", "blob": base64.b64encode(b"x a@b.io").decode()}},
            ],
            "structuredContent": {"who": "a@b.io", "by": {"a@b.io": 1, "c@d.io": 2}},
            "_meta": {
                "io.modelcontextprotocol/x": "a@b.io",
                "io.policylayer/x": "a@b.io",
                RELATED: {"taskId": "a@b.io"},
            },
        },
        EMAIL,
    )
    one, two, three, four, five = found["content"]
    assert one["text"] == "to [masked]"
    assert two["resource"] == {"uri": "crm://[masked]", "text": "[masked]", "mimeType": "text/plain"}
    assert (three["name"], three["mimeType"]) == ("[masked]", "a@b.io")
    assert base64.b64decode(four["data"]) == IMAGE
    assert base64.b64decode(five["resource"]["blob"]) == b"x [masked]"
    assert found["structuredContent"] == {"who": "[masked]", "by": {"[masked]": 1, "[masked] 2": 2}}
    assert (found["_meta"]["io.modelcontextprotocol/x"], found["_meta"]["io.policylayer/x"]) == ("[masked]", "[masked]")
    assert found["_meta"][RELATED] == {"taskId": "a@b.io"}
    assert "/structuredContent/by/[masked] 2" in found["_meta"][TOLD]["masked"]


def test_what_the_protocol_goes_by_is_left_alone() -> None:
    everything = masker((Mask(regex=".+"), Mask(path="result.**")))
    result = {
        "resultType": "complete",
        "isError": False,
        "content": [{"type": "text", "text": "x", "annotations": {"audience": ["user"]}}],
    }
    found = treated(result, everything)
    assert found["content"] == [{"type": "text", "text": "[masked]", "annotations": {"audience": ["user"]}}]
    assert (found["resultType"], found["isError"]) == ("complete", False)
    asked = {
        "resultType": "input_required",
        "requestState": "sealed",
        "inputRequests": {"a": {"method": "elicitation/create", "params": {"mode": "form", "message": "a@b.io?"}}},
    }
    found = treated(asked, everything)
    assert (found["requestState"], found["resultType"]) == ("sealed", "input_required")
    assert found["inputRequests"]["a"]["method"] == "elicitation/create"
    assert found["inputRequests"]["a"]["params"] == {"mode": "form", "message": "[masked]"}
    for listed in ({"contents": [{"uri": "a", "mimeType": "b", "text": "c"}]}, {"messages": [{"role": "user"}]}):
        assert "[masked]" not in json.dumps(treated(listed, masker((Mask(regex="user|^b$"),))))


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("at", ["structuredContent", "content.0", "deeper"])
def test_no_name_under_meta_exempts_what_the_server_puts_there(at: str) -> None:
    members: dict[str, Any] = dict.fromkeys(("io.modelcontextprotocol/x", "io.policylayer/x", "x"), "a@b.io")
    meta = {"_meta": {**members, RELATED: {"taskId": "a@b.io"}}}
    result: dict[str, Any] = {"content": [{"type": "text", "text": "x"}]}
    if at == "structuredContent":
        result["structuredContent"] = meta
    elif at == "content.0":
        result["content"][0] |= meta
    else:
        result["_meta"] = {"own": meta}
    assert "a@b.io" not in json.dumps(treated(result, EMAIL))


@pytest.mark.shows("proxy.5")
def test_renaming_many_members_goes_through_the_others_for_none() -> None:
    looks = []

    class Counted(dict[Any, Any]):
        def __iter__(self) -> Any:
            looks.append(1)
            return super().__iter__()

    found = masks.Masks(names=Counted())
    walk = masks._Walk(EMAIL, found)
    walk.value({f"u{n}@b.io": n for n in range(3_000)}, masks._At((), "", (), free=True))
    assert len(found.names) == len(set(found.names.values())) == 3_000
    assert not looks


@pytest.mark.shows("proxy.5")
def test_what_is_looked_for_elsewhere_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    finder = masks.finder_of
    monkeypatch.setattr(masks, "finder_of", lambda values: made.append(1) or finder(values))
    content = [{"type": "text", "text": f"the secret-{n} word"} for n in range(300)]
    structured = {f"k{n}": f"secret-{n} word" for n in range(300)}
    found = treated({"content": content, "structuredContent": structured}, paths("result.structuredContent.**"))
    assert "secret" not in json.dumps(found)
    assert len(made) == 1


def test_binary_data_that_is_hidden_stays_base64() -> None:
    found = treated({"content": [{"type": "image", "mimeType": "image/png", "data": "/w=="}]}, paths("result.content"))
    assert base64.b64decode(found["content"][0]["data"]) == b"[masked]"


def test_what_is_masked_in_structured_content_is_masked_in_texts() -> None:
    content = {"rows": [{"iban": "DE89370400440532013000", "note": 'a"b\nc', "sum": 120000, "x": "ok"}]}
    masks = paths(*(f"result.structuredContent.rows.*.{name}" for name in ("iban", "note", "sum")))
    for written in (json.dumps(content), json.dumps(content, indent=2), str(content), "DE89370400440532013000: 120000"):
        shown = treated({**text(written), "structuredContent": content}, masks)["content"][0]["text"]
        assert "DE89" not in shown
        assert "120000" not in shown
        if "ok" in written:
            assert "ok" in shown
    only = treated(text(json.dumps(content)), masks)["content"][0]["text"]
    assert json.loads(only)["rows"][0] == {"iban": "[masked]", "note": "[masked]", "sum": 0, "x": "ok"}


def test_where_very_much_is_masked_texts_are_masked_whole() -> None:
    content = {"rows": [f"row {number}" for number in range(1200)]}
    found = treated({**text("row 7 and more"), "structuredContent": content}, paths("result.structuredContent.rows"))
    assert found["content"][0]["text"] == "[masked]"


def test_secrets_by_their_names_and_cards_as_numbers() -> None:
    found = treated(
        {"content": [], "structuredContent": {"api_key": "abc", "n": 4111111111111111, "m": 4111111111111112}},
        masker((Mask(pattern="secret"), Mask(pattern="card"))),
    )
    assert found["structuredContent"] == {"api_key": "[masked]", "n": 0, "m": 4111111111111112}


def test_errors_are_masked_too() -> None:
    message = answer(error={"code": -32000, "message": f"card {CARD}", "data": {"card": CARD}})
    error = json.loads(treat(message, Treatment(masker((Mask(pattern="card"),)))).raw)["error"]
    assert error == {"code": -32000, "message": "card [masked]", "data": {"card": "[masked]"}}


def test_the_result_of_a_task_is_masked_as_that_of_its_call() -> None:
    inner = {**text("a@b.io"), "structuredContent": {"iban": "X"}}
    masks = masker((Mask(pattern="email"), Mask(path="result.structuredContent.iban"), Mask(regex="^text$")))
    found = treated({"taskId": "a@b.io", "status": "completed", "result": inner}, masks)
    assert found["result"] == {**text("[masked]"), "structuredContent": {"iban": "[masked]"}}
    assert found["taskId"] == "a@b.io"


RAW = b"""{"jsonrpc": "2.0", "id": 1, "result" : {
  "content":[ {"type":"text" , "text":"caf\\u00e9 a@b.io \\ud83d\\ude00"} ],
  "structuredContent": {"n": 1.0e2, "x" :"\\/", "mail":"a@b.io"}, "_meta":{"z": 1}}}"""


def test_every_other_byte_stays() -> None:
    done = treat(answer(raw=RAW), Treatment(EMAIL))
    told = b'"io.policylayer/result":{"masked":["/structuredContent/mail","/content/0/text"]},'
    expected = (
        RAW.replace(b'"caf\\u00e9 a@b.io \\ud83d\\ude00"', '"café [masked] 😀"'.encode())
        .replace(b'"mail":"a@b.io"', b'"mail":"[masked]"')
        .replace(b'"_meta":{', b'"_meta":{' + told)
    )
    assert done.raw == expected
    assert done.done == ("masked",)


# --- against a plain model --------------------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "iban", "0", "content", "x.y"])
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
steps = st.lists(st.sampled_from(["a", "b", "iban", "0", "*", "**"]), max_size=4)


def hidden(value: Any) -> Any:
    """A value masked, its form kept."""
    if isinstance(value, dict):
        return {key: hidden(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item) for item in value]
    if isinstance(value, str):
        return "[masked]"
    return value if value is None else (False if isinstance(value, bool) else 0)


def model(value: Any, path: list[str]) -> Any:
    """What one path does, said as plainly as possible."""
    if not path:
        return hidden(value)
    first, rest = path[0], path[1:]
    if first == "**":
        value = model(value, rest) if rest else hidden(value)
        path_of = lambda _: path  # noqa: E731
    else:
        path_of = lambda step: rest if first in ("*", step) else None  # noqa: E731
    if isinstance(value, dict):
        return {k: v if path_of(k) is None else model(v, path_of(k) or []) for k, v in value.items()}
    if isinstance(value, list):
        return [v if path_of(str(n)) is None else model(v, path_of(str(n)) or []) for n, v in enumerate(value)]
    return value


@given(values, steps)
@example(True, ["**", "**"])
def test_paths_do_what_is_said_of_them(value: Any, path: list[str]) -> None:
    found = treated({"structuredContent": value}, paths(".".join(["result", "structuredContent", *path])))
    assert found["structuredContent"] == model(value, path)


@given(values, st.lists(st.tuples(names | st.integers(0, 2), names | st.integers(0, 2))))
def test_replacing_many_is_replacing_one_after_the_other(value: Any, wanted: list[tuple[Any, Any]]) -> None:
    raw = json.dumps(value, indent=1).encode()
    edits: dict[splice.Path, bytes] = dict.fromkeys(wanted, b'"new"')
    one_by_one = raw
    for path in edits:
        if splice.span(one_by_one, path) is not None:
            one_by_one = splice.replace(one_by_one, path, b'"new"')
    assert splice.replace_all(raw, edits) == one_by_one


# --- outputSchema -----------------------------------------------------------------------------------------------------

FORMATS = ("email", "uri", "date", "date-time", "time", "ipv4", "ipv6", "uuid", "hostname", "duration")


@pytest.mark.parametrize("format", FORMATS)
def test_what_stands_in_fits_the_schema_of_every_format(format: str) -> None:
    originals = {
        **{"email": "a@b.io", "uri": "https://a.io/", "date": "2026-01-02", "date-time": "2026-01-02T00:00:00Z"},
        **{"time": "10:00:00Z", "ipv4": "10.0.0.1", "ipv6": "2001:db8::1", "hostname": "a.io", "duration": "P1D"},
        "uuid": "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e",
    }
    schema = {"type": "object", "properties": {"x": {"type": "string", "format": format}}, "required": ["x"]}
    result = {"content": [], "structuredContent": {"x": originals[format]}}
    found = treated(result, paths("result.structuredContent.x"), schema=schema)
    assert found["structuredContent"]["x"] != originals[format]
    assert jsonschema_rs.is_valid(schema, found["structuredContent"], validate_formats=True)


def test_numbers_and_lengths_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1},
            "s": {"type": "string", "maxLength": 3},
            "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        },
        "$defs": {"row": {"type": "object", "properties": {"v": {"type": "number", "exclusiveMaximum": 0}}}},
    }
    content = {"n": 7, "s": "abc", "rows": [{"v": -2.5}, {"v": -3}]}
    found = treated({"content": [], "structuredContent": content}, paths("result.structuredContent"), schema=schema)
    assert found["structuredContent"] == {"n": 1, "s": "", "rows": [{"v": -1}, {"v": -1}]}


def test_where_nothing_fits_the_texts_are_left() -> None:
    schema = {"properties": {"state": {"enum": ["open", "closed"]}}}
    result = {**text("state open"), "structuredContent": {"state": "open"}, "_meta": {"a": 1}}
    found = treated(result, paths("result.structuredContent.state"), schema=schema)
    assert "structuredContent" not in found
    assert found["isError"] is True
    assert [item["text"] for item in found["content"]] == [UNFIT, "state [masked]"]
    bare = treated({"structuredContent": {"state": "open"}}, paths("result.structuredContent.state"), schema=schema)
    assert [item["text"] for item in bare["content"]] == [UNFIT]


@pytest.mark.parametrize("schema", [{"pattern": "(?=x)"}, {"$ref": "https://example.com/x"}, {"type": 5}])
def test_a_schema_that_cannot_be_read_holds_nobody_up(schema: Any) -> None:
    result = {"content": [], "structuredContent": {"a": "x"}}
    found = treated(result, paths("result.structuredContent.a"), schema=schema)
    assert found["structuredContent"] == {"a": "[masked]"}


def test_a_result_that_did_not_fit_before_need_not_fit_after() -> None:
    schema = {"properties": {"a": {"type": "number"}}}
    result = {"content": [], "structuredContent": {"a": "x"}}
    found = treated(result, paths("result.structuredContent.a"), schema=schema)
    assert found["structuredContent"] == {"a": "[masked]"}


def test_renamed_members_that_the_schema_wants_are_no_fit() -> None:
    schema = {"required": ["a@b.io"]}
    found = treated({"content": [], "structuredContent": {"a@b.io": 1}}, EMAIL, schema=schema)
    assert found["isError"] is True
    assert "structuredContent" not in found
