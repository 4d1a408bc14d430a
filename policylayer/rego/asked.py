"""What OPA servers and the revisions on them have in common: questions go out as documents, answers become findings.

Must not know where a document stands, nor what proves an answer (`server.py`, `pushed.py`).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from policylayer.core.call import Question
from policylayer.core.decision import RuleRef
from policylayer.core.finding import Finding
from policylayer.rego.connection import PolicyFailed, Unanswered
from policylayer.rego.document import Describe, document
from policylayer.rego.results import engine_failed, findings, unreadable

AT_ONCE: Final = 8


class Asked(ABC):
    """Findings from one OPA server. `file` is what they name as their place."""

    def __init__(self, file: str) -> None:
        self._file = file

    @abstractmethod
    async def decided(self, asked: dict[str, Any]) -> tuple[list[Any], object]:
        """What was decided of a document (nothing, where that is undefined), and the server's id of the decision.

        Raises `Unanswered`, `PolicyFailed`.
        """

    async def findings(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        """What the server says of one question, within the deadline."""
        return await self._ask(document(question, describe))

    async def listed_one(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        """The findings for one list entry, without arguments."""
        return await self._ask(document(question, describe, "list"))

    async def listed(self, questions: Sequence[Question], describe: Describe) -> list[tuple[Finding, ...]]:
        """The findings for list entries, a few at a time."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(question: Question) -> tuple[Finding, ...]:
            async with gate:
                return await self.listed_one(question, describe)

        return list(await asyncio.gather(*(one(question) for question in questions)))

    async def _ask(self, asked: dict[str, Any]) -> tuple[Finding, ...]:
        try:
            values, engine_id = await self.decided(asked)
        except PolicyFailed as failure:
            return (unreadable(f"failed: {failure}", self._locate),)
        except Unanswered as failure:
            return (engine_failed(str(failure), self._locate),)
        if not values:
            return ()
        read = findings(values[0], self._locate)
        return tuple(replace(each, engine_id=engine_id) for each in read) if isinstance(engine_id, str) else read

    def _locate(self, rule: str | None) -> RuleRef:
        return RuleRef("rego", rule or "decision", self._file, 1)
