"""The Date field: of the second in which it is asked for."""

from __future__ import annotations

import pytest

from policylayer.serve.date import Dates

pytestmark = pytest.mark.shows("speed.3")


def test_it_is_of_the_second_in_which_it_is_asked_for() -> None:
    now = [784111777.0]
    dates = Dates(lambda: now[0])
    # RFC 9110, 5.6.7.
    assert dates.field() == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    now[0] += 0.999
    assert dates.field() == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    now[0] += 0.001
    assert dates.field() == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_a_clock_that_is_set_back_is_believed() -> None:
    now = [784111777.0]
    dates = Dates(lambda: now[0])
    dates.field()
    now[0] -= 3600
    assert dates.field() == b"date: Sun, 06 Nov 1994 07:49:37 GMT\r\n"
