"""The program's own log: one line of JSON per record on standard error, whatever a value contains.

Imported before anything that logs. Must not know what is logged; the decision log is `audit/`, not this.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import orjson

_rich = sys.modules.get("rich")
if _rich is None:
    # structlog loads rich (17 MB) for coloured tracebacks, which are never used here; told that there is none, it does
    # without.
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _rich is None:
        del sys.modules["rich"]


def configure(level: int = logging.INFO, to: TextIO | None = None) -> None:
    """Send structlog's records and the standard library's to standard error (or a file), as lines of JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(to or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward(logging.WARNING)]
    root.setLevel(logging.WARNING)


class _Forward(logging.Handler):
    """The standard library's records, through structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
