"""While the program is being loaded, or closes after a first Ctrl-C, another ends it at once.

A KeyboardInterrupt inside the start of a native library can crash the process, and there is nothing to clean up yet;
whoever interrupts the end itself wants no more of it. Must not know what is loaded, nor closed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from policylayer.cli.exits import INTERRUPTED


@contextmanager
def loading() -> Iterator[None]:
    """Around imports, or an end that may break off anywhere; nothing else that has begun anything."""
    before = signal.getsignal(signal.SIGINT)
    if before != signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
