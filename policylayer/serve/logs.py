"""The program's own log: one short line of JSON per record on standard error, whatever a value contains.

Imported before anything that logs. A line breaks nowhere, moves no cursor and turns no text around: what is not
printable is written out. Must not know what is logged (`proxy/saying.py` adds a call's decision); the decision log is
`audit/`, not this.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

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


LONGEST: Final = 8 * 1024
"""Characters of one text; of a longer one the beginning is kept."""

LINE: Final = 64 * 1024
"""Characters of a line; of a longer one little more than the event is kept."""

KEPT: Final = ("event", "level", "timestamp", "decision", "trace_id")


def configure(level: int = logging.INFO, to: TextIO | None = None) -> None:
    """Send structlog's records and the standard library's to standard error (or a file), as lines of JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _bounded,
            structlog.processors.JSONRenderer(serializer=line),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(to or sys.stderr),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_Forward(logging.WARNING)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _of_thread


class _Forward(logging.Handler):
    """The standard library's records, through structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; one that cannot be put together is told of all the same."""
        log = structlog.get_logger().bind(logger=record.name)
        try:
            text = record.getMessage()
        except Exception:
            text = "a record that cannot be read"
        log.log(record.levelno, text, exc_info=record.exc_info)


def _of_thread(ended: threading.ExceptHookArgs) -> None:
    """A thread ended by an error that nothing caught."""
    name = ended.thread.name if ended.thread is not None else None
    structlog.get_logger().error("a thread failed", thread=name, exc_info=ended.exc_value)


def _bounded(_log: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > LONGEST:
            event[name] = f"{value[:LONGEST]}… ({len(value)} characters)"
    return event


def line(event: Any, **_: Any) -> str:
    """One record as one line: JSON whatever is in it, with all that is not printable written out."""
    text = _json(event)
    if len(text) > LINE:
        text = _json({**{name: event[name] for name in KEPT if name in event}, "cut": len(text)})
    # What JSON may hold as it is, and terminals or readers of lines take for more than a sign, stands in texts only.
    return text if text.isprintable() else "".join(sign if sign.isprintable() else _escaped(sign) for sign in text)


def _json(event: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(event, default=_shown, option=orjson.OPT_NON_STR_KEYS).decode()
    except Exception:
        # A lone surrogate, say: it is shown as Python writes it.
        return orjson.dumps({_whole(name): _whole(value) for name, value in event.items()}).decode()


def _whole(value: object) -> str:
    return (value if isinstance(value, str) else ascii(value)).encode("utf-8", "backslashreplace").decode()


def _escaped(sign: str) -> str:
    pairs = sign.encode("utf-16-be")
    return "".join(f"\\u{pairs[at : at + 2].hex()}" for at in range(0, len(pairs), 2))


def _shown(value: object) -> str:
    """A value that is none of JSON's."""
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
