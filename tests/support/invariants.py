"""What must hold after every attack, whatever it was: the catalogue's I1 to I8, asserted in one place.

Two witnesses. `Ledger` reads the decision log's database as a stranger would (plain sqlite3, read-only, no code of the
proxy's store), and is asked by each server, at the moment a request arrives there, for the row that let it through: so
a byte without an earlier committed row is seen when it happens, and an object other than the judged one has no row at
all. `Vitals` watches the process from outside: memory, descriptors, threads.

    I1 no effect, I2 same object, I3 one decision, first   `Ledger.arrived`, `Ledger.check`
    I4 fail closed                                         `Ledger.check`: forbidden tools never ran
    I5 isolation                                           each test's own canaries, by `absent`
    I6 no secret                                           `Ledger.check`, `Ledger.check_file`, `absent`
    I7 bounded                                             `Vitals.check`
    I8 alive                                               the rig's good call (tests/attacks/rig.py)

The canonical form is written anew here from its description, so that a mistake in ours is seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from policylayer.keys import Keys, text
from tests.support.recording import Received, Recording

RECORDED: Final = frozenset(
    {
        "tools/call",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "completion/complete",
        "subscriptions/listen",
    }
)
"""What must never arrive without a row. Lists the proxy also asks for itself, to know the tools."""

MIB: Final = 1 << 20
GROWTH: Final = 64 * MIB
POOLS: Final = 10
"""Threads that a process makes when it first needs them: its pools for reading and for files."""

CALLS: Final = ("decision", "round", "release")
_NOT_DIGESTED: Final = ("_meta", "requestState")


# --- the canonical form, from its description -------------------------------------------------------------------------


def canonical(value: Any) -> str:
    """Keys by code point, numbers as the shortest decimal in ECMAScript's form, strings escaped as little as may be."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value) if isinstance(value, int) else _number(value)


def _string(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: Decimal) -> str:
    sign, digits, exponent = value.normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    minus, point = "-" if sign and any(digits) else "", len(text) + exponent
    if not any(digits):
        return "0"
    if len(text) <= point <= 21:
        return minus + text + "0" * exponent
    if 0 < point <= 21:
        return f"{minus}{text[:point]}.{text[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{minus}{text[0]}{fraction}e{point - 1:+d}"


def digest_of(body: bytes) -> bytes:
    """The digest of the call that a request's bytes are."""
    message = json.loads(body, parse_float=Decimal)
    params = {name: value for name, value in (message.get("params") or {}).items() if name not in _NOT_DIGESTED}
    if message["method"] in ("tools/call", "prompts/get"):
        params["arguments"] = params.get("arguments") or {}
    whole = canonical({"method": message["method"], "params": params})
    return hashlib.sha256(whole.encode()).digest()


# --- the decision log, read by a stranger -----------------------------------------------------------------------------


class Ledger:
    """The rows, in the order they were committed, and which of them have been seen to be used."""

    def __init__(self, database: Path, key_file: Path, forbidden: Collection[str] = ("danger",)) -> None:
        self.database = database
        self._keys = Keys.load((key_file,), None, create=False)
        self._forbidden = forbidden
        self._lock = threading.Lock()
        self._seen = 0
        self._checked = 0
        self._unused: dict[tuple[str, str, str], list[str]] = {}
        self.rows: list[dict[str, Any]] = []
        self.by_id: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.arrivals: list[tuple[str, str | None, Received]] = []
        self._connection: sqlite3.Connection | None = None

    def read(self) -> list[dict[str, Any]]:
        """Take in what was committed since; all rows so far."""
        with self._lock:
            self._read()
        return self.rows

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def arrived(self, server: str, received: Received) -> None:
        """A server has a request: the row that let exactly this through must be there, committed and not used yet."""
        if received.method not in RECORDED or received.id is None:
            return
        place = (server, received.method, self.keyed(digest_of(received.body)))
        with self._lock:
            if not self._unused.get(place):
                self._read()
            waiting = self._unused.get(place)
            row = waiting.pop(0) if waiting else None
            self.arrivals.append((server, row, received))
            if row is None:
                self.faults.append(f"{server} received {received.body[:300]!r} and no committed row lets it through")
            if received.method == "tools/call" and received.params.get("name") in self._forbidden:
                self.faults.append(f"{server} received a forbidden call: {received.body[:300]!r}")

    def keyed(self, digest: bytes) -> str:
        """A digest as rows keep it."""
        return text(self._keys.digest(digest))

    def outcome(self, row_id: str) -> dict[str, Any] | None:
        """The outcome of a row."""
        self.read()
        return self.outcomes.get(row_id)

    def check(self, secrets: Collection[bytes] = ()) -> None:
        """I1 to I4, and I6 of the rows that are new since the last check."""
        rows = self.read()
        assert not self.faults, "\n".join(self.faults)
        for row in rows[self._checked :]:
            absent(repr(row).encode(), secrets, f"row {row['id']}")
        self._checked = len(rows)

    def check_file(self, secrets: Collection[bytes]) -> None:
        """I6 of the file and its WAL, byte by byte."""
        for path in (self.database, self.database.with_name(self.database.name + "-wal")):
            absent(path.read_bytes() if path.exists() else b"", secrets, path.name)

    def forget(self, rows: int, arrivals: int, keep: Callable[[dict[str, Any]], bool]) -> None:
        """For runs of hours: let go of the first so many rows and arrivals; `keep` says which to find by id still."""
        with self._lock:
            for row in self.rows[:rows]:
                if not keep(row):
                    self.by_id.pop(row["id"], None)
                self.outcomes.pop(row["parent"], None)
            del self.rows[:rows]
            del self.arrivals[:arrivals]
            self._unused = {place: ids for place, ids in self._unused.items() if ids}
            self._checked = max(0, self._checked - rows)

    def _read(self) -> None:
        if self._connection is None:
            uri = f"{self.database.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=10)
            self._connection.row_factory = sqlite3.Row
        for row in self._connection.execute("SELECT rowid AS place, * FROM records WHERE rowid > ?", (self._seen,)):
            self._seen = row["place"]
            made = dict(row)
            self.rows.append(made)
            self.by_id[row["id"]] = made
            if row["kind"] == "outcome":
                if row["parent"] in self.outcomes:
                    self.faults.append(f"two outcomes of one row: {made}")
                self.outcomes[row["parent"]] = made
            if row["kind"] in CALLS and row["enforced"] == "allow":
                place = (row["server"], row["method"], row["digest"])
                self._unused.setdefault(place, []).append(row["id"])


def absent(data: bytes, secrets: Iterable[bytes], where: str) -> None:
    """I6: none of these is in there."""
    for secret in secrets:
        assert secret not in data, f"{secret!r} is in {where}"


class Watched(Recording):
    """A recording server that asks the ledger for the row of each request, before it answers."""

    def __init__(self, name: str, arrived: Callable[[str, Received], None], **more: Any) -> None:
        super().__init__(**more)
        self.name = name
        self._arrived = arrived

    async def _answer(self, writer: Any, received: Received) -> None:
        self._arrived(self.name, received)
        await super()._answer(writer, received)


# --- the process, from outside ----------------------------------------------------------------------------------------


class Vitals:
    """I7: what a process holds, compared with what it held at first."""

    def __init__(self, pid: int, port: int) -> None:
        self._root = Path("/proc") / str(pid)
        self._port = f":{port:04X}"
        self._most_threads = self._status("Threads") + POOLS
        self._descriptors = 0
        self._before = 0

    def begin(self) -> None:
        """Forget the peak so far, where the system can."""
        with contextlib.suppress(OSError):
            (self._root / "clear_refs").write_text("5")
        self._before = self._status("VmRSS")

    def check(self, growth: int = GROWTH, patience: float = 5.0) -> None:
        """Memory has not grown by more; connections and threads are back where they were."""
        peak = max(self._status("VmRSS"), self._status("VmHWM"))
        assert peak - self._before <= growth // 1024, f"memory grew by {(peak - self._before) >> 10} MiB"
        deadline = time.monotonic() + patience
        while not self._calm():
            held = f"{self.connections()} connections are open, {self._status('Threads')} threads run"
            assert time.monotonic() < deadline, held
            time.sleep(0.005)

    def _calm(self) -> bool:
        if self._status("Threads") > self._most_threads:
            return False
        # The table of connections is the whole machine's: it is read only where there is something new to see.
        open_now = self.descriptors()
        if open_now > self._descriptors and self.connections():
            return False
        self._descriptors = open_now
        return True

    def connections(self) -> int:
        """Connections that agents have open; those from 127.0.0.1 are the tests' own, to the API."""
        lines = (self._root / "net/tcp").read_text().splitlines()[1:]
        own = [line.split() for line in lines]
        # 01 is established, 08 is waiting for us to close.
        return sum(
            fields[1].endswith(self._port) and fields[3] in ("01", "08") and not fields[2].startswith("0100007F:")
            for fields in own
        )

    def resident(self) -> int:
        """KiB of memory."""
        return self._status("VmRSS")

    def descriptors(self) -> int:
        """Files and sockets it has open."""
        return len(os.listdir(self._root / "fd"))

    def _status(self, name: str) -> int:
        lines = (self._root / "status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(name + ":")))
