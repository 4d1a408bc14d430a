"""Has a revision judged in a process of its own, which is killed when it takes too long.

`process.py` starts and ends it; the other end is `worker.py`. Whatever a policy or its tests do to that process, this
one goes on.
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
from collections.abc import Callable
from typing import Final

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import error
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.known import Known
from policylayer.revisions.judging import Case, Finding
from policylayer.revisions.process import Process
from policylayer.revisions.snapshot import Snapshot

SECONDS: Final = 20.0


class Judge:
    """One process for one revision, which warms up as soon as there is a `Judge`; `close` it, asked or not."""

    def __init__(self, seconds: float = SECONDS, process: Process | None = None) -> None:
        self._seconds = seconds
        self._process = process or Process()

    async def ask(
        self, snapshot: Snapshot, known: Known | None = None, not_enforced: frozenset[str] = NOT_ENFORCED
    ) -> Finding:
        """What is wrong with a snapshot, or the policies in it."""
        seconds = int(self._seconds) + 1
        case = Case(dict(snapshot.files), snapshot.diagnostics, known or Known(), not_enforced, seconds)
        try:
            answer = await asyncio.to_thread(self._process.ask, pickle.dumps(case), self._seconds)
        except subprocess.TimeoutExpired:
            return _stopped(f"loading and testing took longer than {self._seconds:g} s")
        finally:
            self.close()
        if answer is None:
            return _stopped("the process that loads and tests policies died")
        finding: Finding = pickle.loads(answer)
        return finding

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._process.close()


def judges(first: Process | None) -> Callable[[], Judge]:
    """What makes judges: one of a process that is warm already, then others."""
    waiting = [first] if first is not None else []
    return lambda: Judge(process=waiting.pop() if waiting else None)


def _stopped(message: str) -> Finding:
    help_ = "run `policylayer check` and `policylayer test` on the files"
    return Finding((error(Code.TESTS_STOPPED, Span(".", 1, 1), message, help_),))
