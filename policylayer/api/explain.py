"""`/explain` and `/decisions/{id}/explain`: why a call gets its decision, and what would change it.

Must not know how that is found (`policy/explain.py`, `revisions/explaining.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from policylayer.api.problem import NEWEST, Problem
from policylayer.api.route import Asked
from policylayer.audit import queries
from policylayer.policy.asked import BadRequest, question_of
from policylayer.policy.explain_shown import as_json
from policylayer.policy.recorded import kept, said_of


async def of_request(asked: Asked) -> Any:
    """`POST /explain`: a call that nobody has made."""
    services, body = asked.services, asked.body
    try:
        question = question_of(body, services.facts.known.get(body["server"]), services.clock.now())
    except BadRequest as wrong:
        raise Problem("bad_body", str(wrong)) from None
    return as_json(await services.policies.explain(question))


async def of_decision(asked: Asked) -> Any:
    """`GET /decisions/{id}/explain`: a recorded one, by the policies as they are now."""
    services = asked.services
    row = await services.store.read(partial(queries.decision, row_id=asked.path["id"]))
    if row is None:
        raise Problem("not_found", "there is no such decision", extra={"help": NEWEST})
    whole = kept(row)
    effect, why = said_of(whole)
    if effect is None:
        raise Problem("not_decided", f"policy was not asked about this call: {why}")
    told = await services.policies.explain_recorded(whole, services.facts.known.get)
    return {**as_json(told), "recorded": {name: row[name] for name in RECORDED}}


RECORDED = ("id", "time", "effect", "enforced", "reason_code", "reason", "rules", "revision")
"""What is repeated of the row."""
