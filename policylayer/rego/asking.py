"""A question with what engines found of it, and of each call inside it where it is about a meta-tool's.

Must not know which engines there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from policylayer.core.call import Question
from policylayer.core.finding import Finding
from policylayer.policy import inside

Ask = Callable[[Question], Awaitable[tuple[Finding, ...]]]
"""Asks engines about one call."""


async def with_findings(question: Question, ask: Ask) -> Question:
    """The question as policy is to be asked it."""
    inner = inside.questions(question)
    if not inner:
        return replace(question, findings=await ask(question))
    own, *others = await asyncio.gather(*map(ask, (question, *inner)))
    return replace(question, findings=own, inner_findings=tuple(others))
