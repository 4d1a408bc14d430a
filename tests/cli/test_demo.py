"""The demo as a new user sees it: three calls, an approval by the printed command, and an orderly end."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from policylayer.store.lock import FileLock
from tests.cli.program import Command
from tests.cli.runner import Runner


@pytest.mark.shows("proxy.1")
@pytest.mark.shows("audit.1")
def test_the_demo_from_start_to_end(run: Runner, tmp_path: Path) -> None:
    for _ in range(2):  # The second start goes on where the first ended.
        with Command("demo", "--port", "0", "--dir", "here", cwd=tmp_path) as demo:
            url = demo.url
            demo.line("a small refund: create_refund")
            assert "done:" in demo.line("| ")
            demo.line("deleting a customer: delete_customer")
            assert "Refused: delete_customer on shop." in demo.line("| ")
            demo.line("a large refund: create_refund")
            assert "held until a person answers" in demo.line("| ")
            for effect, rule in (
                ("allow", "support/small-refunds"),
                ("deny", "support/no-deletions"),
                ("require_approval", "support/large-refunds"),
            ):
                assert rule in demo.line(effect)
            command = shlex.split(demo.line("policylayer approvals approve"))
            assert url in command
            exports = shlex.split(demo.line("export POLICYLAYER_URL="))
            for client in ("claude mcp add", ".cursor/mcp.json", ".vscode/mcp.json"):
                demo.line(client)
            demo.line("Serving until Ctrl-C.")

            assert run(*command[1:]).code == 0
            demo.line("a large refund: create_refund")
            assert "done:" in demo.line("| ")
            token = exports[2].partition("=")[2]
            (row, *_) = run("audit", "query", "--json", "--url", url, "--token", token).lines
            assert (row["kind"], row["outcome"]["state"]) == ("release", "executed")
            _who_approved(run, row, ("--url", url, "--token", token))

            assert demo.end(signal.SIGINT) == 0
        assert "Traceback" not in demo.output()
        assert "failed" not in demo.output()
    assert (tmp_path / "here" / "tokens.json").stat().st_mode & 0o077 == 0


def _who_approved(run: Runner, release: dict[str, Any], there: tuple[str, ...]) -> None:
    """One execution is shown once, and its approver wherever one looks for it."""
    held = run("audit", "show", release["parent"], *there).out
    assert f"released by     {release['id']}" in held
    assert "approve by user:lena@example.com" in held
    votes = run("audit", "show", release["id"], "--json", *there).json["approval"]["votes"]
    assert [(vote["principal"], vote["decision"]) for vote in votes] == [("user:lena@example.com", "approve")]
    listed = run("audit", "query", "--enforced", "require_approval", "--limit", "1", *there).out
    assert listed.splitlines()[1].split()[-2] == "released"
    (voted, *_) = run("audit", "events", "--type", "approval.voted", "--since", "1h", "--json", *there).lines
    assert (voted["actor"], voted["detail"]["approval_id"]) == ("user:lena@example.com", release["approval_id"])
    exported = run("audit", "export", "--events", "--type", "approval.voted", *there).lines
    assert exported[-1] == voted
    assert run("audit", "events", "--until", "1d", "--json", *there).lines == []


def test_a_taken_port_is_one_line(run: Runner, tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("demo", "--port", str(taken.getsockname()[1]), "--dir", tmp_path / "here")
    assert done.code == 1
    assert "address already in use" in done.err
    assert 'make up ARGS="--port 0"' in done.err
    assert "`policylayer demo --port 0`" in done.err


def test_a_second_one_in_the_same_folder_is_told_of_another(run: Runner, tmp_path: Path) -> None:
    """And leaves what the first one wrote."""
    home = tmp_path / "here"
    home.mkdir()
    first = FileLock(home / "policylayer.db")
    first.take()
    (home / "policylayer.yaml").write_text("of the first one")
    done = run("demo", "--port", "0", "--dir", home)
    first.release()
    assert (done.code, "is served by process" in done.err) == (1, True)
    assert "`policylayer demo --dir DIR --port 0`" in done.err
    assert "database`" not in done.err.partition("help:")[2]
    assert (home / "policylayer.yaml").read_text() == "of the first one"
