"""Ctrl-C while the program is loaded: an end, no traceback and no crash; afterwards as ever."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policylayer.cli.exits import INTERRUPTED
from policylayer.cli.loading import loading
from tests.cli.program import Command

PROGRAM = """
import os, signal
from policylayer.cli.loading import loading

with loading():
    os.kill(os.getpid(), signal.SIGINT)
    print("still here")
"""


def test_it_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (INTERRUPTED, "", "")


def test_afterwards_it_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with loading():
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_who_ignores_it_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with loading():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.05])
def test_a_second_one_ends_the_closing(home: Path, gap: float) -> None:
    with Command("audit", "tail", "-c", "policylayer.yaml", "--since", "1d", cwd=home) as tail:
        time.sleep(3)
        for _ in range(2):
            tail.process.send_signal(signal.SIGINT)
            time.sleep(gap)
        # By the signal itself where nothing is left to be closed.
        assert tail.process.wait(20) in (INTERRUPTED, -signal.SIGINT)
        assert tail.output().split() == ["stdout:", "stderr:"]
