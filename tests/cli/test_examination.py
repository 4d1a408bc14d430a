"""What `doctor` asks: PostgreSQL and OPA answer for themselves, and a file that cannot be written is no good one."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest

from policylayer.cli.examination import _file
from policylayer.store.backend import writing_engine
from tests.cli.runner import Runner
from tests.support.opa import opa
from tests.support.ports import free_port


def found(run: Runner, what: str) -> dict[str, str]:
    """One finding."""
    lines = run("doctor", "--json").lines
    (line,) = [line for line in lines if line["what"] == what]
    return line


WORDS = {"GRANT": "TO", "REVOKE": "FROM"}


def key(home: Path) -> None:
    (home / "policylayer.key").write_text(bytes(range(32)).hex())
    (home / "policylayer.key").chmod(0o600)


def configure(home: Path, line: str) -> None:
    with (home / "policylayer.yaml").open("a") as file:
        file.write(f"{line}\n")


@pytest.mark.shows("proxy.1")
def test_a_postgresql_that_is_not_there(run: Runner, home: Path) -> None:
    configure(home, f"database: postgresql://nobody@127.0.0.1:{free_port()}/x")
    told = found(run, "database")
    assert told["state"] == "bad"
    assert "cannot be read: nothing answers at `127.0.0.1:" in told["message"]
    assert "is the server running" in told["fix"]
    key(home)
    done = run("grant", "list")
    assert (done.code, "Errno" in done.err) == (1, False)
    assert "nothing answers at `127.0.0.1:" in done.err
    assert "is the server running" in done.err
    assert "nothing answers at `127.0.0.1:" in run("migrate").err


def test_a_postgresql_says_whom_it_takes_us_for(run: Runner, home: Path, postgres_url: str) -> None:
    (home / "policylayer.key").write_text("00" * 32)
    configure(home, f"database: {postgres_url}")
    assert "answers the role `postgres`; no schema yet" in found(run, "database")["message"]
    assert run("migrate").code == 0
    assert "which may add to the log; schema" in found(run, "database")["message"]


def test_an_opa_that_is_not_there(run: Runner, home: Path) -> None:
    configure(home, f'opa: {{url: "http://127.0.0.1:{free_port()}"}}')
    told = found(run, "opa")
    assert (told["state"], "cannot be reached: nothing answers there" in told["message"]) == ("bad", True)


def test_an_opa_whose_name_is_not_known(run: Runner, home: Path) -> None:
    configure(home, 'opa: {url: "http://opa.invalid:8181"}')
    told = found(run, "opa")
    assert told["message"].endswith("cannot be reached: the name of its host is not known")


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
    monkeypatch.setattr(os, "access", as_its_mode_says)
    (locked, *_) = _file(path)
    assert (locked.state, "is read-only" in locked.message) == ("bad", True)
    assert "chmod u+rw" in locked.fix
    path.chmod(0)
    (locked,) = _file(path)
    assert (locked.state, "cannot be read by the user" in locked.message) == ("bad", True)
    assert "chmod u+rw" in locked.fix


def as_its_mode_says(path: Path, asked: int) -> bool:
    return stat.S_IMODE(os.stat(path).st_mode) >> 6 & asked == asked


@pytest.mark.usefixtures("begun")
@pytest.mark.shows("proxy.1")
def test_a_database_that_a_start_refuses(run: Runner, home: Path) -> None:
    os.link(home / "policylayer.db", home / "other.db")
    told = found(run, "database")
    assert (told["state"], "has another name (a hard link)" in told["message"]) == ("bad", True)
    assert "find -L" in told["fix"]
    (home / "other.db").unlink()
    configure(home, "database: sqlite:///policies")
    told = found(run, "database")
    assert (told["state"], told["message"]) == ("bad", f"`{home / 'policies'}` is not a file")


@pytest.mark.shows("proxy.1")
def test_files_that_the_first_start_cannot_make(run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(home, "database: sqlite:///nosuch/x.db\nkeys: {file: nosuch/k}")
    for what, name in (("database", "x.db"), ("keys", "k")):
        told = found(run, what)
        assert (told["state"], told["fix"]) == ("bad", f"mkdir -p {home / 'nosuch'}")
        assert told["message"] == f"`{home / 'nosuch' / name}` cannot be made: there is no folder `{home / 'nosuch'}`"
    (home / "nosuch").mkdir(mode=0o500)
    monkeypatch.setattr(os, "access", as_its_mode_says)
    told = found(run, "keys")
    assert (told["state"], told["message"].endswith("nosuch` is read-only")) == ("bad", True)


def test_a_policy_that_cannot_be_read_is_what_doctor_names(run: Runner, home: Path) -> None:
    """Without it there may be no policy at all, which is not what is wrong."""
    for name in ("principals.yaml", "shop_test.yaml"):
        (home / "policies" / name).unlink()
    (home / "policies" / "shop.yaml").chmod(0o666)
    told = found(run, "policies")
    assert (told["state"], "anybody on this machine may write this file" in told["message"]) == ("bad", True)


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


def test_a_role_that_the_owner_has_to_let_in(run: Runner, home: Path, postgres_url: str) -> None:
    """Before there is a schema, when there is one, and when the log is pruned: it is said whose turn it is."""
    key(home)
    role = f"proxy{os.getpid()}"
    configure(home, f"database: {postgres_url}")
    shutil.copy(home / "policylayer.yaml", home / "owner.yaml")
    proxys = home / "policylayer.yaml"
    proxys.write_text(proxys.read_text().replace("://postgres@", f"://{role}@"))
    owner = ("-c", "owner.yaml")
    asyncio.run(as_owner(postgres_url, f"CREATE ROLE {role} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    try:
        told = found(run, "database")
        assert (told["state"], "may not make the schema" in told["message"]) == ("bad", True)
        assert told["fix"].endswith(f"`policylayer migrate -c OWNER.yaml --role {role}`")
        for use, said in (("REVOKE", "no schema has been selected"), ("GRANT", "permission denied for schema public")):
            asyncio.run(as_owner(postgres_url, f"{use} USAGE ON SCHEMA public {WORDS[use]} PUBLIC"))
            refused = run("serve")
            assert (refused.code, said in refused.err) == (3, True)
            assert f"policylayer migrate -c OWNER.yaml --role {role}" in refused.err
        assert "the configuration of the tables' owner" in run("migrate").err
        assert run("migrate", *owner).code == 0
        assert f"policylayer migrate -c OWNER.yaml --role {role}" in run("serve").err
        assert run("migrate", "--role", role, *owner).code == 0
        pruned = run("audit", "prune", "--before", "1d", "--yes")
        assert (pruned.code, "only the tables' owner may remove rows" in pruned.err) == (1, True)
        assert "policylayer audit prune -c OWNER.yaml" in pruned.err
        assert run("audit", "prune", "--before", "1d", "--yes", *owner).code == 0
    finally:
        asyncio.run(as_owner(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}"))


async def as_owner(url: str, *statements: str) -> None:
    engine = writing_engine(url)
    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
    await engine.dispose()


def test_a_new_postgresql_wants_a_key_that_someone_makes(run: Runner, home: Path, postgres_url: str) -> None:
    configure(home, f"database: {postgres_url}")
    done = run("grant", "list")
    assert done.code == 3
    assert "for a new database: openssl rand -hex 32 >" in done.err
