"""The program's log as it was: a command that sets it up in this process writes to a stream that ends with its test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def logging_kept() -> Iterator[None]:
    """Whatever is set up within is undone."""
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers, root.level
    try:
        yield
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        logging.captureWarnings(False)
        root.handlers, threading.excepthook = handlers, hook
        root.setLevel(level)
