"""Whose tasks are whose: each task a server made of a call, bound to the caller and the call that it came from.

Asking for a task is as good as making its call: it is judged as that call, and to anyone else the task does not exist.
Kept in this process, bounded; a task that is forgotten can no longer be asked for. Must not know messages.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import field
from typing import Final

from policylayer.core.call import Call, Caller
from policylayer.core.immutable import immutable
from policylayer.proxy.faults import Unusable
from policylayer.proxy.limits import Limits
from policylayer.proxy.sessions import Owner, owner_of

LONGEST_ID: Final = 1024


@immutable
class Task:
    """One task: the call it came from, the row that let it through, and the hold rules satisfied then.

    `shown` are digests of what its server asked and the client was shown, so that a poll is no new question.
    `guarded`: its result is masked or cut, which only an answer can be.
    """

    owner: Owner
    call: Call
    row_id: str
    rules: frozenset[str]
    until: float
    guarded: bool = False
    shown: set[str] = field(default_factory=set, compare=False)

    def was_shown(self, digest: str, most: int) -> bool:
        """Whether the client was shown what has this digest. Raises `Unusable` where that is new, and was often so."""
        if digest in self.shown:
            return True
        if len(self.shown) >= most:
            raise Unusable("its task asks too often")
        return False


class TaskOwners:
    """All tasks that are known."""

    def __init__(self, monotonic: Callable[[], float], limits: Limits) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._tasks: OrderedDict[tuple[str, str], Task] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    def keep(
        self,
        task_id: object,
        caller: Caller,
        call: Call,
        row_id: str,
        rules: frozenset[str],
        guarded: bool = False,
    ) -> bool:
        """A server made a task of a call. False where the id is none, or is another caller's already."""
        if type(task_id) is not str or not 0 < len(task_id) <= LONGEST_ID:
            return False
        key = (call.server, task_id)
        present = self._tasks.get(key)
        if present is not None and present.owner != owner_of(caller):
            return False
        until = self._monotonic() + self._limits.task_life
        self._tasks[key] = Task(owner_of(caller), call, row_id, rules, until, guarded)
        self._tasks.move_to_end(key)
        while len(self._tasks) > self._limits.tasks:
            self._tasks.popitem(last=False)
        return True

    def is_anothers(self, server: str, task_id: object, caller: Caller) -> bool:
        """Whether it is known as another caller's."""
        task = self._tasks.get((server, task_id)) if type(task_id) is str else None
        return task is not None and task.owner != owner_of(caller)

    def find(self, server: str, task_id: str, caller: Caller) -> Task | None:
        """The caller's task, or None."""
        task = self._tasks.get((server, task_id))
        if task is None or task.owner != owner_of(caller):
            return None
        if task.until <= self._monotonic():
            del self._tasks[server, task_id]
            return None
        return task
