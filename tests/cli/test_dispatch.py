"""The command line itself: help, versions, misspelt commands, and one clear line for every failure."""

from __future__ import annotations

from pathlib import Path

import pytest

import policylayer.cli.application as application
from policylayer import __version__
from policylayer.cli import main
from policylayer.cli.application import COMMANDS
from policylayer.cli.output import table
from policylayer.cli.plain import COMMANDS as PLAIN
from tests.cli.runner import Runner


def test_help_and_version(run: Runner) -> None:
    assert all(name in run("--help").out for name in COMMANDS)
    assert run().code == 2
    assert run("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in PLAIN])
def test_every_command_has_help(run: Runner, name: str) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert f"policylayer {name}" in done.out


@pytest.mark.parametrize("name", PLAIN)
def test_the_plain_ones_have_help(capfd: pytest.CaptureFixture[str], name: str) -> None:
    assert main([name, "--help"]) == 0
    assert "--config" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], "there is no command `serv`\n  help: did you mean `serve`?"),
        (["xyzzy"], "there is no command `xyzzy`\n  help: policylayer --help"),
        (["check", "--nope"], "unrecognized arguments: --nope\n  help: policylayer check --help"),
        (["grant", "list", "--nope"], "No such option: --nope (Possible options: --token)"),
        (["grant", "create"], "Missing argument 'name'"),
        (["grant", "nope"], "No such command 'nope'"),
        (["token", "create", "--role", "king", "--principal", "user:x"], "'king' is not one of"),
        (["freeze", "--reason", "x"], "what exactly?"),
        (["freeze", "--reason", "x", "--all", "--server", "a"], "what exactly?"),
        (["freeze", "--reason", "x", "--principal", "refund-bot"], "a principal is written as `kind:name`"),
        (["freeze", "--reason", "x", "--principal", "agent:*"], "a principal is named whole, not by a pattern"),
        (["freeze", "--reason", "x", "--principal", "group:leads"], "a group is no principal"),
        (["init"], "which server?"),
        (["init", "--upstream", "nope"], "--upstream is not an http or https URL"),
        (["connect", "--url", "nope", "--server", "x"], "--url is not the proxy's URL"),
        (["audit", "query", "--since", "yesterday"], "neither a duration nor an instant"),
        (["approvals", "approve", "x"], "approving and denying need an approver's token"),
        (["grant", "list", "--url", "http://127.0.0.1:1"], "the API needs a person's token"),
    ],
)
@pytest.mark.usefixtures("begun")
def test_usage_is_exit_code_2(run: Runner, arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_without_a_proxy_it_is_said_where_to_look(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").unlink()
    done = run("grant", "list")
    assert done.code == 2
    assert "where is the proxy?" in done.err


def test_a_proxy_that_is_not_there(run: Runner) -> None:
    done = run("grant", "list", "--url", "http://127.0.0.1:1", "--token", "plt_x")
    assert done.code == 1
    assert "cannot reach `http://127.0.0.1:1`: connection refused" in done.err


def test_a_failure_of_ours_is_one_line(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(arguments: list[str]) -> int:
        raise RuntimeError("two\nlines \x1b[31m")

    monkeypatch.setattr(application, "run", broken)
    done = run("grant")
    assert done.code == 1
    assert done.err.splitlines()[0] == "policylayer: internal error: RuntimeError: two\\u000alines \\u001b[31m"


def test_debug_shows_where(run: Runner, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("POLICYLAYER_DEBUG", "1")
    assert main(["check", "nowhere"]) == 3
    assert "Traceback" in capfd.readouterr().err


def test_tables_are_inert(capfd: pytest.CaptureFixture[str]) -> None:
    table(("a", "b"), [["x\x1b[31m", None], ["\u202egnp", "y\nz"]])
    shown = capfd.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(shown.splitlines()) == 3
