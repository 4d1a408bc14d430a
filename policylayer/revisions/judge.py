"""Has a revision judged in a process of its own, which is killed when it takes too long.

The other end is `worker.py`. Whatever a policy or its tests do to that process, this one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import subprocess
import sys
from typing import Final

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import error
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.known import Known
from policylayer.revisions.judging import Case, Finding
from policylayer.revisions.snapshot import Snapshot

SECONDS: Final = 20.0
WORKER: Final = "policylayer.revisions.worker"


class Judge:
    """One process for one revision. It warms up as soon as there is a `Judge`; `close` it, asked or not."""

    def __init__(self, seconds: float = SECONDS, worker: str = WORKER) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    async def ask(
        self, snapshot: Snapshot, known: Known | None = None, not_enforced: frozenset[str] = NOT_ENFORCED
    ) -> Finding:
        """What is wrong with a snapshot, or the policies in it."""
        seconds = int(self._seconds) + 1
        case = Case(dict(snapshot.files), snapshot.diagnostics, known or Known(), not_enforced, seconds)
        try:
            answer = await asyncio.to_thread(self._ask, pickle.dumps(case))
        except subprocess.TimeoutExpired:
            return _stopped(f"loading and testing took longer than {self._seconds:g} s")
        finally:
            self.close()
        if not answer or self._process.returncode != 0:
            return _stopped("the process that loads and tests policies died")
        finding: Finding = pickle.loads(answer)
        return finding

    def _ask(self, case: bytes) -> bytes:
        return self._process.communicate(case, self._seconds)[0]

    def close(self) -> None:
        """End the process, if it has not ended, and what leads to it."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


def _stopped(message: str) -> Finding:
    help_ = "run `policylayer check` and `policylayer test` on the files"
    return Finding((error(Code.TESTS_STOPPED, Span(".", 1, 1), message, help_),))
