"""Times on a command line: a duration or an instant, and what is said of what is neither."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from policylayer.cli.exits import UsageError
from policylayer.cli.times import instant, since
from tests.cli.runner import Runner


def test_a_duration_is_counted_from_now_and_an_instant_is_taken_as_it_is() -> None:
    now = datetime.now(UTC)
    assert abs(datetime.fromisoformat(since("2h")) - now + timedelta(hours=2)) < timedelta(minutes=1)
    assert abs(datetime.fromisoformat(instant("90d")) - now - timedelta(days=90)) < timedelta(minutes=1)
    assert since("2027-01-31T12:00:00") == "2027-01-31T12:00:00+00:00"


@pytest.mark.shows("audit.1")
def test_a_duration_that_no_calendar_holds_is_refused_with_what_to_write() -> None:
    with pytest.raises(UsageError, match="`999999d` reaches beyond the years 1 to 9999") as refused:
        since("999999d")
    assert refused.value.help == "write a shorter duration, or an instant"
    assert instant("999999d").startswith("4")


@pytest.mark.shows("audit.1")
@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("command", [("query", "--since"), ("prune", "--yes", "--before")])
def test_such_a_duration_ends_a_command_as_other_wrong_ones_do(run: Runner, command: tuple[str, ...]) -> None:
    for text in ("999999d", "soon"):
        done = run("audit", *command, text)
        assert done.code == 2, done.err
        assert f"`{text}` " in done.err
        assert "Traceback" not in done.err
