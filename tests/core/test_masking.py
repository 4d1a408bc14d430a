"""What of a text is masked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Mask
from policylayer.core.masking import MASKED, NAMED, is_card, masker, without

CASES = [
    ("email", "contact alice.o'neil+x@exa-mple.co.uk, or <bob@x.io>.", "contact [masked], or <[masked]>."),
    ("email", "jürgen@münchen.de and a@b", "[masked] and a@b"),
    ("phone", "call +49 30 1234567 now", "call [masked] now"),
    ("phone", "+1 (555) 123-4567, 555-123-4567, 030 1234567", "[masked], [masked], [masked]"),
    ("phone", "at 1700000000 on 2026-11-23 10:00:00", "at 1700000000 on 2026-11-23 10:00:00"),
    ("card", "4111 1111 1111 1111 and 4012888888881881", "[masked] and [masked]"),
    ("card", "x4111-1111-1111-1111y, 1 4111111111111111 2", "x[masked]y, 1 [masked] 2"),
    ("card", "378282246310005 5555.5555.5555.4444", "[masked] [masked]"),
    ("card", "1234567890123456 4111111111111112", "1234567890123456 4111111111111112"),
    ("iban", "DE89 3704 0044 0532 0130 00 is mine", "[masked] is mine"),
    ("iban", "DE89370400440532013000 AND MORE", "[masked] AND MORE"),
    ("iban", "gb82west12345698765432, GB82 WEST 1234 5698 7654 32", "[masked], [masked]"),
    ("iban", "DE00370400440532013000", "DE00370400440532013000"),
    ("jwt", "tok eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc def", "tok [masked] def"),
    ("ip", "from 10.0.0.1, 2001:db8::1 and ::1 at 12:30:45", "from [masked], [masked] and [masked] at 12:30:45"),
    ("ip", "std::vector<T> a :: b, 256.1.1.1", "std::vector<T> a :: b, 256.1.1.1"),
    ("secret", "password: hunter2 and sk-abcdefghijklmnop1234", "password: [masked] and [masked]"),
    ("secret", "c2stYWJjZGVmZ2hpamtsbW5vcDEyMzQ=", "[masked]"),
    ("secret", "nothing to see", "nothing to see"),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_named_patterns(pattern: str, text: str, expected: str) -> None:
    assert masker((Mask(pattern=pattern),)).text(text) == expected


def test_expressions_are_re2_and_several_are_one_pass() -> None:
    both = masker((Mask(regex="[A-Z]{2}[0-9]{6}"), Mask(regex="6 x+"), Mask(pattern="email")))
    assert both.text("AB123456 xxx a@b.io") == "[masked] [masked]"
    assert masker((Mask(regex="a*"),)).text("bab") == "b[masked]b"
    assert masker((Mask(regex="(?s)b.c"),)).text("ab\ncd") == "a[masked]d"


def test_numbers_are_looked_at_as_they_are_written() -> None:
    cards = masker((Mask(pattern="card"), Mask(pattern="phone")))
    assert cards.hides_number("4111111111111111")
    assert not cards.hides_number("4111111111111112")
    assert masker((Mask(regex="^12.5$"),)).hides_number("12.5")


def test_names_of_secrets() -> None:
    secrets = masker((Mask(pattern="secret"),))
    assert secrets.hides_member("api_key", "x")
    assert not secrets.hides_member("amount", "x")
    assert not masker((Mask(pattern="email"),)).hides_member("api_key", "x")


def test_paths_begin_below_the_result() -> None:
    found = masker((Mask(path="result.structuredContent.*.iban"), Mask(path='result."a.b".**')))
    assert found.paths == (("structuredContent", "*", "iban"), ("a.b", "**"))


def luhn(digits: str) -> str:
    """The digit that makes it a card's number."""
    return next(str(last) for last in range(10) if is_card(f"{digits}{last}"))


@given(st.text("0123456789", min_size=14, max_size=14).map(lambda rest: f"4{rest}"), st.sampled_from(["", " ", "-"]))
def test_every_card_is_found_however_it_is_grouped(digits: str, between: str) -> None:
    number = digits + luhn(digits)
    written = between.join(number[at : at + 4] for at in range(0, 16, 4))
    assert masker((Mask(pattern="card"),)).text(f"<{written}>") == f"<{MASKED}>"


@given(st.text(), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))))
def test_nothing_of_a_span_is_left_and_nothing_else_is_lost(text: str, found: list[tuple[int, int]]) -> None:
    spans = [(min(a, b), max(a, b)) for a, b in found if max(a, b) <= len(text)]
    hidden = {at for start, end in spans for at in range(start, end)}
    kept = "".join(char for at, char in enumerate(text) if at not in hidden)
    assert without(text, spans).replace(MASKED, "") == kept.replace(MASKED, "")


@pytest.mark.parametrize("piece", ["1 ", "a", "1", ":", "A1", "@", "a@", "1.", "(555) ", "eyJaaaaaa."])
def test_no_text_takes_long(piece: str) -> None:
    """A bound that no machine misses by being slow: quadratic work on these would take hours."""
    text, begun = piece * (200_000 // len(piece)), time.process_time()
    masker(tuple(Mask(pattern=name) for name in (*NAMED, "secret"))).text(text)
    assert time.process_time() - begun < 60


def test_a_pattern_that_there_is_not_lets_nothing_pass() -> None:
    with pytest.raises(ValueError, match="no pattern is called cards"):
        masker((Mask(pattern="cards"),))
