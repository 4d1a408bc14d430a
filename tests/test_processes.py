"""What is known of another process: only of one here, and only that it has ended."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from policylayer import processes
from policylayer.processes import ended, life_of, seen_from_here

HERE = platform.node()
OURS = life_of("some-id")


def test_one_that_runs_has_not_ended_and_one_that_ended_has() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert not ended(OURS, HERE, child.pid)
        child.communicate(b"\n")
    assert ended(OURS, HERE, child.pid)


def test_one_of_another_user_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not ended(OURS, HERE, 1)


def test_our_own_number_was_another_ones_before() -> None:
    assert ended(OURS, HERE, os.getpid())


def test_of_another_host_nothing_is_known() -> None:
    assert not ended(OURS, f"not-{HERE}", 2**22 + 1)


@pytest.mark.parametrize("life", ["", "some-id", "pid:[4026530000] some-id", seen_from_here()])
def test_in_another_container_of_the_same_name_nothing_is_known(life: str) -> None:
    assert not ended(life, HERE, 2**22 + 1)


def test_a_child_counts_as_we_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from policylayer.processes import seen_from_here as s; print(s())"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == seen_from_here()
    monkeypatch.setattr(processes, "NAMESPACE", str(tmp_path / "none"))
    assert seen_from_here() == "-"
