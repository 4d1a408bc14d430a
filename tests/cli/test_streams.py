"""Streams that are closed, full, or of an encoding without our signs: one clear line, never an internal error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import CONFIG
from tests.support.processes import Program

SHELL = f'"{sys.executable}" -m policylayer'


def shell(home: Path, line: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """A command as a shell runs it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POLICYLAYER_")}
    return subprocess.run(["sh", "-c", f"{SHELL} {line}"], cwd=home, capture_output=True, env=clean | more, check=False)


@pytest.mark.usefixtures("begun")
@pytest.mark.shows("proxy.1")
@pytest.mark.parametrize("where", [">&-", "> /dev/full"])
@pytest.mark.parametrize("command", ["explain PL103", "access", "grant list", "check", "--version", "doctor --json"])
def test_an_output_that_takes_nothing(home: Path, command: str, where: str) -> None:
    done = shell(home, f"{command} {where}")
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.count("policylayer: cannot write to standard output: ") == 1
    assert "internal error" not in said
    assert "Exception ignored" not in said


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("command", ["access 2>&-", "access <&-", "grant list 2>&- <&-", "nonsense 2>/dev/full"])
def test_what_is_not_needed_may_be_closed(home: Path, command: str) -> None:
    done = shell(home, command)
    assert (done.returncode, done.stderr) == (2 if "nonsense" in command else 0, b"")


@pytest.mark.usefixtures("begun")
def test_a_file_is_not_taken_for_a_closed_stream(home: Path) -> None:
    shell(home, "freeze --all --reason stop >&- 2>&- <&-")
    assert (home / "policylayer.db").read_bytes().startswith(b"SQLite format 3\0")
    assert b"stop" in shell(home, "thaw").stdout


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
def test_serving_without_them(home: Path, closed: str) -> None:
    (home / "policylayer.yaml").write_text(CONFIG)
    out = home / "out"
    line = f"exec {SHELL} serve {closed}" if ">&-" in closed.split() else f"exec {SHELL} serve {closed} > {out}"
    with Program(["sh", "-c", line], env={"PYTHONUNBUFFERED": "1"}, cwd=home) as proxy:
        ready = subprocess.run(["sh", "-c", WAIT], cwd=home, capture_output=True, check=False, timeout=60)
        assert ready.returncode == 0, proxy.output()
        assert proxy.process.poll() is None
    if out.exists():
        assert out.read_text().startswith("listening on ")
        assert len(out.read_text().splitlines()) == 1


WAIT = f"""
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
  {SHELL} audit events --type policy_activated -c policylayer.yaml | grep -q sha256 && exit 0
  sleep 1
done
exit 1
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "iso8859-15"])
def test_an_encoding_without_our_signs(home: Path, encoding: str) -> None:
    policy = home / "policies" / "shop.yaml"
    policy.write_text(policy.read_text().replace("reason: Ask.", "reason: Ask… 😀 Łódź."))
    asked = "explain --principal agent:bot --server shop --tool set_x"
    done = shell(home, asked, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Ask... \\ud83d\\ude00 \\u0141" in done.stdout
    # JSON is JSON whatever a terminal shows.
    assert orjson.loads(shell(home, f"{asked} --json", PYTHONIOENCODING=encoding).stdout)["decision"]
    wrong = shell(home, "grönt", PYTHONIOENCODING=encoding)
    assert (wrong.returncode, b"internal error" in wrong.stderr) == (2, False)
