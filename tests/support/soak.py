"""Many agents at once, who remember what they were told, and people who decide about held calls meanwhile.

`Agents` are clients over raw connections in one event loop: each makes one call after the other, each call told apart
by a word in its arguments, and notes an acknowledgement only when an answer has come whole. `Approvers` vote through
the API. Both go on until stopped, whatever becomes of the proxy. `Books` compares, afterwards, what agents were told,
what servers received, and what the decision log says. Must not know what disturbs the proxy meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.attacks.messages import ERAS, Era, call, headers
from tests.support.invariants import CALLS, Ledger
from tests.support.raw_http import Field, messages_of, request

MIX: Final = {"safe": 0.6, "danger": 0.25, "gated": 0.15}
AGAIN: Final = 0.05
"""Seconds before someone whose connection failed tries again."""

LOOK: Final = 0.1
"""Seconds between looks at what is held."""


@dataclass(frozen=True, slots=True)
class Told:
    """One acknowledgement: what an agent asked, and what it was told. `id` is the decision's, where it was told one."""

    word: str
    tool: str
    era: Era
    verdict: str
    id: str | None = None


class Connection:
    """One connection of an event loop, for one exchange after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    def close(self) -> None:
        """Leave."""
        self._writer.close()

    async def exchange(self, sent: bytes) -> tuple[int, bytes, bool]:
        """Status, whole body, and whether it is a stream of events."""
        self._writer.write(sent)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        streamed = "content-type: text/event-stream" in head
        if "transfer-encoding: chunked" in head:
            return status, await self._chunks(), streamed
        length = next((line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")), "0")
        return status, await self._reader.readexactly(int(length)), streamed

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


@dataclass
class Agents:
    """So many agents. `port` says where the proxy is now, or 0 while it is nowhere.

    `told` is what they were told, `open` the words of calls that are not over yet; `pause` the seconds between calls.
    """

    count: int
    tokens: list[str]
    port: Callable[[], int]
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    seed: int = 0
    pause: float = 0.0
    told: list[Told] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    _next: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """All of them, until told to stop; a call under way then is given up."""
        tasks = [asyncio.ensure_future(self._agent(number)) for number in range(self.count)]
        await stop.wait()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _agent(self, number: int) -> None:
        rng = random.Random(self.seed * 1000 + number)
        era, token = ERAS[number % 2], self.tokens[number % len(self.tokens)]
        unfinished: str | None = None
        while True:
            connection = None
            try:
                connection = await Connection.open(await there(self.port))
                while True:
                    tool, word = self._choose(rng, unfinished)
                    unfinished = word if tool == "gated" else unfinished
                    if await self._call(connection, era, token, tool, word) and tool == "gated":
                        unfinished = None
                    await asyncio.sleep(self.pause)
            except (OSError, asyncio.IncompleteReadError):
                # The proxy has gone, or is not there yet.
                await asyncio.sleep(AGAIN)
            finally:
                if connection is not None:
                    connection.close()

    def _choose(self, rng: random.Random, unfinished: str | None) -> tuple[str, str]:
        """The next call; a held one that got no answer is made again, as agents do."""
        if unfinished is not None and rng.random() < 0.5:
            return "gated", unfinished
        self._next += 1
        return rng.choices(list(self.mix), list(self.mix.values()))[0], f"w{self.seed}x{self._next}"

    async def _call(self, connection: Connection, era: Era, token: str, tool: str, word: str) -> bool:
        """One call and its answer; whether the answer was final."""
        self.asked[tool] += 1
        self.open.add(word)
        state: str | None = None
        while True:
            told = read(*await connection.exchange(_post(era, token, tool, word, state)))
            if told[0] != "wait":
                self.told.append(Told(word, tool, era, *told))
                if told[0] != "pending":
                    self.open.discard(word)
                return told[0] != "pending"
            state = told[1]


async def there(port: Callable[[], int]) -> int:
    """Where the proxy is, once it is somewhere."""
    while not port():
        await asyncio.sleep(AGAIN)
    return port()


def _post(era: Era, token: str, tool: str, word: str, state: str | None) -> bytes:
    body = call(json.dumps(tool).encode(), json.dumps({"word": word}).encode(), era)
    if state is not None:
        body = body.replace(b'"params":{', b'"params":{"requestState":' + json.dumps(state).encode() + b",", 1)
    return request("POST", "/mcp/rec", headers(token, era, name=tool), body)


def read(status: int, body: bytes, streamed: bool) -> tuple[str, str | None]:
    """What an answer says: executed, denied, pending, wait (with a state), failed or unavailable; and the decision."""
    if status == 503:
        return "unavailable", None
    assert status == 200, (status, body)
    message = messages_of(body)[-1] if streamed else json.loads(body)
    if "error" in message:
        code = message["error"]["code"]
        assert code in (40502, -32603), message
        return "unavailable" if code == -32603 else "failed", None
    result = message["result"]
    if result.get("resultType") == "input_required":
        return "wait", result["requestState"]
    said = result.get("_meta", {}).get("io.policylayer/decision")
    if said is None:
        assert result["isError"] is False, message
        return "executed", None
    return ("pending" if said["reason_code"] == "pending" else "denied"), said["decision_id"]


@dataclass
class Approvers:
    """Someone who looks at what is held, and decides: most of it is approved, some denied, some left alone."""

    token: str
    port: Callable[[], int]
    seed: int = 0
    voted: dict[str, str] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        rng = random.Random(self.seed)
        while not stop.is_set():
            connection = None
            try:
                connection = await Connection.open(await there(self.port))
                while not stop.is_set():
                    await self._round(connection, rng)
                    await asyncio.sleep(LOOK)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(AGAIN)
            finally:
                if connection is not None:
                    connection.close()

    async def _round(self, connection: Connection, rng: random.Random) -> None:
        _, body, _ = await connection.exchange(self._ask("GET", "/approvals?state=pending&limit=50"))
        for item in json.loads(body)["items"]:
            chance = rng.random()
            if chance > 0.9:
                continue
            verb = "approve" if chance < 0.8 else "deny"
            status, _, _ = await connection.exchange(self._ask("POST", f"/approvals/{item['id']}/{verb}", b"{}"))
            assert status in (200, 409), (status, item)
            if status == 200:
                self.voted[item["id"]] = verb

    def _ask(self, verb: str, path: str, body: bytes = b"") -> bytes:
        fields: list[Field] = [("host", "127.0.0.1"), ("authorization", f"Bearer {self.token}")]
        return request(verb, f"/api/v1{path}", [*fields, ("content-type", "application/json")], body)


class Books:
    """What was told, received and written, compared. Each look takes in what is new."""

    def __init__(self, ledger: Ledger, agents: Agents, approvers: Approvers) -> None:
        self._ledger = ledger
        self._agents = agents
        self._approvers = approvers
        self._rows = self._arrivals = self._acknowledged = 0
        self._allowed: Counter[str] = Counter()
        self._arrived: Counter[str] = Counter()
        self._executed: Counter[str] = Counter()
        self._used: dict[str, str] = {}
        self._went_on: set[str] = set()

    def balance(self) -> None:
        """Nothing acknowledged is lost, nothing was sent without an earlier row, nothing was executed twice."""
        told = self._agents.told[self._acknowledged :]
        self._look()
        self._ledger.check()
        for each in told:
            self._check(each)
        self._acknowledged += len(told)

    def settled(self, first: int, last: int) -> int:
        """After a restart: the rows of the dead process from `first` to `last`; how many outcomes are unknown.

        Every call that was let through has an outcome, every held one has one or went on; and what is executed by its
        outcome was at a server.
        """
        self._look()
        dead = [row for row in self._ledger.rows[first:last] if row["kind"] in CALLS]
        for row in dead:
            ended = row["enforced"] == "deny" or row["id"] in self._ledger.outcomes
            assert ended or (row["enforced"] == "require_approval" and row["id"] in self._went_on), f"no outcome: {row}"
        phantoms = [word for word, count in self._executed.items() if word and count > self._arrived[word]]
        assert not phantoms, f"executed by the log, and never at a server: {phantoms}"
        outcomes = self._ledger.outcomes
        return sum(row["id"] in outcomes and outcomes[row["id"]]["state"] == "unknown" for row in dead)

    def forget(self) -> None:
        """For runs of hours: after a balance, let go of all that belongs to calls that are over."""
        self.balance()
        told, going = self._agents.told, self._agents.open
        going = going | {each.word for each in told[self._acknowledged :]}
        del told[: self._acknowledged]
        self._ledger.forget(self._rows, self._arrivals, lambda row: word_of(row) in going)
        self._rows = self._arrivals = self._acknowledged = 0
        for counter in (self._allowed, self._arrived, self._executed):
            for word in [word for word in counter if word not in going]:
                del counter[word]
        self._went_on.clear()

    def _look(self) -> None:
        rows = self._ledger.read()
        new, self._rows = rows[self._rows :], len(rows)
        arrivals = self._ledger.arrivals
        for _, _, received in arrivals[self._arrivals : (count := len(arrivals))]:
            self._arrived[received.params["arguments"].get("word", "")] += 1
        self._arrivals = count
        for row in new:
            if row["kind"] == "outcome":
                parent = self._ledger.by_id.get(row["parent"])
                if parent is not None and parent["method"] == "tools/call" and row["state"] == "executed":
                    self._executed[word_of(parent)] += 1
            elif row["kind"] in CALLS:
                self._call(row)

    def _call(self, row: dict[str, Any]) -> None:
        self._went_on.add(row["parent"])
        if row["enforced"] != "allow":
            return
        self._allowed[word_of(row)] += 1
        approval = row["approval_id"]
        assert (row["target"] == "gated") == (approval is not None), f"held calls need an approval, others none: {row}"
        if approval is not None:
            assert row["kind"] == "release", row
            assert approval not in self._used, f"one approval let two calls through: {row}"
            self._used[approval] = row["id"]
            assert self._approvers.voted.get(approval) != "deny", f"a denied call was let through: {row}"

    def _check(self, told: Told) -> None:
        if told.verdict == "executed":
            assert self._allowed[told.word], f"told that it was executed, and no row says so: {told}"
            assert self._arrived[told.word], f"told that it was executed, and no server was asked: {told}"
        elif told.id is not None:
            row = self._ledger.by_id.get(told.id)
            assert row is not None, f"told of a decision that is not in the log: {told}"
            assert word_of(row) == told.word, (told, row)
            assert row["enforced"] in ("require_approval", "deny"), (told, row)


def word_of(row: Mapping[str, Any]) -> str:
    """The word that tells a call apart, in its row."""
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return str(json.loads(row["arguments"])["word"])
    return ""


def verdicts(told: list[Told]) -> dict[str, dict[str, int]]:
    """How often each tool got which verdict."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for (tool, verdict), count in Counter((one.tool, one.verdict) for one in told).items():
        found[tool][verdict] = count
    return dict(found)
