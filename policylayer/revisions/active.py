"""The active policies as one object: the set that was compiled from files, and Rego's engines beside it.

Whoever decides holds on to one `Active` for the decision, so that all of it is by one revision; when it is replaced,
its engine ends after the last such decision, and denies what is asked after that. Must not know how revisions come
about (`keeper`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from policylayer.core.call import Question
from policylayer.core.decision import Decision, Effect
from policylayer.core.finding import Finding
from policylayer.policy.ast import Path
from policylayer.policy.explain import KNOWN
from policylayer.policy.explain_shown import Told
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Facts, Kept, recorded
from policylayer.policy.values import Unknown
from policylayer.rego.asking import with_findings
from policylayer.rego.document import Describe
from policylayer.rego.embedded import Embedded
from policylayer.revisions.explaining import Engines, explained
from policylayer.tasks import spawn

_T = TypeVar("_T")


class Elsewhere(Protocol):
    """An engine in another program: an OPA server, or one revision on it."""

    async def findings(self, question: Question, describe: Describe) -> tuple[Finding, ...]: ...

    async def listed_one(self, question: Question, describe: Describe) -> tuple[Finding, ...]: ...


class Server(Elsewhere, Protocol):
    """An OPA server. What `push` gives back answers for that revision only; a text says why it does not hold it."""

    @property
    def pushes(self) -> bool: ...

    async def push(self, files: Mapping[str, bytes], revision: str) -> Elsewhere | str: ...


class Active:
    """One revision at work."""

    def __init__(self, policy_set: PolicySet, rego: Embedded | None = None, server: Elsewhere | None = None) -> None:
        self.policy_set = policy_set
        self._rego = rego
        self._server = server
        self._asking = 0
        self._retired = False
        self._ended = False

    async def decide(self, question: Question) -> Decision:
        """What the policies say of a call."""
        if self._rego is None and self._server is None:
            return self.policy_set.decide(question)
        return await self._held(self._decided, question)

    def reads(self, server: str, method: str, target: str | None) -> frozenset[Path]:
        """The paths under `args` and `input` that rules look at for some caller of this target, in files of any kind.

        What an OPA server reads is not known, and nothing is kept for its sake: it is not asked about the past.
        """
        found = self.policy_set.reads(server, method, target)
        return found if self._rego is None else found | self._rego.argument_paths(server)

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        """Whether something may let this principal's own calls to this server through. Another engine always may."""
        return self._rego is not None or self._server is not None or self.policy_set.opens(principal, server, now)

    async def listed(self, question: Question) -> bool:
        """Whether a list may show a target."""
        if self._rego is None and self._server is None:
            return self.policy_set.listed(question)
        return self.policy_set.listed(replace(question, findings=await self._held(self._listed, question)))

    async def explain(self, question: Question, unknown: Unknown = KNOWN) -> Told:
        """Why a call gets its decision, and what would change it; `unknown` is what is not known of it any more."""
        if self._rego is None and self._server is None:
            return await explained(self.policy_set, question, unknown=unknown)
        return await self._held(lambda asked: self._explained(asked, unknown), question)

    async def explain_recorded(self, row: Kept, facts: Facts) -> Told:
        """The same of a row of the decision log, of which not all may be known any more."""
        found = recorded(row, facts, self.reads)
        return await self.explain(found.question, found.unknown)

    def retire(self) -> None:
        """Another revision took over: end the engine once nobody asks it any more."""
        self._retired = True
        self._end_if_idle()

    async def _decided(self, question: Question) -> Decision:
        asked = await with_findings(question, self._findings)
        decision = self.policy_set.decide(asked)
        if _may_hang_on_arguments(decision, asked) and await self._hangs_on_arguments(question):
            return replace(decision, retry="changed")
        return decision

    async def _hangs_on_arguments(self, question: Question) -> bool:
        """Whether a call that an engine denies might pass with others: it is not denied without any."""
        found = await self._listed(question)
        known = all(finding.effect is not None for finding in found)
        return known and self.policy_set.listed(replace(question, findings=found))

    async def _findings(self, question: Question) -> tuple[Finding, ...]:
        describe = self.policy_set.describe
        ours = await self._rego.findings(question, describe) if self._rego else ()
        theirs = await self._server.findings(question, describe) if self._server else ()
        return (*ours, *theirs)

    async def _listed(self, question: Question) -> tuple[Finding, ...]:
        describe = self.policy_set.describe
        ours = (await self._rego.listed([question], describe))[0] if self._rego else ()
        theirs = await self._server.listed_one(question, describe) if self._server else ()
        return (*ours, *theirs)

    async def _explained(self, question: Question, unknown: Unknown) -> Told:
        engines = Engines(self._findings, self._rego, self._server is not None)
        return await explained(self.policy_set, question, engines, unknown)

    async def _held(self, ask: Callable[[Question], Awaitable[_T]], question: Question) -> _T:
        self._asking += 1
        try:
            return await ask(question)
        finally:
            self._asking -= 1
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        """End the engine, which stays where it is: whoever asks yet is denied by it, never decided for without it."""
        if self._retired and self._asking == 0 and self._rego is not None and not self._ended:
            self._ended = True
            spawn(self._rego.close(), "end of a Rego engine")

    async def close(self) -> None:
        """End the engine now."""
        if self._rego is not None:
            await self._rego.close()


def _may_hang_on_arguments(decision: Decision, question: Question) -> bool:
    """Whether engines alone denied the call itself, and there are arguments; they do not say what their rules read."""
    denying = {finding.rule for finding in question.findings or () if finding.effect is Effect.DENY}
    alone = bool(denying) and denying.issuperset(decision.rules)
    return alone and decision.retry == "never" and bool(question.call.arguments)
