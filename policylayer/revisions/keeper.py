"""Keeps the active policy set: notices changes, has them judged, swaps whole sets, and keeps what it refused.

A revision that does not load, or whose tests fail, never becomes active, and however many fail, or if the folder is
deleted, the last good one stays. `current` is one object at any moment; who decides holds on to it for the decision.
What could not be judged, through no fault of its content, is refused too, and tried again (`again.py`).
Must not know what a policy is, nor who asks it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog

from policylayer.clock import Clock
from policylayer.core.errors import PolicyError
from policylayer.core.immutable import immutable
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.compile import compile as compile_policies
from policylayer.policy.diagnostics import Diagnostic, error, render
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.known import Known
from policylayer.policy.policy_set import PolicySet
from policylayer.rego.codes import RegoCode
from policylayer.rego.examine import open_rego
from policylayer.rego.pool import PoolSettings
from policylayer.revisions.active import Active, Elsewhere, Server
from policylayer.revisions.again import Again
from policylayer.revisions.judge import Judge
from policylayer.revisions.judging import Finding
from policylayer.revisions.snapshot import Snapshot, Source, Unsettled, settled
from policylayer.revisions.sources import source_of
from policylayer.tasks import beat, spawn

KEPT: Final = 10
"""How many refused revisions are kept."""
EVERY: Final = 0.5
SELDOM: Final = 1.0
"""Seconds between two looks at the source: while somebody works on it, and else."""
CALM: Final = 10
"""So many looks without a change, and nobody works on it."""
SHARE: Final = 20
"""Looking may take one processor's time for one part in so many."""
PASSING: Final = frozenset({Code.UNREADABLE, Code.TESTS_STOPPED, Code.NOT_LOADED, RegoCode.ENGINE})
"""What may be the machine's fault of this moment: the same files may be in order when they are looked at again."""

OnEvent = Callable[[str, Mapping[str, Any]], Awaitable[None] | None]


@immutable
class Refused:
    """A revision that was not activated. `rendered` are its diagnostics for people."""

    revision: str
    diagnostics: tuple[Diagnostic, ...]
    at_us: int
    commit: str | None = None
    rendered: str = ""

    @property
    def passing(self) -> bool:
        """Whether it was perhaps not refused by its content: then it is tried again without any change."""
        return any(finding.is_error and finding.code in PASSING for finding in self.diagnostics)


LOGGED: Final = {
    "policy_activated": (logging.INFO, "policy activated"),
    "policy_refused": (logging.WARNING, "policy refused"),
}
"""How loudly each event is told, and in which words."""


class PolicyRefused(PolicyError):
    """The first revision cannot be activated. `str()` is the first problem; `rendered` all of them, for people."""

    def __init__(self, refused: Refused) -> None:
        first = next(finding for finding in refused.diagnostics if finding.is_error)
        super().__init__(f"{first.file}:{first.line}:{first.column}: {first.message}", first.help)
        self.diagnostics = refused.diagnostics
        self.rendered = refused.rendered


class Revisions:
    """The revisions of one source. `on_event` is told `policy_activated` and `policy_refused` with their details."""

    def __init__(
        self,
        source: Source | str,
        clock: Clock,
        on_event: OnEvent | None = None,
        known: Known | None = None,
        not_enforced: frozenset[str] = NOT_ENFORCED,
        judge: Callable[[], Judge] = Judge,
        rego: PoolSettings | None = None,
        server: Server | None = None,
    ) -> None:
        self._source = source_of(source) if isinstance(source, str) else source
        self._clock = clock
        self._on_event = on_event
        self._known = known
        self._not_enforced = not_enforced
        self._judge = judge
        self._rego = rego or PoolSettings()
        self._server = server
        self._at_work: Active | None = None
        self._active = Snapshot({})
        self._seen: object = None
        """The source's state that was last looked at. Whether that came to anything says `_again`."""
        self._again = Again(clock.monotonic)
        self._trying = ""
        self._lock = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._subscribers: list[Callable[[PolicySet], None]] = []
        self.refused: deque[Refused] = deque(maxlen=KEPT)
        """The latest last. One that has since been mended stays in the list; `pending` says how things stand."""
        self.pending: Refused | None = None
        """What lies at the source and was refused; None where the source is what is active."""
        self.activated_us = 0
        self.commit: str | None = None

    @property
    def current(self) -> PolicySet:
        """The active policy set."""
        return self.at_work.policy_set

    @property
    def at_work(self) -> Active:
        """The active set with its engines; hold on to it for one decision."""
        if self._at_work is None:
            raise RuntimeError("no policy set is active before `start`")
        return self._at_work

    def subscribe(self, callback: Callable[[PolicySet], None]) -> None:
        """Call back with each set that becomes active from now on."""
        self._subscribers.append(callback)

    async def start(self) -> None:
        """Activate the first revision, then watch. Raises `PolicyRefused` with all that is wrong."""
        refused = await self._look()
        if refused is not None:
            raise PolicyRefused(refused)
        self._watcher = spawn(self._watch(), "policy revisions")

    async def reload(self, wait: bool = True) -> Refused | None:
        """Read the source again, whether it has changed or not; None where it is active, else why not."""
        if not wait:
            spawn(self._look(), "policy reload")
            return None
        return await self._look()

    async def close(self) -> None:
        """Stop watching; the active set stays, its engines end."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        if self._at_work is not None:
            await self._at_work.close()

    # --- one look at the source ---

    async def _watch(self) -> None:
        """Look at the source's state twice a second, or once where it has long been the same or takes long to look at.

        Looking finds what the system's own notices do not tell: swapped links, mounted and remote folders.
        """
        calm = 0
        while True:
            began, calm = self._clock.monotonic(), calm + 1
            try:
                state = await asyncio.to_thread(self._source.state)
                slow = SHARE * (self._clock.monotonic() - began) > EVERY
                if state != self._seen or self._again.due:
                    calm = 0
                    await self._look()
            except Exception as failure:
                slow = True
                if not self._again.waiting:
                    await self._not_judged(failure)
            await beat(SELDOM if slow or calm > CALM else EVERY)

    async def _look(self) -> Refused | None:
        async with self._lock:
            self._trying = ""
            try:
                judge = self._judge()
                try:
                    refused = await self._read_and_judge(judge)
                finally:
                    judge.close()
            except Exception as failure:
                return await self._not_judged(failure)
            if refused is not None and refused.passing:
                self._again.failed()
            else:
                self._again.judged()
            return refused

    async def _not_judged(self, failure: Exception) -> Refused:
        """Something broke on the way: what lies there is not active, which must be seen, and is tried again."""
        self._again.failed()
        structlog.get_logger().error("a policy revision could not be judged", exc_info=failure)
        return await self._refuse(self._trying, {}, (_broke(failure),))

    async def _read_and_judge(self, judge: Judge) -> Refused | None:
        self._seen = await asyncio.to_thread(self._source.state)
        try:
            snapshot = await settled(self._source, self._clock.time_us)
        except Unsettled as problem:
            return await self._refuse("", {}, (_not_loaded(problem),))
        self._seen, self._trying = snapshot.state, snapshot.revision
        if self._at_work is not None and snapshot.revision == self.current.revision and not snapshot.diagnostics:
            self.pending = None
            return None
        commit = snapshot.commit or await asyncio.to_thread(self._source.commit)
        finding = await judge.ask(snapshot, self._known, self._not_enforced)
        if finding.policies is None:
            return await self._refuse(snapshot.revision, snapshot.files, finding.diagnostics, commit)
        policy_set, found = await asyncio.to_thread(
            compile_policies, finding.policies, finding.directory, snapshot.revision
        )
        if policy_set is None:
            return await self._refuse(snapshot.revision, snapshot.files, (*finding.diagnostics, *found), commit)
        rego = None
        elsewhere: Elsewhere | None = self._server
        if self._server is not None and self._server.pushes:
            pushed = await _pushed(self._server, finding, snapshot)
            if isinstance(pushed, str):
                return await self._refuse(snapshot.revision, snapshot.files, (_not_pushed(pushed),), commit)
            elsewhere = pushed
        elif finding.rego:
            rego, problems = await open_rego(policy_set, finding.rego, snapshot.files, self._rego)
            if rego is None:
                return await self._refuse(snapshot.revision, snapshot.files, tuple(problems), commit)
        await self._activate(Active(policy_set, rego, elsewhere), snapshot, finding, commit)
        return None

    async def _activate(self, active: Active, snapshot: Snapshot, finding: Finding, commit: str | None) -> None:
        before, self._active = self._active, snapshot
        replaced, policy_set = self._at_work, active.policy_set
        self._at_work, self.pending, self.commit = active, None, commit
        if replaced is not None:
            replaced.retire()
        self.activated_us = self._clock.time_us()
        for callback in self._subscribers:
            try:
                callback(policy_set)
            except Exception:
                structlog.get_logger().exception("a new policy revision could not be told to a part of the service")
        detail = {
            "revision": policy_set.revision,
            "commit": commit,
            "added": sorted(snapshot.files.keys() - before.files.keys()),
            "removed": sorted(before.files.keys() - snapshot.files.keys()),
            "changed": sorted(
                path
                for path in snapshot.files.keys() & before.files.keys()
                if snapshot.files[path] != before.files[path]
            ),
            "tests": finding.tests,
        }
        await self._tell("policy_activated", detail)

    async def _refuse(
        self,
        revision: str,
        files: Mapping[str, bytes],
        diagnostics: tuple[Diagnostic, ...],
        commit: str | None = None,
    ) -> Refused:
        refused = Refused(revision, diagnostics, self._clock.time_us(), commit, render(diagnostics, files))
        before, self.pending = self.pending, refused
        if before is not None and (before.revision, before.diagnostics) == (revision, diagnostics):
            return refused
        self.refused.append(refused)
        errors = [finding for finding in diagnostics if finding.is_error]
        first = f"{errors[0].file}:{errors[0].line}:{errors[0].column}: {errors[0].code}: {errors[0].message}"
        detail = {"revision": revision, "commit": commit, "errors": len(errors), "first": first}
        await self._tell("policy_refused", detail)
        return refused

    async def _tell(self, type_: str, detail: Mapping[str, Any]) -> None:
        level, event = LOGGED[type_]
        structlog.get_logger().log(level, event, **detail)
        if self._on_event is None:
            return
        try:
            told = self._on_event(type_, detail)
            if inspect.isawaitable(told):
                await told
        except Exception:
            structlog.get_logger().exception("a policy event could not be recorded", type=type_)


async def _pushed(server: Server, finding: Finding, snapshot: Snapshot) -> Elsewhere | str:
    """This revision on the server, or why it is not there."""
    bounded = sorted(path for path, scopes in finding.rego.items() if scopes)
    if bounded:
        # The server is asked about all calls, with all files: one team's Rego would reach the others' principals.
        return f"`{bounded[0]}` is bounded by a `scope.yaml`, which does not bind there; leave out `push: true`"
    texts = {path: snapshot.files[path] for path in finding.rego if not path.endswith("_test.rego")}
    return await server.push(texts, snapshot.revision)


def _not_pushed(why: str) -> Diagnostic:
    return error(Code.NOT_LOADED, Span(".", 1, 1), f"the OPA server does not hold this revision: {why}")


def _not_loaded(problem: Unsettled) -> Diagnostic:
    return error(Code.NOT_LOADED, Span(".", 1, 1), problem.message, problem.help)


def _broke(failure: Exception) -> Diagnostic:
    why = failure.strerror if isinstance(failure, OSError) else None
    text = f"the revision could not be judged: {(why or type(failure).__name__).lower()}"
    help_ = "it is tried again by itself; if it stays so, is the machine short of processes, memory or descriptors?"
    return error(Code.NOT_LOADED, Span(".", 1, 1), text, help_)
