"""The process that a revision will be judged in, before there is a revision.

Light to import: `serve` starts the first one before anything else is loaded, so that it warms up at the same time. Must
not know what is asked of it (`judge.py`) nor how it answers (`worker.py`).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import Final

WORKER: Final = "policylayer.revisions.worker"


class Process:
    """One process for one question. `close` it, asked or not; leaving its context does."""

    def __init__(self, worker: str = WORKER) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, question: bytes, seconds: float) -> bytes | None:
        """Its answer, waited for; None where it died. Raises `subprocess.TimeoutExpired`."""
        answer = self._process.communicate(question, seconds)[0]
        return answer if answer and self._process.returncode == 0 else None

    def close(self) -> None:
        """End the process, if it has not ended, and what leads to it."""
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
