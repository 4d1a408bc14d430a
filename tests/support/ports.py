"""Free loopback ports. Prefer listening on port 0; this is for programs that cannot say which port they got.

From below the range that the system itself gives out, and never the same twice in one process, so that nobody else
gets a port between its being found free and its being listened on.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

FIRST, PAST = 10_000, 32_000


def _candidates() -> Iterator[int]:
    """All ports, from a place that other processes hardly begin at."""
    begin = random.Random(os.getpid() ^ random.SystemRandom().getrandbits(32)).randrange(FIRST, PAST)
    yield from range(begin, PAST)
    yield from range(FIRST, begin)


_left = _candidates()


def free_port() -> int:
    """A port that nothing listens on now."""
    for port in _left:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
