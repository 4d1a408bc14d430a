"""`policylayer` as a process of its own: started, waited for by what it prints, and always ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 30.0


@dataclass(slots=True)
class Program:
    """A running program, whose output is read as it comes."""

    process: subprocess.Popen[str]
    lines: queue.Queue[str | None] = field(default_factory=queue.Queue)
    seen: list[str] = field(default_factory=list)

    def line(self, containing: str) -> str:
        """The next line of its output that holds a text."""
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                line = self.lines.get(timeout=left)
                if line is None:
                    break
                self.seen.append(line)
                if containing in line:
                    return line
        raise AssertionError(f"no line with {containing!r} in:\n{''.join(self.seen)}")

    @property
    def url(self) -> str:
        """Where it says that it listens."""
        return self.line("listening on ").split()[-1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def rest(self) -> str:
        """All that it printed, after it has ended."""
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            self.seen.append(line)
        return "".join(self.seen)


@contextlib.contextmanager
def policylayer(*arguments: str | Path, cwd: Path, **environment: str) -> Iterator[Program]:
    """Run a command until the block ends; standard error goes to standard output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("POLICYLAYER_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "policylayer", *map(str, arguments)],
        cwd=cwd,
        env={**clean, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    program = Program(process)
    reader = threading.Thread(target=_read, args=(program,), daemon=True)
    reader.start()
    try:
        yield program
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def _read(program: Program) -> None:
    assert program.process.stdout is not None
    with contextlib.suppress(ValueError):
        for line in program.process.stdout:
            program.lines.put(line)
    program.lines.put(None)
