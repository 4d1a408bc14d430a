"""A policy folder that cannot be looked into, as another user's: said with its name, and no hindrance to a stop."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.runner import Runner


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder after `chmod 000`, also for who may read everything."""
    looked_at = os.stat

    def look(path: Any, **how: Any) -> os.stat_result:
        if str(path).startswith(f"{home / 'policies'}/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return looked_at(path, **how)

    monkeypatch.setattr(os, "stat", look)
    return home / "policies"


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["test"],
        ["access"],
        ["explain", "--principal", "agent:bot", "--server", "shop", "--tool", "get_x"],
        ["replay"],
        ["reload"],
    ],
)
@pytest.mark.usefixtures("begun")
def test_who_reads_it_says_which_it_is(run: Runner, closed: Path, command: list[str]) -> None:
    done = run(*command)
    assert done.code == 3
    assert f"`{closed}` cannot be looked into: permission denied" in done.err
    assert "help: " in done.err


@pytest.mark.usefixtures("begun")
def test_doctor_has_a_finding(run: Runner, closed: Path) -> None:
    (found,) = (line for line in run("doctor", "--json").lines if line["what"] == "policies")
    assert found["message"] == f"`{closed}` cannot be looked into: permission denied"


@pytest.mark.usefixtures("begun", "closed")
def test_a_freeze_stands_and_says_what_is_not_known(run: Runner) -> None:
    done = run("freeze", "--principal", "agent:bot", "--reason", "odd")
    assert (done.code, done.out.split(" (")[0]) == (0, "Frozen: agent:bot")
    assert "whether anybody has this name is not known" in done.err


@pytest.mark.usefixtures("begun", "closed")
def test_a_grant_that_is_made_is_shown(run: Runner) -> None:
    done = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--json")
    assert (done.code, done.json["token"][:4]) == (0, "plg_")
