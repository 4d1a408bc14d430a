"""How findings are shown, and that the registry of codes is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.text import shows
from policylayer.policy import codes_about
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.codes_about import CODES, explain
from policylayer.policy.diagnostics import as_json, did_you_mean, error, ordered, quote, render, visible, warning

SOURCES = Path(codes_about.__file__).parent
PLACE = Span("stripe.yaml", 14, 5)
TEXT = b"\n" * 13 + b"    efect: deny\n"


@pytest.mark.shows("proxy.9")
def test_a_finding_shows_place_code_line_caret_and_help() -> None:
    finding = error(Code.UNKNOWN_KEY, PLACE, "unknown key `efect` in rule `cap-refunds`", "did you mean `effect`?")
    assert render([finding], {"stripe.yaml": TEXT}) == (
        "stripe.yaml:14:5: error[PL103]: unknown key `efect` in rule `cap-refunds`\n"
        "   14 |     efect: deny\n"
        "      |     ^^^^^ help: did you mean `effect`?\n"
    )


def test_a_finding_without_its_line_is_still_shown() -> None:
    finding = warning(Code.NO_REASON, PLACE, "a denial without a reason", "say why")
    assert render([finding], {}) == (
        "stripe.yaml:14:5: warning[PL153]: a denial without a reason\n      help: say why\n"
    )


def test_the_json_form_is_that_of_check() -> None:
    assert as_json(error(Code.TAB, PLACE, "a tab", "use spaces")) == {
        "file": "stripe.yaml",
        "line": 14,
        "column": 5,
        "severity": "error",
        "code": "PL111",
        "message": "a tab",
        "help": "use spaces",
    }


def test_findings_are_in_order_and_each_is_said_once() -> None:
    late, early = error(Code.TAB, PLACE, "x"), error(Code.TAB, Span("a.yaml", 20, 1), "x")
    assert ordered([late, early, late]) == (early, late)


def test_a_terminal_is_shown_no_control_characters() -> None:
    finding = error(Code.UNKNOWN_KEY, Span("f\x1b[2J.yaml", 1, 1), f"unknown key {quote(chr(27))}")
    shown = render([finding], {"f\x1b[2J.yaml": "\x1b[2Jkey\u202e: x".encode()})
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_long_line_is_cut_around_its_caret() -> None:
    text = b"a: [" + b"x, " * 400 + b"no]\n"
    column = text.index(b"no") + 1
    shown = render([error(Code.AMBIGUOUS, Span("f", 1, column), "x")], {"f": text}).split("\n")
    assert max(map(len, shown)) < 200
    assert shown[2].index("^") == shown[1].index("no]")


def test_a_misspelt_word_is_guessed_or_the_words_are_listed() -> None:
    assert did_you_mean("efect", ["effect", "except"]) == "did you mean `effect`?"
    assert did_you_mean("xyz", ["b", "a"]) == "known: `a`, `b`"
    assert did_you_mean("xyz", [str(number) for number in range(50)]) == ""


def test_every_code_is_explained_with_an_example() -> None:
    assert set(CODES) == set(Code)
    for code, about in CODES.items():
        assert about.title, code
        assert about.explanation.endswith((".", "quote it.", ":")), code
        assert about.example or code is Code.TESTS_STOPPED, code
        assert about.fix, code


def test_explain_prints_meaning_example_and_fix() -> None:
    assert explain("PL109") == (
        "PL109: an unquoted `*`, `!`, `@`, `%` or backtick\n\n"
        "In YAML these signs begin something else than text.\n\n"
        "For example:\n    tools: [*]\n\n"
        'Instead:\n    tools: ["*"]\n'
    )
    assert explain("PL999") is None


def test_every_code_is_raised_somewhere() -> None:
    texts = "".join(path.read_text() for path in SOURCES.parent.rglob("*.py") if path.name != "codes.py")
    raised = set(re.findall(r"\bCode\.([A-Z_]+)", texts))
    assert {code.name for code in Code} - raised == set()


def test_messages_are_one_lower_case_sentence() -> None:
    goldens = (Path(__file__).parents[1] / "cases" / "diagnostics").glob("*.golden")
    for path in goldens:
        for message in re.findall(r"(?:error|warning)\[PL\d+\]: (.*)", path.read_text()):
            assert not message.endswith("."), message
            assert message[0] in "`:" or message[0].islower() or message.startswith("YAML"), message


@given(st.text(max_size=40))
def test_whatever_a_text_holds_it_is_seen(text: str) -> None:
    """Also what Unicode calls a letter and nobody sees, and letters of tags beyond the first plane."""
    seen = visible(text)
    assert all(map(shows, seen))
    assert seen == text or not all(map(shows, text))


def test_what_is_not_seen_is_written_out() -> None:
    assert visible("ok\U000e0064\u3164\u202ea\x1b[0m é") == "ok\\U000e0064\\u3164\\u202ea\\u001b[0m é"
