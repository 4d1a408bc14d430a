"""A policy folder that is gone, or cannot be looked into: said by who reads it, and no hindrance to a stop."""

from __future__ import annotations

import errno
import os
import shutil
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


@pytest.fixture
def gone(home: Path, begun: None) -> None:
    """The folder is not there any more; a proxy may still serve by what it read."""
    shutil.rmtree(home / "policies")


@pytest.mark.parametrize(
    "command",
    [
        ["freeze", "--all", "--reason", "stop"],
        ["freeze", "--principal", "agent:bot", "--reason", "stop"],
        ["thaw"],
        ["token", "list"],
        ["token", "create", "--role", "viewer", "--principal", "user:ada"],
        ["grant", "list"],
        ["grant", "create", "x", "--principal", "agent:bot", "--servers", "shop"],
        ["approvals", "list"],
        ["approvals", "waivers"],
        ["audit", "query"],
        ["audit", "events"],
        ["audit", "export"],
        ["audit", "verify"],
        ["audit", "prune", "--before", "1d", "--yes"],
        ["migrate"],
    ],
)
@pytest.mark.usefixtures("gone")
def test_what_needs_no_policies_works_without(run: Runner, command: list[str]) -> None:
    done = run(*command, "-c", "policylayer.yaml")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["check"],
        ["test"],
        ["access"],
        ["explain", "--principal", "agent:bot", "--server", "shop", "--tool", "get_x"],
        ["explain", "019ac000-0000-7000-8000-000000000000"],
        ["replay"],
    ],
)
@pytest.mark.usefixtures("gone")
def test_what_reads_them_says_that_they_are_gone(run: Runner, command: list[str]) -> None:
    done = run(*command)
    assert (done.code, "error[PL207]: there is no folder `./policies`" in done.err) == (3, True)


@pytest.mark.usefixtures("gone")
def test_doctor_says_that_they_are_gone(run: Runner) -> None:
    assert "there is no folder `./policies`" in run("doctor").out


@pytest.mark.usefixtures("gone")
def test_a_name_that_cannot_be_looked_up_is_not_called_unknown(run: Runner) -> None:
    done = run("freeze", "--principal", "agent:bot", "--reason", "stop")
    assert "whether anybody has this name is not known: there is no folder" in done.err


@pytest.mark.usefixtures("closed")
def test_a_folder_below_one_that_cannot_be_looked_into(run: Runner, home: Path) -> None:
    (home / "policies" / "below").mkdir()
    file = home / "policylayer.yaml"
    file.write_text(file.read_text() + "policies: ./policies/below\n")
    done = run("check")
    assert (done.code, "policies/below` cannot be looked into" in done.err) == (3, True)
