"""Lines of the program's own log that concern a call carry `decision`, the id of its row; and wait for it to be there.

Whatever logs on the way of a call need not know the id: it is bound to the context of the request, and merged into each
line (`serve/logs.py`). Must not know what is logged elsewhere, nor the decision log.
"""

from __future__ import annotations

import structlog


def about(row_id: str) -> None:
    """From here on this request's lines concern this row."""
    structlog.contextvars.bind_contextvars(decision=row_id)


def over() -> None:
    """The request is over; whatever comes next in this context is another's."""
    structlog.contextvars.unbind_contextvars("decision")


def failed(command: str, error: Exception) -> None:
    """A command of a call failed inside the proxy."""
    structlog.get_logger().error("a command failed", command=command, exc_info=error)
