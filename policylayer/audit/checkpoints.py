"""Signed checkpoints: the last row of every chain at a moment. Kept elsewhere, they show what was cut or rewritten.

Each is one line of JSON, signed with Ed25519 by a key that is derived from the service's secret; its public half may be
given to whoever verifies. Must not know where the lines are sent (`sinks`), nor how chains are walked (`verify.py`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

import orjson
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, delete, insert, select

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.core.immutable import immutable
from policylayer.keys import Keys, text, untext
from policylayer.store.opening import heads
from policylayer.store.store import Store
from policylayer.store.tables import checkpoints
from policylayer.tasks import beat, keep_on, spawn

EVERY: Final = 60.0
"""Seconds: what an attacker with database and key could rewrite unseen, where checkpoints are kept elsewhere."""

ROWS: Final = 1000
"""So many rows of this process make one due sooner."""

LOOK: Final = 1.0
"""Seconds between looks at how many rows there are: never more than one checkpoint in that time."""

PURPOSE: Final = b"policylayer checkpoint 1\n"
ALWAYS: Final = 100
"""So many of the newest chains are in every checkpoint; older ones only when their head has changed, and in the first
checkpoint of a process."""

KEPT: Final = 1000
"""So many are kept in the database itself."""

Heads: TypeAlias = dict[str, tuple[int, str]]
Sink: TypeAlias = Callable[[bytes], Awaitable[None]]


@immutable
class Checkpoint:
    """The heads at a time: chain to number and link of its last row."""

    id: str
    time_us: int
    key_id: str
    heads: Heads
    public_key: str
    signature: str

    def line(self) -> bytes:
        """One line of JSON, as it is kept elsewhere."""
        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)

    def genuine(self, keys: Keys) -> bool:
        """Whether one of our keys signed exactly this."""
        chain_key = keys.chain_of(self.key_id)
        signature, public = untext(self.signature), untext(self.public_key)
        if chain_key is None or signature is None or public != public_key(chain_key):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(self))
        except (InvalidSignature, orjson.JSONEncodeError):  # the latter: numbers that none of ours holds
            return False
        return True


def public_key(chain_key: bytes) -> bytes:
    """The public half of the key that signs checkpoints."""
    return _private(chain_key).public_key().public_bytes_raw()


def seen(connection: Connection, told: Heads | None = None) -> tuple[Heads, Heads]:
    """The heads as they are, and those that earlier checkpoints carry: `told` as far as the caller knows, else those of
    the last one. With many chains it takes a while: for `Store.read`, where nobody waits for it."""
    return heads(connection), told if told is not None else _last(connection)


def take(
    connection: Connection, keys: Keys, clock: Clock, known: tuple[Heads, Heads] | None = None
) -> Checkpoint | None:
    """Sign heads, and keep that; None where nothing changed since the last one.

    `known` are those that were `seen` a moment ago: rows are only added, so what was then the last one is there still.
    """
    now, told = known if known is not None else seen(connection)
    changed = {chain for chain, head in now.items() if told.get(chain) != head}
    if not changed:
        return None
    listed = changed | set(sorted(now)[-ALWAYS:])
    key = keys.chain
    unsigned = Checkpoint(
        id=clock.new_id(),
        time_us=clock.time_us(),
        key_id=keys.fingerprint,
        heads={chain: now[chain] for chain in sorted(listed)},
        public_key=text(public_key(key)),
        signature="",
    )
    signature = text(_private(key).sign(_signed(unsigned)))
    made = Checkpoint(unsigned.id, unsigned.time_us, unsigned.key_id, unsigned.heads, unsigned.public_key, signature)
    connection.execute(insert(checkpoints).values(_columns(made)))
    oldest = select(checkpoints.c.id).order_by(checkpoints.c.id.desc()).offset(KEPT).limit(1).scalar_subquery()
    connection.execute(delete(checkpoints).where(checkpoints.c.id <= oldest))
    return made


def stored(connection: Connection) -> list[Checkpoint | None]:
    """The checkpoints that the database keeps, in order; None for one that cannot be read."""
    query = select(checkpoints).order_by(checkpoints.c.id)
    return [_read(dict(row)) for row in connection.execute(query).mappings()]


def _last(connection: Connection) -> Heads:
    row = connection.execute(select(checkpoints).order_by(checkpoints.c.id.desc()).limit(1)).mappings().first()
    last = _read(dict(row)) if row is not None else None
    return last.heads if last is not None else {}


def load(line: bytes) -> Checkpoint | None:
    """A checkpoint that was kept elsewhere; None for a line that is none."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return _read(values) if isinstance(values, dict) else None


class Checkpoints:
    """Takes a checkpoint after so many rows or seconds, whatever is first, and hands its line to the sinks."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        clock: Clock,
        sinks: Sequence[Sink] = (),
        every: float = EVERY,
        rows: int = ROWS,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._sinks = sinks
        self._every = every
        self._rows = rows
        self._rows_told = 0
        self._task: asyncio.Task[None] | None = None
        self._told: Heads | None = None
        self._taken = 0.0

    async def start(self) -> None:
        """Begin."""
        self._taken = self._clock.monotonic()
        self._task = spawn(keep_on(self._turn, "no checkpoint could be taken"), "checkpoints")

    async def close(self) -> None:
        """Take a last one, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.take()

    async def take(self) -> Checkpoint | None:
        """Take one now; None where nothing changed, or the database does not answer."""
        self._rows_told = self._store.meter.rows
        try:
            now, told = known = await self._store.read(partial(seen, told=self._told))
            made = await self._store.write(partial(take, keys=self._keys, clock=self._clock, known=known))
        except AuditUnavailable as error:
            structlog.get_logger().warning("no checkpoint could be taken", error=error.message)
            return None
        if made is not None:
            carried = told | made.heads
            self._told = {chain: carried[chain] for chain in now if chain in carried}
            for sink in self._sinks:
                await self._send(sink, made.line())
        return made

    async def _turn(self) -> None:
        await beat(min(LOOK, self._every))
        now = self._clock.monotonic()
        if now - self._taken >= self._every or self._store.meter.rows - self._rows_told >= self._rows:
            self._taken = now
            await self.take()

    async def _send(self, sink: Sink, line: bytes) -> None:
        try:
            await sink(line)
        except Exception as error:
            # It is in the database, and its heads are in the next one too.
            structlog.get_logger().error("a checkpoint could not be sent", error=str(error))


def _private(chain_key: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hmac.digest(chain_key, PURPOSE, "sha256"))


def _signed(checkpoint: Checkpoint) -> bytes:
    """What is signed: everything but the signature, keys sorted."""
    plain = {
        "id": checkpoint.id,
        "time_us": checkpoint.time_us,
        "key_id": checkpoint.key_id,
        "heads": checkpoint.heads,
    }
    return PURPOSE + orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def _columns(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "id": checkpoint.id,
        "time_us": checkpoint.time_us,
        "key_id": checkpoint.key_id,
        "heads": orjson.dumps(checkpoint.heads).decode(),
        "public_key": checkpoint.public_key,
        "signature": checkpoint.signature,
    }


def _read(values: dict[str, object]) -> Checkpoint | None:
    try:
        raw = values["heads"]
        told = orjson.loads(raw) if isinstance(raw, str) else raw
        return Checkpoint(
            id=str(values["id"]),
            time_us=int(str(values["time_us"])),
            key_id=str(values["key_id"]),
            heads={str(chain): (int(seq), str(head)) for chain, (seq, head) in told.items()},  # type: ignore[union-attr]
            public_key=str(values["public_key"]),
            signature=str(values["signature"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
