"""`init` against the example shop, and `doctor` on what it wrote and on what is broken."""

from __future__ import annotations

import http.server
import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from policylayer.cli.init import _name_for
from tests.cli.runner import Runner
from tests.support.ports import free_port

SHOP = [sys.executable, "-m", "policylayer.examples.shop", "--stdio"]


def test_init_writes_what_loads_and_passes(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    monkeypatch.chdir(fresh)
    done = run("init", "--name", "shop", "--", *SHOP)
    assert done.code == 0
    assert "policylayer serve" in done.out
    assert "mode: observe" in (fresh / "policylayer.yaml").read_text()
    assert run("check").out == "policies: ok (1 policy, 3 rules, 4 tests, 8 tools)\n"
    assert run("test").code == 0
    again = run("init", "--name", "shop", "--", *SHOP)
    assert (again.code, "is not overwritten" in again.err) == (1, True)
    written = fresh / "policylayer.yaml"
    # Whoever tries this may have a proxy at the usual port.
    written.write_text(written.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{free_port()}"))
    healthy = run("doctor", "--json")
    assert healthy.code == 0
    assert {line["state"] for line in healthy.lines} == {"ok"}
    assert healthy.lines[-1]["message"] == "answers, 8 tools, in observe mode: nothing is denied"


@pytest.mark.shows("proxy.1")
def test_what_init_says_to_do_next_can_be_done(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line in one shell, as people paste it; the last one would serve."""
    monkeypatch.chdir(tmp_path)
    done = run("init", "--dir", "x y/z", "--name", "shop", "--", *SHOP)
    steps = [line.strip() for line in done.out.partition("Next:\n")[2].splitlines()]
    assert steps[0] == "cd 'x y/z'"
    assert steps[-1] == "policylayer serve -c policylayer.yaml"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    script = "\n".join(["set -e", *steps[:-1]])
    shell = subprocess.run(["sh", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, check=False)
    assert shell.returncode == 0, shell.stderr
    written = (tmp_path / "x y" / "z" / ".gitignore").read_text().splitlines()
    assert {"policylayer.key", "policylayer.db*"} <= set(written)


def test_init_leaves_a_gitignore_that_is_there(run: Runner, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    done = run("init", "--dir", tmp_path, "--name", "other", "--", *SHOP)
    assert done.code == 1  # the configuration of `home` is there
    (tmp_path / "policylayer.yaml").unlink(missing_ok=True)
    (tmp_path / "policies" / "principals.yaml").unlink(missing_ok=True)
    done = run("init", "--dir", tmp_path, "--name", "other", "--", *SHOP)
    assert done.code == 0
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    assert "`policylayer.key` and `policylayer.db*` belong into it" in done.err


def test_doctor_misses_a_meta_tool_that_is_not_there(run: Runner, home: Path) -> None:
    """A misspelt one would be judged as a tool of its own, and nothing inside it."""
    declared = {"tool": "call_tol", "name": "args.tool", "arguments": "args.arguments"}
    servers = {"shop": {"command": SHOP, "unwrap": declared}}
    (home / "policylayer.yaml").write_text(json.dumps({"servers": servers, "policies": "./policies"}))
    line = run("doctor", "--json").lines[-1]
    assert (line["what"], line["state"]) == ("server shop", "bad")
    assert line["message"].startswith("it lists no tool `call_tol`, which `unwrap` names")
    assert "`create_refund`" in line["fix"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--upstream", "http://127.0.0.1:1/mcp"], "cannot ask the server `http://127.0.0.1:1/mcp`"),
        (["--", "no-such-program"], "there is no program `no-such-program`"),
        (["--", "false"], "cannot ask the server `false` for its tools"),
        (["--name", "a b", "--", "x"], "`a b` cannot name a server"),
        (["--upstream", "http://h/mcp", "--header", "nonsense"], "--header is not a header"),
    ],
)
def test_init_writes_nothing_where_it_cannot_ask(run: Runner, tmp_path: Path, arguments: list[str], said: str) -> None:
    target = tmp_path / "fresh"
    done = run("init", "--dir", target, *arguments)
    assert done.code in (1, 2)
    assert said in done.err
    assert not target.exists()


def test_init_says_first_what_is_to_be_exported(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    headers = ("--header", "Authorization: Bearer hunter2hunter2", "--header", "X-Team: a")
    done = run("init", "--dir", "fresh", "--name", "shop", *headers, "--", *SHOP)
    assert "hunter2" not in done.out
    before, _, after = done.out.partition("Next:\n")
    assert "  export SHOP_AUTHORIZATION='Bearer …'\n  export SHOP_X_TEAM='…'\n" in before
    assert "export" not in after


def test_init_says_that_a_server_wants_a_credential(run: Runner, tmp_path: Path) -> None:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(401)
            self.send_header("www-authenticate", 'Bearer resource_metadata="http://127.0.0.1/x"')
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *said: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = run("init", "--dir", tmp_path / "fresh", "--upstream", f"http://127.0.0.1:{server.server_port}/mcp")
        server.shutdown()
        thread.join()
    assert done.code == 1
    assert "it answers HTTP 401" in done.err
    assert "--header 'Authorization: Bearer" in done.err


@pytest.mark.parametrize(
    ("upstream", "command", "name"),
    [
        ("http://127.0.0.1:3001/mcp", [], "server"),
        ("https://mcp.stripe.com/v1", [], "stripe"),
        ("https://localhost/mcp", [], "server"),
        (None, ["npx", "-y", "@modelcontextprotocol/server-filesystem", "./data"], "filesystem"),
        (None, ["uvx", "mcp-server-git"], "git"),
        (None, ["./tools.py"], "tools"),
        (None, ["python", "-m", "thing"], "python"),
    ],
)
def test_names(upstream: str | None, command: list[str], name: str) -> None:
    assert _name_for(upstream, command) == name


@pytest.mark.usefixtures("begun")
def test_doctor_says_what_to_do(run: Runner, home: Path) -> None:
    os.chmod(home / "policylayer.key", 0o644)
    os.chmod(home / "policylayer.db", 0o644)
    with sqlite3.connect(home / "policylayer.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
    raw.close()
    policy = home / "policies" / "shop_test.yaml"
    policy.write_text(policy.read_text().replace("effect: allow", "effect: deny"))
    config = home / "policylayer.yaml"
    config.write_text(config.read_text() + "local_principal: agent:bot\n")
    done = run("doctor", "--json")
    assert done.code == 1
    found = {line["what"]: line for line in done.lines if line["state"] != "ok"}
    assert found["keys"]["fix"].startswith("run `chmod 600")
    assert found["database"]["fix"] == "policylayer migrate"
    assert found["policies"]["fix"] == "policylayer test"
    assert found["identity"]["state"] == "doubtful"
    assert "cannot ask the server" in found["server shop"]["message"]
    assert "BAD   server shop" in run("doctor").out


def test_doctor_without_a_configuration(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").write_text("lisen: 1\n")
    (line, *_) = run("doctor", "--json").lines
    assert (line["what"], line["state"]) == ("configuration", "bad")
