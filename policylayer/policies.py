"""The active policy set as the data path, the API and approvals each ask for it: one object over `revisions`.

Must not know how revisions are read or activated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import structlog

from policylayer.api.services import Part
from policylayer.core.call import Question
from policylayer.core.decision import Decision
from policylayer.core.instants import when
from policylayer.core.redact import Path
from policylayer.policy.diagnostics import as_json
from policylayer.policy.directory import principals_of
from policylayer.policy.explain_shown import Told
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Facts, Kept
from policylayer.revisions.keeper import Refused, Revisions


class Policies:
    """The active set. `start` before anything is asked; it raises where nothing can be activated.

    `restart` says which processes have begun with another configuration than lies there now.
    """

    def __init__(self, revisions: Revisions, restart: Callable[[], list[str]] = list) -> None:
        self._revisions = revisions
        self._restart = restart

    # --- as approvals ask ---------------------------------------------------------------------------------------------

    @property
    def current(self) -> PolicySet:
        """The active set."""
        return self._revisions.current

    # --- as the data path asks ----------------------------------------------------------------------------------------

    @property
    def revision(self) -> str:
        """Which one it is."""
        return self._revisions.current.revision

    async def decide(self, question: Question) -> Decision:
        """What policy says. The set is chosen when this runs, not when it is called: it may be replaced in between."""
        return await self._revisions.at_work.decide(question)

    async def listed(self, question: Question) -> bool:
        """Whether a list may show a target."""
        return await self._revisions.at_work.listed(question)

    def reads(self, server: str, method: str, target: str | None) -> frozenset[Path]:
        """Which fields its rules read, in files of any kind."""
        return self._revisions.at_work.reads(server, method, target)

    async def explain(self, question: Question) -> Told:
        """Why a call gets its decision, by the active set."""
        return await self._revisions.at_work.explain(question)

    async def explain_recorded(self, row: Kept, facts: Facts) -> Told:
        """The same of a recorded call."""
        return await self._revisions.at_work.explain_recorded(row, facts)

    # --- as the API asks ----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """`{revision, activated_at, commit, refused, restart}`."""
        return {
            "revision": self.revision,
            "activated_at": when(self._revisions.activated_us),
            "commit": self._revisions.commit,
            "refused": [_refused(each) for each in (self._revisions.pending,) if each is not None],
            "restart": self._restart(),
        }

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        """Whether something may let this principal's own calls to this server through."""
        return self._revisions.at_work.opens(principal, server, now)

    def principals(self) -> frozenset[str]:
        """Those that principals.yaml names."""
        return principals_of(self.current.directory)

    async def reload(self) -> dict[str, Any]:
        """Read the source again, and wait until that is active or refused."""
        await self._revisions.reload()
        status = self.status()
        if status["restart"]:
            # A reload reads policies; whoever changed the other file too believes that it was read.
            structlog.get_logger().warning("the configuration has changed since the start, and is read by a restart")
        return status

    def part(self) -> Part:
        """How policy is, for `/readyz`: a refused revision is told, but the last good one serves."""
        pending = self._revisions.pending
        detail = {"revision": self.revision, "commit": self._revisions.commit}
        return Part("policy", True, {**detail, "refused": pending.revision if pending else None})


def _refused(refused: Refused) -> Mapping[str, Any]:
    return {"revision": refused.revision, "diagnostics": [as_json(each) for each in refused.diagnostics]}
