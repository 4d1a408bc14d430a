"""The policies at the configured source, as a command sees them beside a running proxy.

The proxy watches its source itself, so a reload from here is waiting for what it makes of it. Must not know how a
revision is activated (`revisions/`).
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from policylayer.audit.replicas import Activation, newest, serving
from policylayer.cli.exits import CommandError
from policylayer.cli.stale import stale
from policylayer.clock import Clock
from policylayer.config import Config
from policylayer.config.facts import known_of
from policylayer.core.call import Question
from policylayer.core.errors import PolicyError
from policylayer.core.instants import when
from policylayer.policy.diagnostics import as_json
from policylayer.policy.directory import principals_of
from policylayer.policy.explain_shown import Told
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.load import Loaded, load
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Facts, Kept
from policylayer.rego.opening import opa_server
from policylayer.revisions.active import Active
from policylayer.revisions.judging import Case, judge
from policylayer.revisions.opened import opened
from policylayer.revisions.snapshot import Snapshot
from policylayer.revisions.sources import read
from policylayer.store.store import Store

WAIT: Final = 30.0
"""Seconds that the proxy gets to look at a change."""

EACH: Final = 0.2


class LocalPolicies:
    """Reads the source itself when someone asks what it says."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.store: Store | None = None

    def current(self) -> PolicySet:
        """The set at the source: who may vote is read from it."""
        policy_set = self._loaded(self._read()).policy_set
        assert policy_set is not None
        return policy_set

    def status(self) -> dict[str, Any]:
        """What the source says; which revision a proxy has active, only its API knows."""
        return {
            "revision": load(self._read().files).revision,
            "activated_at": None,
            "commit": None,
            "refused": [],
            "restart": [],
        }

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        """Whether something may let this principal's own calls to this server through."""
        loaded = load(self._read().files)
        elsewhere = bool(loaded.rego) or self._config.opa is not None
        # Policies that do not load are told of elsewhere.
        return elsewhere or loaded.policy_set is None or loaded.policy_set.opens(principal, server, now)

    def principals(self) -> frozenset[str]:
        """Those that principals.yaml names, as far as it can be read: a freeze must not wait for it."""
        loaded = load(self._read().files)
        return frozenset() if loaded.policy_set is None else principals_of(loaded.policy_set.directory)

    async def explain(self, question: Question) -> Told:
        """Why a call gets its decision, by what lies at the source."""
        async with self._opened() as active:
            return await active.explain(question)

    async def explain_recorded(self, row: Kept, facts: Facts) -> Told:
        """The same of a recorded call."""
        async with self._opened() as active:
            return await active.explain_recorded(row, facts)

    async def reload(self) -> dict[str, Any]:
        """Wait until the proxy has active what lies at the source."""
        assert self.store is not None
        await self.store.read(_active)  # where no proxy serves, nothing is to be waited for
        snapshot = await asyncio.to_thread(self._read)
        known = known_of(self._config)
        finding = await asyncio.to_thread(judge, Case(snapshot.files, snapshot.diagnostics, known, NOT_ENFORCED, 60))
        refused = [{"revision": snapshot.revision, "diagnostics": [as_json(each) for each in finding.diagnostics]}]
        deadline = asyncio.get_running_loop().time() + WAIT
        while True:
            active = await self.store.read(_active)
            if active and (finding.policies is None or active.detail.get("revision") == snapshot.revision):
                return {
                    "revision": active.detail.get("revision"),
                    "activated_at": when(active.since_us),
                    "commit": active.detail.get("commit"),
                    "refused": refused if finding.policies is None else [],
                    "restart": await asyncio.to_thread(stale, self._config),
                }
            if asyncio.get_running_loop().time() > deadline:
                raise CommandError(
                    f"no proxy has activated `{snapshot.revision[:19]}…` in {WAIT:g}s",
                    "what the proxy itself prints says what keeps it",
                )
            await asyncio.sleep(EACH)

    def _opened(self) -> AbstractAsyncContextManager[Active]:
        snapshot = self._read()
        return opened(self._loaded(snapshot), snapshot.files, opa_server(self._config.opa, Clock()))

    def _read(self) -> Snapshot:
        try:
            return read(self._config.policies)
        except OSError as problem:
            why = (problem.strerror or "failed").lower()
            raise PolicyError(
                f"the policies cannot be read: {why}", "look at the owner and mode of their folder"
            ) from None

    def _loaded(self, snapshot: Snapshot) -> Loaded:
        loaded = load(snapshot.files)
        if loaded.policy_set is None:
            raise PolicyError("the policies do not load", "`policylayer check` says why")
        return loaded


def _active(connection: Connection) -> Activation | None:
    """What was last activated by a proxy that serves; None while it has yet to."""
    names = serving(connection)
    if not names:
        raise CommandError(
            "no proxy serves from this database", "start it, which reads the policies too: `policylayer serve -c FILE`"
        )
    return max(newest(connection, names).values(), key=lambda each: each.id, default=None)
