"""The first minutes of a new user: a clean clone, `make up`, one's own client, Ctrl-C; then the README's tour.

Everything that this checkout has committed is cloned; what is only in its work tree is not tested here.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.e2e.clients import Said, Way, python
from tests.support import require
from tests.support.ports import free_port
from tests.support.processes import ROOT, Program
from tests.support.running import until

DONE = "| done:"
"""What the demo's agent shows of a call that ran."""

INSTALL = 900.0
"""Seconds that the first installation may take."""

pytestmark = pytest.mark.slow


def clean() -> dict[str, str]:
    """The environment of someone who has Python, git and make, and nothing of this project."""
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours and "POLICYLAYER" not in name}
    path = [folder for folder in kept.get("PATH", "").split(os.pathsep) if not folder.startswith(str(ROOT))]
    return {**kept, "PATH": os.pathsep.join(path)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user gets: the last commit, with nothing installed."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so there is nothing to clone")
    for name in ("git", "make"):
        require.program(name)
    folder = tmp_path_factory.mktemp("user") / "policylayer"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True, env=clean())
    return folder


class Demo:
    """The demo in a clone, started by a command, with its standard input closed."""

    def __init__(self, clone: Path, *command: str) -> None:
        self.clone = clone
        quoted = shlex.join(command)
        self.program = Program(["env", "-i", *pairs(clean()), "sh", "-c", f"exec {quoted} <&-"], cwd=clone)

    def served(self) -> Demo:
        """Wait until it has shown everything and serves."""
        try:
            self.program.wait_for("Serving until Ctrl-C", INSTALL)
        except AssertionError:
            self.program.stop()
            if "could not be installed" in self.text:
                pytest.skip(f"the package index cannot be reached: {self.program.errors[-3:]}")
            raise
        return self

    @property
    def text(self) -> str:
        """All it has written so far."""
        return self.program.output()

    def found(self, pattern: str) -> str:
        """The first group of a pattern in what it has written."""
        found = re.search(pattern, self.text)
        assert found, f"nothing like {pattern} in\n{self.text}"
        return found[1]

    def ctrl_c(self) -> int:
        """What a terminal does on Ctrl-C; the exit code."""
        self.program.interrupt()
        try:
            return self.program.process.wait(20)
        finally:
            self.program.stop()


def pairs(environment: dict[str, str]) -> list[str]:
    """As `env` wants them."""
    return [f"{name}={value}" for name, value in environment.items()]


def sh(clone: Path, script: str) -> str:
    """Run a script as a user would type it, in the clone; what it printed."""
    done = subprocess.run(
        ["bash", "-eux", "-o", "pipefail", "-c", script],
        cwd=clone,
        env=clean(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


@dataclass(frozen=True)
class FirstRun:
    """What the first `make up` in a clone came to."""

    shown: str
    approving: str
    protocol: str | None
    tools: set[str]
    said: Said
    shown_later: str
    exit_code: int
    left_running: list[str]


@pytest.fixture(scope="module")
def first_run(clone: Path) -> FirstRun:
    """`make up`, approving as it says, one's own client as it says, Ctrl-C. After it the clone is installed."""
    demo = Demo(clone, "make", "up", f"ARGS=--port {free_port()}").served()
    try:
        shown = demo.text
        approving = sh(clone, ".venv/bin/" + demo.found(r"(policylayer approvals approve .*)"))
        until(lambda: demo.text.count(DONE) > shown.count(DONE), lambda: f"it does not go on:\n{demo.text}")
        url = demo.found(r'"url": "(http://127\.0\.0\.1:\d+/mcp/shop)"')
        with python("auto")(Way(url, demo.found(r'"Authorization": "Bearer ([^"]+)"'))) as client:
            protocol, tools = client.protocol, client.tools()
            said = client.call("list_customers", {}).result()
        exit_code = demo.ctrl_c()
        return FirstRun(shown, approving, protocol, tools, said, demo.text, exit_code, _processes_in(clone))
    finally:
        demo.program.stop()


@pytest.mark.shows("proxy.1")
def test_make_up_from_a_clean_clone_shows_three_calls_and_serves_until_ctrl_c(first_run: FirstRun) -> None:
    shown = first_run.shown
    for text in ("a small refund: create_refund", DONE, "| Refused: delete_customer on shop.", "| held until"):
        assert text in shown, shown
    for effect in ("allow ", "deny ", "require_approval "):
        assert effect in shown.split("Each decision is a row")[1], shown
    for place in ("claude mcp add", ".cursor/mcp.json", ".vscode/mcp.json"):
        assert place in shown, shown
    assert "approved" in first_run.approving
    assert "Stopped." in first_run.shown_later
    assert "Traceback" not in first_run.shown_later
    # make itself ends by the signal; the demo's own exit code is looked at with the README's tour.
    assert first_run.exit_code in (0, -signal.SIGINT)
    assert first_run.left_running == []


@pytest.mark.shows("proxy.1")
def test_a_client_of_one_s_own_connects_as_the_snippets_say(first_run: FirstRun) -> None:
    assert first_run.protocol == "2026-07-28"
    assert "create_refund" in first_run.tools
    assert first_run.said.ok, first_run.said
    assert "Ada Byron" in first_run.said.text


def _processes_in(clone: Path) -> list[str]:
    """Programs of the clone that still run."""
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(clone) in command]


# --- what can be in the way -------------------------------------------------------------------------------------------


def refused(clone: Path, *command: str, **more: str) -> str:
    """Run what cannot work; what it said, in no more than a few lines."""
    done = subprocess.run(
        command,
        cwd=clone,
        env={**clean(), **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    assert "help: " in done.stdout, done.stdout
    assert len(done.stdout.splitlines()) <= 12, done.stdout
    return done.stdout


@pytest.mark.shows("proxy.1")
def test_a_taken_port_is_told_in_a_line(clone: Path, first_run: FirstRun) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(clone, ".venv/bin/policylayer", "demo", "--port", port)
    assert port in said
    assert "--port 0" in said


@pytest.mark.shows("proxy.1")
def test_an_old_python_is_told_in_a_line(clone: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    said = refused(clone, "make", "up", PYTHON=str(old))
    assert "needs Python 3.11 or newer" in said
    assert "Python 3.9.2" in said


@pytest.mark.shows("proxy.1")
def test_an_unreachable_package_index_is_told_in_a_few_lines(clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "policylayer"
    subprocess.run(["git", "clone", "--quiet", str(clone), str(other)], check=True, env=clean())
    nowhere = "http://127.0.0.1:9/simple"
    alone = {"PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "UV_NO_CACHE": "1", "UV_HTTP_TIMEOUT": "5"}
    said = refused(other, "make", "up", PIP_INDEX_URL=nowhere, UV_DEFAULT_INDEX=nowhere, **alone)
    assert "is the package index reachable?" in said


# --- the README -------------------------------------------------------------------------------------------------------


def blocks(page: str) -> list[str]:
    """What a page's fences tagged `sh` hold, in order."""
    return re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.shows("proxy.11")
def test_every_command_of_the_readme_s_tour_does_what_it_says(clone: Path, first_run: FirstRun) -> None:
    page = (clone / "README.md").read_text()
    tour = blocks(page)
    assert tour, "the README has no tour"
    assert "make up" in page

    # The second start needs no installation; without make its own exit code is seen.
    demo = Demo(clone, ".venv/bin/policylayer", "demo", "--port", str(free_port())).served()
    try:
        before = demo.text.count(DONE)
        printed = sh(clone, "\n".join(tour))
        until(lambda: demo.text.count(DONE) == before + 1, lambda: f"{printed}\n{demo.text}")
        assert demo.ctrl_c() == 0, demo.text
        assert "Traceback" not in demo.text
    finally:
        demo.program.stop()


@pytest.mark.shows("proxy.11")
def test_the_readme_leads_somewhere(clone: Path) -> None:
    page = (clone / "README.md").read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page) if "://" not in link]
    assert links, "the README does not say where to go next"
    assert [link for link in links if not (clone / link).exists()] == []
