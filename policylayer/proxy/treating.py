"""Masks and cuts answers as the decisions on their requests say.

`taking.py` has it done before anything else is made of an answer.

What cannot be done lets nothing through. Must not know how an answer is masked or cut (`wire/results.py`), nor why.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from policylayer.core.call import Call
from policylayer.core.commands import OutcomeState
from policylayer.core.masking import masker
from policylayer.proxy.faults import Unusable
from policylayer.proxy.guards import Guard
from policylayer.proxy.visit import Visit
from policylayer.wire import server_messages
from policylayer.wire.limits import Limits
from policylayer.wire.results import CannotCut, Treatment, treat
from policylayer.wire.server_messages import ServerMessage

INLINE: Final = 64 * 1024
"""Bytes of an answer that is treated without leaving the event loop."""

TOO_LARGE: Final = "its answer is larger than policy lets pass"
UNTREATED: Final = "its answer could not be masked"


async def treated_by(
    visit: Visit, answer: ServerMessage, guard: Guard, schema: bytes | None = None
) -> tuple[ServerMessage, tuple[str, ...]]:
    """The answer as it may go on, and what was done to it. Raises `Unusable`."""
    try:
        treatment = Treatment(masker(guard.mask) if guard.mask else None, guard.cap, schema)
        work = partial(_work, answer, treatment, visit.deps.limits.server_message)
        treated = work() if len(answer.raw) <= INLINE else await asyncio.to_thread(work)
    except CannotCut:
        raise Unusable("larger than policy lets pass", TOO_LARGE, OutcomeState.EXECUTED) from None
    except Exception as error:
        structlog.get_logger().error("an answer could not be treated", server=visit.server.name, exc_info=True)
        raise Unusable("could not be masked", UNTREATED, OutcomeState.EXECUTED) from error
    if treated is None:
        raise Unusable("could not be masked", UNTREATED, OutcomeState.EXECUTED)
    return treated


def _work(answer: ServerMessage, treatment: Treatment, limits: Limits) -> tuple[ServerMessage, tuple[str, ...]] | None:
    """The same; None where what was made of it is no message."""
    done = treat(answer, treatment)
    if not done.done:
        return answer, ()
    again = server_messages.decode(done.raw, replace(limits, size=len(done.raw)))
    return (again, done.done) if isinstance(again, ServerMessage) else None


def schema_of(visit: Visit, call: Call) -> bytes | None:
    """The outputSchema of the tool that was called, as last listed: empty where it has none, None where unknown."""
    if call.method.startswith("tasks/"):
        task = visit.task(call.target or "")
        return None if task is None else schema_of(visit, task.call)
    if call.method != "tools/call":
        return b""
    tool = visit.deps.tools.find(call.server, call.target)
    return None if tool is None else tool.output
