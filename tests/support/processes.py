"""Programs that a test starts: told apart by process group, ended with the test, their output kept for its message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


def freeze(pid: int) -> None:
    """Stop a process, and wait until each of its threads has stopped: the signal alone only asks for it."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 10
    while any(_state(task) not in "TZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < until, "it does not stop"
        time.sleep(0.001)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


class Program:
    """A started program. `wait_for` returns the rest of the first line of its standard output with a prefix."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: bool = False,
    ) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._over = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd or ROOT,
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=self._collect, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def python(cls, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Program:
        """This interpreter with arguments; modules of the project and of tests can be run with `-m` from anywhere."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        return cls([sys.executable, *arguments], env={"PYTHONPATH": path, **(env or {})}, cwd=cwd)

    def wait_for(self, prefix: str, timeout: float = 30.0) -> str:
        """What follows `prefix` on the first line that begins with it; fails with all output otherwise."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._find(prefix) is not None, timeout)
            found = self._find(prefix)
        if found is None:
            raise AssertionError(f"no line `{prefix}...` from {self.process.args}:\n" + self.output())
        return found

    def output(self) -> str:
        """All it has written so far."""
        return "\n".join(["stdout:", *self.lines, "stderr:", *self.errors])

    def stop(self, timeout: float = 10.0) -> int:
        """Ask it to end, then kill its group. Its exit code."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(timeout)
        self._signal(signal.SIGKILL)
        self._over = True
        for thread in self._threads:
            thread.join(timeout)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        return self.process.returncode

    def kill(self) -> None:
        """End it at once, as the kernel would."""
        self._signal(signal.SIGKILL)
        self.process.wait(10)
        self._over = True

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def interrupt(self) -> None:
        """Do what a terminal does on Ctrl-C."""
        self._signal(signal.SIGINT)

    def _signal(self, what: signal.Signals) -> None:
        if self._over:
            # Its number may be another's by now.
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, what)

    def _find(self, prefix: str) -> str | None:
        return next((line.removeprefix(prefix).strip() for line in self.lines if line.startswith(prefix)), None)

    def _collect(self, pipe: object, into: list[str]) -> None:
        for line in pipe:  # type: ignore[attr-defined]
            with self._news:
                into.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            # A program may close its standard error and go on.
            self._ended |= into is self.lines
            self._news.notify_all()
