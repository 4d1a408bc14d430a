"""The example shop as a running server, and as the command of a stdio server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import Program

STDIO = (sys.executable, "-m", "policylayer.examples.shop", "--stdio")


@contextmanager
def shop() -> Iterator[str]:
    """A running shop; its URL."""
    with Program.python("-m", "policylayer.examples.shop", "--port", "0") as program:
        yield program.wait_for("listening on ")
