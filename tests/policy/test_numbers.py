"""Numbers compare as the decimals that were written."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policylayer.policy.numbers import compare, exact, is_number, key, read_decimal, text

INTS = st.integers(-(2**70), 2**70) | st.integers(-(2**54), 2**54)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NEAR = st.integers(2**52, 2**55).map(float)
NUMBERS = INTS | FLOATS | NEAR | NEAR.map(lambda number: -number)


def slowly(value: float) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


@given(NUMBERS, NUMBERS)
@example(2**53 + 1, float(2**53))
@example(10**23, 1e23)
@example(0, -0.0)
def test_comparing_is_exact(left: float, right: float) -> None:
    a, b = slowly(left), slowly(right)
    assert compare(left, right) == (a > b) - (a < b)
    assert compare(left, exact(right)) == (a > b) - (a < b)


@given(NUMBERS, NUMBERS)
def test_equal_numbers_have_one_text(left: float, right: float) -> None:
    assert (text(left) == text(right)) is (compare(left, right) == 0)
    assert Decimal(text(left)) == slowly(left)


@given(NUMBERS, NUMBERS)
@example(2**53 + 1, float(2**53))
@example(10**18, 1e18)
@example(-(10**19), -1e19)
@example(0, -0.0)
def test_equal_numbers_have_one_key(left: float, right: float) -> None:
    assert (key(left) == key(right)) is (compare(left, right) == 0)
    assert key(exact(left)) == key(left)


@pytest.mark.shows("policy.5")
def test_integers_that_collide_as_such_do_not_as_keys() -> None:
    multiples = [number * sys.hash_info.modulus for number in range(1, 1000)]
    assert len(set(map(hash, multiples))) == 1
    assert len({hash(key(number)) for number in multiples}) > 900


@given(FLOATS)
def test_the_text_of_a_number_has_no_exponent(value: float) -> None:
    assert read_decimal(text(value)) is not None


@pytest.mark.parametrize("value", [True, False, None, "1", [], float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number(value: object) -> None:
    assert not is_number(value)


@pytest.mark.parametrize("value", ["", "-", ".5", "5.", "+5", "1e5", " 5", "5 ", "5\n", "1_0", "٥", "0x1", 5, None])
def test_what_is_no_decimal(value: object) -> None:
    assert read_decimal(value) is None
