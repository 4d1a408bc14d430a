"""`/decisions` and `/events`: the decision log. Must not know how it is kept or filtered (`audit/queries.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from policylayer.api.problem import NEWEST, Problem
from policylayer.api.reading import row_id
from policylayer.api.route import Asked
from policylayer.audit import queries

PAGE: Final = 100
BOTH: Final = "`after` and `cursor` are two orders: give one"
TEXTS: Final = ("principal", "server", "method", "target", "effect", "enforced", "reason_code", "rule", "q")


async def listing(asked: Asked) -> Any:
    """`GET /decisions`: newest first; with `after`, in order from behind that id."""
    query = asked.query
    filters = filters_of(query)
    limit, after = query.get("limit", PAGE), query.get("after")
    if after is not None:
        if "cursor" in query:
            raise Problem("bad_parameter", BOTH)
        work = partial(queries.oldest_first, filters=filters, limit=limit, after=row_id(after))
    else:
        work = partial(queries.decisions, filters=filters, limit=limit, cursor=row_id(query.get("cursor")))
    page = await asked.services.browse(work)
    return {"items": page.items, "next": page.next}


async def one(asked: Asked) -> Any:
    """`GET /decisions/{id}`."""
    found = await asked.services.store.read(partial(queries.decision, row_id=asked.path["id"]))
    if found is None:
        raise Problem("not_found", "there is no such decision", extra={"help": NEWEST})
    return found


async def events(asked: Asked) -> Any:
    """`GET /events`: newest first; with `after`, in order from behind that id."""
    query = asked.query
    if "after" in query and "cursor" in query:
        raise Problem("bad_parameter", BOTH)
    work = partial(
        queries.events,
        type=query.get("type"),
        limit=query.get("limit", PAGE),
        cursor=row_id(query.get("cursor")),
        since=_instant(query, "since"),
        until=_instant(query, "until"),
        after=row_id(query.get("after")),
    )
    page = await asked.services.browse(work)
    return {"items": page.items, "next": page.next}


def filters_of(query: Mapping[str, Any]) -> queries.Filters:
    """The filters that query parameters name."""
    texts = {name: query[name] for name in TEXTS if name in query}
    return queries.Filters(**texts, since=_instant(query, "since"), until=_instant(query, "until"))


def _instant(query: Mapping[str, Any], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return int(at.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise Problem("bad_parameter", f"`{name}` must be an instant like `2027-01-31T12:00:00Z`") from None
