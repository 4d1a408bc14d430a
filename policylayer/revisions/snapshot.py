"""One state of the policy files: their bytes, read so that they belong together.

`settled` waits until nothing has changed for half a second, no git lock is held, and two full reads agree. What a
source can be is in `folder` and `repository`. Must not know what the files mean, except which are read at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from policylayer.core.errors import PolicyError
from policylayer.core.immutable import immutable
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.load import revision_of

QUIET_US: Final = 500_000
PATIENCE: Final = 10.0
"""Seconds that a folder has to come to rest."""
LOCK_WAIT: Final = 0.1


@immutable
class Snapshot:
    """What one read found. `state` changes whenever the source may have; `changed_us` is the newest change on disk.

    `lock` names a git lock that was held. `diagnostics` say what could not be read; it is then not among `files`.
    """

    files: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...] = ()
    state: object = None
    changed_us: int = 0
    lock: str | None = None
    commit: str | None = None

    @property
    def revision(self) -> str:
        """The digest of paths and contents."""
        return revision_of(self.files)


class Unsettled(PolicyError):
    """The source could not be read as one state."""


class Source(Protocol):
    """Where policy files come from. Its methods block, so they run in threads."""

    def read(self) -> Snapshot:
        """One full read; raises `Unsettled` where there is nothing to read."""

    def state(self) -> object:
        """What a cheap look says: another value whenever `read` may find something else."""

    def commit(self) -> str | None:
        """The git commit whose content lies there unchanged, if any."""


async def settled(source: Source, time_us: Callable[[], int], patience: float = PATIENCE) -> Snapshot:
    """A snapshot of a source at rest; raises `Unsettled` where it does not come to rest in time."""
    # Not for `check`, which reads once: loading it would take a tenth of its time.
    import asyncio

    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    first = await asyncio.to_thread(source.read)
    while True:
        await asyncio.sleep(_rest(first, time_us()))
        second = await asyncio.to_thread(source.read)
        agree = second.state == first.state and second.files == first.files
        if agree and first.lock is None and second.lock is None:
            return second
        if loop.time() >= deadline:
            raise _restless(second)
        first = second


def _rest(snapshot: Snapshot, now_us: int) -> float:
    """How long to wait before the second read. A change dated in the future has just been made, on another clock."""
    if snapshot.lock is not None:
        return LOCK_WAIT
    age = now_us - snapshot.changed_us
    return (QUIET_US if age < 0 else max(0, QUIET_US - age)) / 1e6


def _restless(snapshot: Snapshot) -> Unsettled:
    if snapshot.lock is not None:
        message = f"the git lock `{snapshot.lock}` has been held for too long"
        return Unsettled(message, "let git finish; a lock that a crash left behind can be removed")
    return Unsettled("the files keep changing", "nothing is activated until they have been at rest for half a second")
