"""Where the rows of a replay come from: the proxy's database, its API, or a file that `audit export` wrote.

Each gives pages of rows, the newest first where there is an order to choose. Must not know what becomes of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from policylayer.cli.exits import CommandError
from policylayer.core.immutable import immutable
from policylayer.policy.recorded import Kept, kept

OF_API: Final = 500
OF_FILE: Final = 1_000


@immutable
class Wanted:
    """Which rows: instants as RFC 3339; `most`: no more than so many."""

    since: str | None = None
    until: str | None = None
    principal: str | None = None
    server: str | None = None
    most: int | None = None


async def of_database(url: str, wanted: Wanted) -> AsyncGenerator[list[Kept]]:
    """Straight from the database, which is only read."""
    from policylayer.audit.pages import PAGE, newest
    from policylayer.audit.queries import Filters
    from policylayer.store.viewing import open_view

    filters = Filters(
        principal=wanted.principal, server=wanted.server, since=_us(wanted.since), until=_us(wanted.until)
    )
    view = await open_view(url)
    try:
        before, left = None, wanted.most
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = await view.read(partial(newest, filters=filters, before=before, size=size))
            if page:
                yield page
            if len(page) < size:
                return
            before, left = page[-1].id, None if left is None else left - len(page)
    finally:
        await view.close()


async def of_api(url: str, token: str, wanted: Wanted) -> AsyncGenerator[list[Kept]]:
    """Through the API, as it shows them."""
    from policylayer.cli.remote import Remote

    said = {"since": wanted.since, "until": wanted.until, "principal": wanted.principal, "server": wanted.server}
    query = {name: value for name, value in said.items() if value is not None}
    with ExitStack() as stack:
        proxy = stack.enter_context(Remote(url, token))
        left, cursor = wanted.most, None
        while left is None or left > 0:
            size = OF_API if left is None else min(OF_API, left)
            asked = {**query, "limit": str(size), **({"cursor": cursor} if cursor else {})}
            answer = await asyncio.to_thread(proxy.ask, "GET", "/decisions", asked)
            page = list(map(kept, answer["items"]))
            if page:
                yield page
            cursor = answer["next"]
            if cursor is None:
                return
            left = None if left is None else left - len(page)


async def of_file(path: Path, wanted: Wanted) -> AsyncGenerator[list[Kept]]:
    """Of a file of `audit export` (one decision a line), in its order."""
    since, until = _us(wanted.since), _us(wanted.until)

    def fits(row: Kept) -> bool:
        return (
            (since is None or row.time_us >= since)
            and (until is None or row.time_us < until)
            and wanted.principal in (None, row.principal)
            and wanted.server in (None, row.server)
        )

    rows = islice(filter(fits, _lines(path)), wanted.most)
    while page := list(islice(rows, OF_FILE)):
        yield page


def _lines(path: Path) -> Iterator[Kept]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _line(line, f"{path}:{number}")
    except OSError as error:
        raise CommandError(f"cannot read `{path}`: {(error.strerror or 'failed').lower()}") from None


def _line(line: bytes, where: str) -> Kept:
    try:
        shown: Any = orjson.loads(line)
        return kept(shown)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        help = "write the file with `policylayer audit export --format jsonl`"
        raise CommandError(f"{where}: this is not a decision of the log", help) from None


def _us(instant: str | None) -> int | None:
    return None if instant is None else int(datetime.fromisoformat(instant).timestamp() * 1_000_000)
