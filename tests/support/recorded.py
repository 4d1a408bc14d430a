"""Calls decided by a folder's policies and recorded in its database, as the proxy would, without a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from policylayer.audit.context import CallContext
from policylayer.backstage import Backstage
from policylayer.config import load as load_config
from policylayer.config.facts import facts_of
from policylayer.core.call import Caller, Grant
from policylayer.core.commands import Kind, Record, Recorded
from policylayer.policy.asked import question_of
from policylayer.policy.load import load as load_policies
from policylayer.revisions.active import Active
from policylayer.revisions.opened import opened
from policylayer.revisions.sources import read


def record(home: Path, requests: Iterable[Mapping[str, Any]]) -> list[str]:
    """Decide and record each access request; the ids of the rows."""
    return asyncio.run(_record(home, list(requests)))


async def _record(home: Path, requests: list[Mapping[str, Any]]) -> list[str]:
    config = load_config(home / "policylayer.yaml", {})
    files = read(config.policies).files
    loaded = load_policies(files)
    policy_set = loaded.policy_set
    assert policy_set is not None
    async with opened(loaded, files) as active:
        return await _recorded(home, requests, active)


async def _recorded(home: Path, requests: list[Mapping[str, Any]], active: Active) -> list[str]:
    config, policy_set = load_config(home / "policylayer.yaml", {}), active.policy_set
    backstage = Backstage(config, "tests", lambda: policy_set)
    await backstage.start()
    await backstage.limits.start()
    await backstage.labels.start()
    await backstage.recorder.start()
    try:
        made = []
        for request in requests:
            question = question_of(request, facts_of(config).get(request["server"]), backstage.clock.now())
            call = question.call
            caller = Caller(question.subject, question.on_behalf_of, Grant("g-1", "laptop", frozenset({call.server})))
            reads = active.reads(call.server, call.method, call.target)
            context = CallContext(
                call,
                caller,
                ip=question.ip,
                client=question.client,
                labels=question.labels,
                approved=question.approved,
                reads=reads,
            )
            answer = await backstage.recorder.record(Record(Kind.DECISION, await active.decide(question)), context)
            assert isinstance(answer, Recorded), answer
            made.append(answer.row_id)
        return made
    finally:
        await backstage.recorder.close()
        await backstage.labels.close()
        await backstage.limits.close()
        await backstage.close()
