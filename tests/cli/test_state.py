"""Grants, tokens, freezes and the log with `-c FILE`: the database is reached directly, in the API's words."""

from __future__ import annotations

import csv
import io
import sqlite3
import sys
from pathlib import Path

import pytest

from tests.cli.runner import Runner


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "verify"],
        ["audit", "query"],
        ["audit", "export"],
        ["audit", "tail"],
        ["audit", "prune", "--before", "1d", "--yes"],
        ["grant", "list"],
        ["token", "list"],
        ["approvals", "list"],
        ["thaw"],
        ["freeze", "--all", "--reason", "stop"],
    ],
)
@pytest.mark.shows("audit.5")
def test_a_database_that_is_not_there_is_said_and_not_made(run: Runner, home: Path, arguments: list[str]) -> None:
    before = sorted(home.iterdir())
    done = run(*arguments)
    assert (done.code, done.out) == (1, "")
    assert f"there is no database `{home / 'policylayer.db'}`" in done.err
    assert sorted(home.iterdir()) == before
    assert run("replay").err == done.err, "one thing is said in one way"


def test_an_empty_file_is_no_database_to_read(run: Runner, home: Path, begun: None) -> None:
    for name in ("policylayer.db", "policylayer.db-wal", "policylayer.db-shm"):
        (home / name).unlink(missing_ok=True)
    (home / "policylayer.db").touch()
    done = run("audit", "verify")
    assert (done.code, "the database is empty" in done.err) == (1, True)
    assert (home / "policylayer.db").read_bytes() == b""


def test_the_first_grant_makes_the_database_and_says_so(run: Runner) -> None:
    made = "There was no database"
    assert made in run("grant", "create", "a", "--principal", "agent:bot", "--servers", "shop").err
    assert made not in run("grant", "create", "b", "--principal", "agent:bot", "--servers", "shop").err
    assert run("audit", "verify").code == 0


def test_a_grant_is_made_listed_rotated_and_revoked(run: Runner) -> None:
    made = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop", "--expires", "90d", "--json")
    assert list(made.json) == ["id", "name", "principal", "servers", "token", "expires_at"]
    assert made.json["token"].startswith("plg_")
    assert made.json["expires_at"] is not None
    (listed,) = run("grant", "list", "--json").lines
    assert listed["name"] == "bot"
    assert "token" not in listed
    assert "bot" in run("grant", "list").out
    rotated = run("grant", "rotate", "bot", "--json").json
    assert rotated["id"] == made.json["id"]
    assert rotated["token"] != made.json["token"]
    assert run("grant", "revoke", "bot").out == "Revoked: bot (agent:bot).\n"
    gone = run("grant", "revoke", "bot")
    assert (gone.code, gone.err.splitlines()[0]) == (1, "policylayer: no grant `bot` stands")


def test_a_grant_for_people_comes_with_snippets(run: Runner) -> None:
    done = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop")
    assert "claude mcp add" in done.out
    assert "only time the token is shown" in done.err


def test_a_principal_that_no_rule_lets_in_is_told(run: Runner) -> None:
    misspelt = run("grant", "create", "a", "--principal", "user:bto", "--servers", "shop")
    assert misspelt.code == 0
    assert "No rule lets `user:bto` do anything on `shop`" in misspelt.err
    known = run("grant", "create", "b", "--principal", "agent:bot", "--servers", "shop")
    assert "No rule" not in known.err


def unreadable(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_grant_shows_its_token_also_where_the_policies_cannot_be_read(
    run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a rule opens it is a hint; the token is shown once."""
    asked = ("--principal", "agent:bot", "--servers", "shop", "--json")
    with monkeypatch.context() as locked:
        locked.setattr("policylayer.revisions.folder.git_folder", unreadable)
        assert run("grant", "create", "a", *asked).json["token"].startswith("plg_")
    config = home / "policylayer.yaml"
    config.write_text(config.read_text() + "policies: git:.@gone\n")
    done = run("grant", "create", "b", *asked)
    assert (done.code, done.json["token"][:4], done.err) == (0, "plg_", "")
    assert len(run("grant", "list", "--json").lines) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--principal", "agent:bot", "--servers", "nowhere"], "not among the configured servers: `nowhere`"),
        (["--principal", "agent:bot", "--servers", "shop", "--expires", "2020-01-01"], "the expiry lies in the past"),
    ],
)
def test_what_no_grant_can_be(run: Runner, arguments: list[str], said: str) -> None:
    done = run("grant", "create", "x", *arguments)
    assert done.code == 1
    assert said in done.err


@pytest.mark.shows("proxy.1")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["grant", "create", "x", "--principal", "bot", "--servers", "shop"], "--principal cannot be `bot`"),
        (["grant", "create", "x", "--principal", "agent:x", "--servers", ""], "--servers names servers: there is none"),
        (["grant", "create", "x", "--principal", "agent:x", "--servers", "a b"], "`a b` is no server's name"),
        (["grant", "create", "", "--principal", "agent:x", "--servers", "shop"], "a grant needs a name"),
        (["grant", "create", "x" * 201, "--principal", "agent:x", "--servers", "shop"], "up to 200 characters"),
        (["token", "create", "--role", "admin", "--principal", "bot"], "--principal cannot be `bot`"),
        (["grant", "rotate", "x", "--overlap=-1"], "--overlap cannot be `-1`"),
        (["grant", "rotate", "x", "--overlap", "8d"], "a duration up to `7d`"),
        (["grant", "list", "-c", "policylayer.yaml", "--url", "http://x"], "-c and --url are two ways"),
        (["explain", "x", "--principal", "agent:x"], "--principal is about a call that nobody has made"),
        (["explain", "x", "--label", "a"], "are about a call that nobody has made"),
        (["explain", "--principal", "agent:x", "--server", "s", "--tool", "a", "--tool", "b"], "--tool is there twice"),
        (["replay", "--output", "markdown", "--json"], "--json and --output markdown are two formats"),
    ],
)
def test_what_does_not_fit_is_said_of_the_option(run: Runner, command: list[str], said: str) -> None:
    done = run(*command)
    assert done.code == 2
    assert said in done.err


@pytest.mark.usefixtures("begun")
def test_the_url_of_the_environment_is_no_second_way(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYLAYER_URL", "http://127.0.0.1:1")
    assert run("grant", "list", "-c", "policylayer.yaml").code == 0


def test_rotating_with_an_overlap(run: Runner) -> None:
    assert run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop,shop").code == 0
    assert run("grant", "rotate", "bot", "--overlap", "5m").code == 0
    assert run("grant", "rotate", "bot", "--overlap", "30").code == 0


def test_what_a_client_launches_is_found_without_a_path(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    told = run("grant", "create", "bot", "--principal", "agent:bot", "--servers", "shop").out
    assert f'"command": "{Path(sys.executable).parent}/' in told
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    told = run("grant", "create", "other", "--principal", "agent:bot", "--servers", "shop").out
    assert '"command": "policylayer"' in told


def test_no_test_of_that_name_is_a_failure(run: Runner) -> None:
    done = run("test", "-k", "nomatch")
    assert (done.code, "no test matches `nomatch`" in done.err) == (1, True)


def test_a_code_as_one_object(run: Runner) -> None:
    told = run("explain", "pl103", "--json").json
    assert (told["code"], list(told)) == ("PL103", ["code", "title", "explanation", "example", "fix"])
    assert run("explain", "PL103").out.startswith("PL103: ")


@pytest.mark.usefixtures("begun")
def test_a_log_is_replayed_through_the_policies_here(run: Runner, home: Path) -> None:
    assert run("audit", "export", "-o", "log.jsonl").code == 0
    assert run("replay", "--log", "log.jsonl").code == 0


def test_connecting_without_a_grant_is_said(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policylayer.upstream.front.run", lambda *given: 0)
    asked = ("connect", "--url", "http://127.0.0.1:1", "--server", "shop")
    assert "no grant is set" in run(*asked).err
    assert run(*asked, "--grant", "plg_x").err == ""


def test_tokens(run: Runner) -> None:
    made = run("token", "create", "--role", "approver", "--principal", "user:lena", "--json").json
    assert list(made) == ["id", "principal", "role", "token", "expires_at"]
    assert run("token", "list", "--json").lines[0]["role"] == "approver"
    assert run("token", "revoke", made["id"]).code == 0
    assert run("token", "list", "--json").out == ""
    assert len(run("token", "list", "--revoked", "--json").lines) == 1


@pytest.mark.usefixtures("begun")
def test_freezing_and_thawing(run: Runner) -> None:
    assert run("freeze", "--principal", "agent:bot", "--reason", "leaked").code == 0
    assert run("freeze", "--all", "--reason", "stop", "--json").json["scope"] == "all"
    assert len(run("thaw", "--json").lines) == 2
    assert "agent:bot (leaked, by local:" in run("thaw").out
    assert "`policylayer thaw --principal agent:bot` ends it." in run("thaw").out
    assert run("thaw", "--all").out.startswith("Thawed: everything (stop, by local:")
    assert run("thaw", "--server", "shop").code == 1
    assert run("thaw", "--principal", "agent:bot").code == 0
    assert run("thaw").out == "Nothing is frozen.\n"
    assert run("thaw", "--json").out == ""


@pytest.mark.usefixtures("begun")
def test_what_freezes_nobody_is_said(run: Runner) -> None:
    near = run("freeze", "--principal", "agent:bott", "--reason", "odd")
    assert (near.code, near.out.split(" (")[0]) == (0, "Frozen: agent:bott")
    assert "did you mean `agent:bot`?" in near.err
    assert run("freeze", "--principal", "agent:bot", "--reason", "odd").err == ""
    assert "those that are: `shop`" in run("freeze", "--server", "nope", "--reason", "odd").err
    assert len(run("thaw", "--json").lines) == 2


@pytest.mark.usefixtures("begun")
def test_all_that_is_frozen_is_listed(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policylayer.freezes.MOST", 2)
    for number in range(5):
        assert run("freeze", "--principal", f"agent:{number}", "--reason", "odd").code == 0
    assert len(run("thaw", "--json").lines) == 5


@pytest.mark.usefixtures("begun")
def test_an_empty_log(run: Runner, home: Path) -> None:
    assert run("audit", "query", "--json").out == ""
    assert run("audit", "export", "-o", "out.jsonl").code == 0
    assert (home / "out.jsonl").read_text() == ""
    assert run("audit", "show", "nothing").code == 1
    header = next(csv.reader(io.StringIO(run("audit", "export", "--format", "csv").out)))
    assert header[:2] == ["id", "kind"]


def test_approving_needs_a_token_also_here(run: Runner) -> None:
    assert run("approvals", "list", "--json").out == ""
    token = run("token", "create", "--role", "approver", "--principal", "user:lena", "--json").json["token"]
    assert run("approvals", "approve", "x").code == 2
    assert "nobody holds this token" in run("approvals", "approve", "x", "--token", "plt_x").err
    assert "there is no such approval" in run("approvals", "approve", "x", "--token", token).err
    assert "there is no such approval" in run("approvals", "withdraw", "x").err


@pytest.mark.usefixtures("begun")
def test_a_key_of_another_database_is_refused(run: Runner, home: Path) -> None:
    assert run("grant", "list").code == 0
    (home / "policylayer.key").unlink()
    done = run("grant", "list")
    assert done.code == 3
    assert "policylayer.key` is missing" in done.err
    assert not (home / "policylayer.key").exists(), "another key would be of no use"
    assert "the key file" in next(line for line in run("doctor").out.splitlines() if line.startswith("BAD"))
    (home / "policylayer.key").write_text(f"{bytes(range(32)).hex()}\n")
    (home / "policylayer.key").chmod(0o600)
    assert "BAD   keys: the key is not the one that the database was begun with" in run("doctor").out
    done = run("grant", "list")
    assert done.code == 3
    assert "the key is not the one this database was begun with" in done.err


def test_a_variable_that_holds_no_key_is_named(run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / "policylayer.yaml"
    file.write_text(file.read_text() + "keys: {env: PL_KEY}\n")
    monkeypatch.setenv("PL_KEY", "short")
    done = run("token", "create", "--role", "viewer", "--principal", "user:ada")
    assert "the environment variable `PL_KEY` holds no key" in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    assert "the environment variable `PL_KEY` holds no key" in run("audit", "mark").err


def test_migrate(run: Runner) -> None:
    assert run("migrate").out == "The database went from nothing to schema `0001`.\n"
    assert run("migrate", "--json").json == {"before": "0001", "after": "0001"}


@pytest.mark.usefixtures("begun")
def test_verifying_and_pruning(run: Runner, home: Path) -> None:
    assert run("freeze", "--all", "--reason", "stop").code == 0
    good = run("audit", "verify", "--json").json
    assert (good["good"], good["problems"]) == (True, [])
    assert good["rows"] > 1
    assert run("audit", "prune", "--before", "0s", "--yes", "--json").json["removed"] == good["rows"]
    after = run("audit", "verify")
    assert (after.code, after.out.split(":")[0]) == (0, "Nothing is wrong")
    with sqlite3.connect(home / "policylayer.db", isolation_level=None) as database:
        database.execute("DROP TRIGGER records_no_update")
        database.execute("UPDATE records SET principal = 'user:mallory' WHERE reason_code = 'log.pruned'")
    database.close()
    told = run("audit", "verify")
    assert told.code == 1
    assert "changed: the row is not what was written here" in told.out
    assert run("audit", "prune", "--before", "never", "--yes").code == 2
    before = run("audit", "query", "--json").out
    future = run("audit", "prune", "--before", "2200-01-01", "--yes")
    assert (future.code, "--before lies in the future: it is 20" in future.err) == (2, True)
    assert run("audit", "query", "--json").out == before
    assert run("audit", "verify", "--checkpoints", "nowhere").code == 1


@pytest.mark.usefixtures("begun")
@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("answer", ["n\n", ""])
def test_pruning_asks_beside_its_answer(run: Runner, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    assert run("freeze", "--all", "--reason", "stop").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    done = run("audit", "prune", "--before", "0s", "--json")
    assert (done.code, done.out) == (1, "")
    assert "Remove all rows before" in done.err
    assert "nothing was removed" in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("audit", "prune", "--before", "0s", "--json").json["removed"] == 2


@pytest.mark.usefixtures("begun")
@pytest.mark.shows("audit.1")
@pytest.mark.shows("audit.5")
def test_one_pruning_after_the_other_leaves_a_log_that_verifies(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").write_text(
        (home / "policylayer.yaml").read_text() + "audit: {checkpoints: {file: heads.jsonl}}\n"
    )
    assert run("freeze", "--all", "--reason", "stop").code == 0
    for _ in range(5):
        assert run("audit", "prune", "--before", "0s", "--yes").code == 0
        told = run("audit", "verify", "--checkpoints", home / "heads.jsonl")
        assert told.code == 0, told.out


@pytest.mark.usefixtures("begun")
def test_a_checkpoint_kept_elsewhere_tells_of_what_is_gone(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").write_text(
        (home / "policylayer.yaml").read_text() + "audit: {checkpoints: {file: heads.jsonl}}\n"
    )
    assert run("freeze", "--all", "--reason", "stop").code == 0
    assert run("audit", "prune", "--before", "0s", "--yes").code == 0
    assert run("audit", "verify", "--checkpoints", home / "heads.jsonl").code == 0
    for name in ("policylayer.db", "policylayer.db-wal", "policylayer.db-shm"):
        (home / name).unlink(missing_ok=True)
    assert run("token", "create", "--role", "viewer", "--principal", "user:a").code == 0
    told = run("audit", "verify", "--checkpoints", home / "heads.jsonl")
    assert (told.code, told.out.split(":")[0]) == (1, "missing_chain")


@pytest.mark.usefixtures("begun")
def test_parquet(run: Runner, home: Path) -> None:
    pytest.importorskip("pyarrow", reason="`pyarrow` is not installed")
    from pyarrow import parquet

    assert run("audit", "export", "--format", "parquet", "-o", "log.parquet").code == 0
    assert parquet.read_schema(home / "log.parquet").names[:2] == ["id", "kind"]
