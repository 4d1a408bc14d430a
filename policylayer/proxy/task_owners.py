"""Whose tasks are whose: each task a server made of a call, bound to the caller and the call that it came from.

Asking for a task is as good as making its call: it is judged as that call, and to anyone else the task does not exist.
Servers count their tasks as they like, often in each session anew: so a task is known by its session too, and while it
lives no other call's task takes its name, or asking for one would be judged as the other. Kept in this process, bounded
in number and bytes; whoever makes too many loses the own oldest. A task that is forgotten can no longer be asked for.
Must not know messages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from policylayer.core.call import Call, Caller
from policylayer.core.immutable import immutable
from policylayer.proxy.faults import Unusable
from policylayer.proxy.limits import Limits
from policylayer.proxy.sessions import Owner, owner_of

LONGEST_ID: Final = 1024

Key: TypeAlias = tuple[str, str, str]
"""Server, session (empty where there is none), and the server's own id of the task."""


class TaskTakenError(Exception):
    """The id is that of another call's task, which lives."""


@immutable
class Task:
    """One task: the call it came from, the row that let it through, and the hold rules satisfied then.

    `shown` are digests of what its server asked and the client was shown, so that a poll is no new question.
    `guarded`: its result is masked or cut, which only an answer can be. `size` is that of the request, in bytes.
    """

    owner: Owner
    call: Call
    row_id: str
    rules: frozenset[str]
    until: float
    guarded: bool = False
    size: int = 0
    shown: set[str] = field(default_factory=set, compare=False)

    def was_shown(self, digest: str, most: int) -> bool:
        """Whether the client was shown what has this digest. Raises `Unusable` where that is new, and was often so."""
        if digest in self.shown:
            return True
        if len(self.shown) >= most:
            raise Unusable("its task asks too often")
        return False


@dataclass(slots=True)
class _Share:
    """What one principal has: its tasks, the oldest first, and the bytes of the requests that made them."""

    tasks: OrderedDict[Key, Task] = field(default_factory=OrderedDict)
    size: int = 0


class TaskOwners:
    """All tasks that are known."""

    def __init__(self, monotonic: Callable[[], float], limits: Limits) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._whose: dict[Key, str] = {}
        self._named: dict[tuple[str, str], set[Key]] = {}
        self._shares: dict[str, _Share] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._whose)

    @property
    def size(self) -> int:
        """Bytes of the requests that made them."""
        return self._size

    def keep(
        self,
        task_id: object,
        caller: Caller,
        call: Call,
        row_id: str,
        rules: frozenset[str],
        guarded: bool = False,
        session: str = "",
        size: int = 0,
    ) -> bool:
        """A server made a task of a call. False where the id is none. Raises `TaskTakenError`."""
        if type(task_id) is not str or not 0 < len(task_id) <= LONGEST_ID:
            return False
        key = (call.server, session, task_id)
        task = Task(owner_of(caller), call, row_id, rules, self._monotonic() + self._limits.task_life, guarded, size)
        present = self._living(key)
        if present is not None and not _same(present, task):
            raise TaskTakenError
        self._forget(key)
        self._make_room(caller.subject.id, size)
        self._add(key, caller.subject.id, task)
        return True

    def is_anothers(self, server: str, task_id: object, caller: Caller) -> bool:
        """Whether it is known as another caller's, and not as this one's, whatever the session."""
        if type(task_id) is not str:
            return False
        keys = self._named.get((server, task_id), ())
        owners = {task.owner for task in map(self._living, tuple(keys)) if task is not None}
        return bool(owners) and owner_of(caller) not in owners

    def find(self, server: str, task_id: str, caller: Caller, session: str = "") -> Task | None:
        """The caller's task, or None."""
        task = self._living((server, session, task_id))
        return task if task is not None and task.owner == owner_of(caller) else None

    def _living(self, key: Key) -> Task | None:
        whose = self._whose.get(key)
        if whose is None:
            return None
        task = self._shares[whose].tasks[key]
        if task.until > self._monotonic():
            return task
        self._forget(key)
        return None

    def _make_room(self, principal: str, size: int) -> None:
        """For one more: the principal's own oldest go first, then those of whoever has the most."""
        limits = self._limits
        while (own := self._shares.get(principal)) is not None and (
            len(own.tasks) >= limits.tasks_each or own.size + size > limits.task_bytes_each or self._is_full(size)
        ):
            self._forget(next(iter(own.tasks)))
        while self._whose and self._is_full(size):
            most = max(self._shares.values(), key=lambda share: (share.size, len(share.tasks)))
            self._forget(next(iter(most.tasks)))

    def _is_full(self, size: int) -> bool:
        return len(self._whose) >= self._limits.tasks or self._size + size > self._limits.task_bytes

    def _add(self, key: Key, principal: str, task: Task) -> None:
        share = self._shares.setdefault(principal, _Share())
        share.tasks[key] = task
        share.size += task.size
        self._size += task.size
        self._whose[key] = principal
        self._named.setdefault((key[0], key[2]), set()).add(key)

    def _forget(self, key: Key) -> None:
        principal = self._whose.pop(key, None)
        if principal is None:
            return
        named = self._named[key[0], key[2]]
        named.discard(key)
        if not named:
            del self._named[key[0], key[2]]
        share = self._shares[principal]
        size = share.tasks.pop(key).size
        share.size -= size
        self._size -= size
        if not share.tasks:
            del self._shares[principal]


def _same(present: Task, task: Task) -> bool:
    """Whether a task is of the same call: its answer came twice, or the server takes the call up again."""
    if present.row_id == task.row_id:
        return True
    alike = present.call.digest == task.call.digest and present.call.method == task.call.method
    return alike and present.owner == task.owner and present.guarded == task.guarded
