"""`policylayer` as a process of its own, read line by line in the order in which it says things."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.support.processes import Program

PATIENCE = 30.0


class Command(Program):
    """A running command. `line` goes on from where it last stopped."""

    def __init__(self, *arguments: str | Path, cwd: Path) -> None:
        self._next = 0
        blank = {name: "" for name in os.environ if name.startswith("POLICYLAYER_")}
        command = [sys.executable, "-m", "policylayer", *map(str, arguments)]
        super().__init__(command, env={**blank, "PYTHONUNBUFFERED": "1"}, cwd=cwd)

    def line(self, containing: str) -> str:
        """The next line of its standard output that holds a text."""
        with self._news:
            found = self._news.wait_for(lambda: self._look(containing), PATIENCE)
        if not found or self._next > len(self.lines):
            raise AssertionError(f"no line with {containing!r} in what follows\n{self.output()}")
        return self.lines[self._next - 1]

    @property
    def url(self) -> str:
        """Where it says that it listens."""
        return self.line("listening on ").split()[-1]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self._signal(number)
        return self.process.wait(PATIENCE)

    def _look(self, containing: str) -> bool:
        """Go on to the line, or to the end of what there will be."""
        while self._next < len(self.lines):
            self._next += 1
            if containing in self.lines[self._next - 1]:
                return True
        if self._ended:
            self._next = len(self.lines) + 1
        return self._ended
