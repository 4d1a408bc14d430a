"""What `doctor` asks: PostgreSQL and OPA answer for themselves, and a file that cannot be written is no good one."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from policylayer.cli.examination import _file
from tests.cli.runner import Runner
from tests.support.opa import opa
from tests.support.ports import free_port


def found(run: Runner, what: str) -> dict[str, str]:
    """One finding."""
    lines = run("doctor", "--json").lines
    (line,) = [line for line in lines if line["what"] == what]
    return line


def configure(home: Path, line: str) -> None:
    with (home / "policylayer.yaml").open("a") as file:
        file.write(f"{line}\n")


@pytest.mark.shows("proxy.1")
def test_a_postgresql_that_is_not_there(run: Runner, home: Path) -> None:
    configure(home, f"database: postgresql://nobody@127.0.0.1:{free_port()}/x")
    told = found(run, "database")
    assert told["state"] == "bad"
    assert "cannot be read" in told["message"]
    assert "is the server running" in told["fix"]


def test_a_postgresql_says_whom_it_takes_us_for(run: Runner, home: Path, postgres_url: str) -> None:
    (home / "policylayer.key").write_text("00" * 32)
    configure(home, f"database: {postgres_url}")
    assert "answers the role `postgres`; no schema yet" in found(run, "database")["message"]
    assert run("migrate").code == 0
    assert "which may add to the log; schema" in found(run, "database")["message"]


def test_an_opa_that_is_not_there(run: Runner, home: Path) -> None:
    configure(home, f'opa: {{url: "http://127.0.0.1:{free_port()}"}}')
    told = found(run, "opa")
    assert (told["state"], "failed: ClientConnectorError" in told["message"]) == ("bad", True)


async def _with_opa(run: Runner, home: Path, more: str) -> dict[str, str]:
    async with opa() as server:
        configure(home, f'opa: {{url: "{server.url}"{more}}}')
        return await asyncio.to_thread(found, run, "opa")


def test_an_opa_that_answers(run: Runner, home: Path) -> None:
    assert asyncio.run(_with_opa(run, home, ", push: true"))["state"] == "ok"


def test_an_opa_without_the_document_that_is_asked_for(run: Runner, home: Path) -> None:
    told = asyncio.run(_with_opa(run, home, ""))
    assert (told["state"], "holds no such rule" in told["message"]) == ("bad", True)


@pytest.mark.usefixtures("begun")
def test_a_file_that_cannot_be_written(run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "policylayer.db"
    path.chmod(stat.S_IRUSR)
    # Root may write everything.
    monkeypatch.setattr(os, "access", lambda each, mode: os.stat(each).st_mode & stat.S_IWUSR)
    (locked, *_) = _file(path)
    assert (locked.state, "is read-only" in locked.message) == ("bad", True)
    assert "chmod u+w" in locked.fix


def test_a_grant_on_a_server_that_is_observed(run: Runner, home: Path) -> None:
    """Nothing is denied there yet."""
    config = home / "policylayer.yaml"
    config.write_text(config.read_text().replace('/mcp"}', '/mcp", mode: observe}'))
    told = run("grant", "create", "a", "--principal", "user:bto", "--servers", "shop").err
    assert "its calls pass while the server is in observe mode" in told


def test_roles_that_there_are_not(run: Runner, home: Path, postgres_url: str) -> None:
    configure(home, f"database: {postgres_url}")
    done = run("migrate", "--role", "nobody")
    assert (done.code, 'CREATE ROLE "nobody"' in done.err) == (1, True)
    config = home / "policylayer.yaml"
    config.write_text(config.read_text().replace("://postgres@", "://nobody@"))
    done = run("migrate")
    assert done.code == 1
    assert 'cannot be migrated: role "nobody" does not exist' in done.err
    assert "internal error" not in done.err


def test_a_new_postgresql_wants_a_key_that_someone_makes(run: Runner, home: Path, postgres_url: str) -> None:
    configure(home, f"database: {postgres_url}")
    done = run("grant", "list")
    assert done.code == 3
    assert "for a new database: openssl rand -hex 32 >" in done.err
