"""What the kernel saw: system calls out of strace's output, of one traced program or several on one clock.

`COMMAND` is how strace is to be run for this to be read. Must not know what is looked for.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.require import program

TRACED: Final = "fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
SENDS: Final = frozenset({"write", "writev", "sendto", "sendmsg"})
SYNCS: Final = frozenset({"fdatasync", "fsync"})
# Every thread and child; paths of descriptors; enough of each write for a page or a call; when, and how long.
OPTIONS: Final = (
    "-f",
    "--seccomp-bpf",
    "-yy",
    "-ttt",
    "-T",
    "-s",
    "65536",
    "-e",
    f"trace={TRACED}",
    "-e",
    "signal=none",
)

_LINE: Final = re.compile(r"(\d+) +(\d+\.\d+) (\w+)\((.*)")
_RESUMED: Final = re.compile(r"(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)")
_TOOK: Final = re.compile(r"<(\d+\.\d+)>$")


@dataclass(frozen=True, slots=True)
class Event:
    """One call of the system: when it began and when it had returned, in seconds."""

    name: str
    file: str
    text: str
    began: float
    ended: float


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The calls. One that another thread interrupts takes two lines."""
    pending: dict[str, tuple[str, float]] = {}
    for line in lines:
        if (found := _LINE.match(line)) is not None:
            thread, at, name, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                pending[thread] = rest, float(at)
                continue
            yield Event(name, _file(rest), rest, float(at), float(at) + _took(rest))
        elif (found := _RESUMED.match(line)) is not None:
            thread, at, name, rest = found.groups()
            if thread in pending:
                began_with, began = pending.pop(thread)
                # What it took counts from its beginning; when the line was written is later yet.
                yield Event(name, _file(began_with), began_with + rest, began, max(began + _took(rest), float(at)))


def _took(rest: str) -> float:
    found = _TOOK.search(rest)
    return float(found[1]) if found else 0.0


def _file(rest: str) -> str:
    """What the first argument's descriptor is: a path, or a connection's two ends."""
    found = re.match(r"\d+<(TCP[^\]]*\]|[^>]*)>", rest)
    return found[1] if found else ""


def strace_or_skip() -> list[str]:
    """The command that traces, up to the name of its output."""
    strace = program("strace")
    tried = subprocess.run([strace, *OPTIONS, "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()[:100]}")
    return [strace, *OPTIONS, "-o"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What matters, in order: what went into a database's log of writes, syncs of it, what was sent to servers."""

    written: list[Event]
    synced: list[Event]
    sent: list[Event]

    @classmethod
    def of(cls, lines: Iterable[str], ports: set[int], log: str) -> Seen:
        """`log` is a part of the log's path; `ports` are the servers'."""
        found = cls([], [], [])
        for one in sorted(events(lines), key=lambda event: event.began):
            if log in one.file:
                (found.synced if one.name in SYNCS else found.written).append(one)
            elif one.name in SENDS and any(one.file.endswith(f":{port}]") for port in ports):
                found.sent.append(one)
        return found

    def check(self, word: str) -> None:
        """Written, then synced, then sent."""
        row = next((one for one in self.written if word in one.text), None)
        first = next((one for one in self.sent if word in one.text), None)
        assert row is not None, f"{word} was never written into the database's log"
        assert first is not None, f"{word} was never sent to a server"
        sync = next((one for one in self.synced if one.began >= row.ended and one.file == row.file), None)
        assert sync is not None, f"{word} was never synced"
        assert sync.ended <= first.began, f"{word} was sent before its row was synced"
