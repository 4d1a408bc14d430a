"""R-02: the row is on the disk before the first byte goes to a server, as the kernel sees it.

The proxy runs under strace. For each of 200 calls, told apart by a word in their arguments, the trace must show in this
order: the word written into the database's WAL; a sync of that WAL begun after it, and returned; then the word written
to a socket of the server's. What the proxy says of itself plays no part in it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.messages import ERAS, call, headers
from tests.attacks.rig import Rig
from tests.support.raw_http import request
from tests.support.require import program

CALLS = 200
TRACED = "fdatasync,fsync,pwrite64,pwritev,write,writev,sendto,sendmsg"
SENDS = frozenset({"write", "writev", "sendto", "sendmsg"})
SYNCS = frozenset({"fdatasync", "fsync"})
_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")


@dataclass(frozen=True, slots=True)
class Event:
    """One traced call of the system: when it began and when it had returned, in lines of the trace."""

    name: str
    file: str
    text: str
    began: int
    ended: int


def events(lines: list[str]) -> Iterator[Event]:
    """The traced calls. One that another thread interrupts takes two lines."""
    pending: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(lines):
        if (found := _LINE.match(line)) is not None:
            thread, name, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                pending[thread] = (name, rest, number)
                continue
            yield Event(name, _file(rest), rest, number, number)
        elif (found := _RESUMED.match(line)) is not None:
            thread, name, rest = found.groups()
            if thread in pending:
                _, began_with, began = pending.pop(thread)
                yield Event(name, _file(began_with), began_with + rest, began, number)


def _file(rest: str) -> str:
    """What the first argument's descriptor is: a path, or a connection's two ends."""
    found = re.match(r"\d+<(TCP[^\]]*\]|[^>]*)>", rest)
    return found[1] if found else ""


def trace_or_skip() -> str:
    strace = program("strace")
    command = [strace, "-f", "--seccomp-bpf", "-e", "trace=write", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()[:100]}")
    return strace


@pytest.mark.shows("proxy.6", "audit.1")
def test_the_wal_is_synced_before_the_first_byte_goes_upstream(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    rig = Rig(tmp_path / "proxy")
    # Enough of each write to hold a page of the database, or a whole call.
    rig.proxy.under = [
        trace_or_skip(),
        "-f",
        "--seccomp-bpf",
        "-yy",
        "-s",
        "8192",
        "-e",
        f"trace={TRACED}",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]
    with rig:
        words = [_call(rig, number) for number in range(CALLS)]
        ports = {rig.rec.port, rig.rec2.port}
    seen = Seen.of(trace.read_text(errors="replace").splitlines(), ports)
    for word in words:
        seen.check(word)


def _call(rig: Rig, number: int) -> str:
    """One allowed call, in either era, on either server; the word that tells it apart."""
    word, era = f"word{number:04d}q", ERAS[number % 2]
    body = call(b'"echo_args"', json.dumps({"word": word}).encode(), era)
    given = headers(rig.good.token, era, name="echo_args")
    with rig.wire() as wire:
        answer = wire.send(request("POST", f"/mcp/rec{'' if number % 3 else '2'}", given, body)).response()
    assert json.loads(answer.json["result"]["content"][0]["text"]) == {"word": word}
    return word


@dataclass(frozen=True, slots=True)
class Seen:
    """What matters of a trace, in order."""

    written: list[Event]
    synced: list[Event]
    sent: list[Event]

    @classmethod
    def of(cls, lines: list[str], ports: set[int]) -> Seen:
        """Writes into the WAL, syncs of it, and what was sent to these ports."""
        found = cls([], [], [])
        for one in events(lines):
            if one.file.endswith("-wal"):
                (found.synced if one.name in SYNCS else found.written).append(one)
            elif one.name in SENDS and any(one.file.endswith(f":{port}]") for port in ports):
                found.sent.append(one)
        return found

    def check(self, word: str) -> None:
        """Written, then synced, then sent."""
        row = next((one for one in self.written if word in one.text), None)
        first = next((one for one in self.sent if word in one.text), None)
        assert row is not None, f"{word} was never written into the WAL"
        assert first is not None, f"{word} was never sent to a server"
        sync = next((one for one in self.synced if one.began > row.ended), None)
        assert sync is not None
        assert sync.ended < first.began, f"{word} was sent before its row was synced"


def test_the_reading_of_traces() -> None:
    """A sync that only begins before the send, or returns after it, does not count; nor does one before the write."""
    wal, to = "7</x/p.db-wal>", "9<TCP:[127.0.0.1:5->127.0.0.1:99]>"
    write, send = f'1 pwrite64({wal}, "w1", 2, 0) = 2', f'2 write({to}, "w1", 2) = 2'
    Seen.of([write, f"1 fdatasync({wal}) = 0", send], {99}).check("w1")
    Seen.of([write, f"1 fdatasync({wal} <unfinished ...>", "1 <... fdatasync resumed>) = 0", send], {99}).check("w1")
    for bad in (
        [f"1 fdatasync({wal}) = 0", write, send],
        [write, send, f"1 fdatasync({wal}) = 0"],
        [write, f"1 fdatasync({wal} <unfinished ...>", send, "1 <... fdatasync resumed>) = 0"],
        [write, "1 fdatasync(8</x/other>) = 0", send, f"1 fdatasync({wal}) = 0"],
        [write, f"1 fdatasync({wal}) = 0", send.replace("99", "98")],
    ):
        with pytest.raises(AssertionError):
            Seen.of(bad, {99}).check("w1")
