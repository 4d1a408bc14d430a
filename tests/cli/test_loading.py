"""Ctrl-C while the program is loaded: an end, no traceback and no crash; afterwards as ever."""

from __future__ import annotations

import signal
import subprocess
import sys

from policylayer.cli.exits import INTERRUPTED
from policylayer.cli.loading import loading

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
