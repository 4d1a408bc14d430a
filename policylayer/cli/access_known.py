"""What `access` knows beside the policies: servers of the configuration, tools that servers list, names that
the log has seen.

The log is looked into only where a configuration is meant; nothing of a database is imported before that. Must not know
what is asked about these names.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from policylayer.cli import tool_files
from policylayer.cli.exits import CommandError, UsageError
from policylayer.cli.folders import Place, config_of
from policylayer.cli.times import since as ago
from policylayer.cli.tool_files import Listed
from policylayer.clock import Clock
from policylayer.config import Config
from policylayer.policy.access import World
from policylayer.policy.access_names import Known
from policylayer.policy.directory import as_group
from policylayer.policy.times import YEARS, in_years

if TYPE_CHECKING:
    from policylayer.core.call import Json
    from policylayer.policy.tool_lists import ToolList

MOST: Final = 100_000
"""Of what the log has seen, that is asked about."""

Seen = tuple[str, str, str | None, str]
"""Principal, server, for whom, tool."""


def beside(given: argparse.Namespace, place: Place) -> tuple[World, Known]:
    """The world that policies are asked in, and the names that are known."""
    lists = _recorded(given, place).lists
    seen = () if place.config is None else asyncio.run(_seen(place.config, given.since))
    tools = ((server, name, tool) for server, found in lists.items() for name, tool in found.tools.items())
    hints = {(server, name): _annotations(tool) for server, name, tool in tools}
    world = World(
        now=Clock().now(),
        at=None if given.at is None else _moment(given.at),
        facts=place.facts,
        hints=hints,
        groups=frozenset(map(as_group, given.group)),
        elsewhere=place.config is not None and place.config.opa is not None,
    )
    return world, _known(place, lists, seen)


def _recorded(given: argparse.Namespace, place: Place) -> Listed:
    """The tools that servers list, as `check` reads them."""
    if given.no_tools:
        if given.tools:
            raise UsageError("--no-tools goes with no --tools", "leave one of them out")
        return Listed()
    if given.tools:
        found = tool_files.recorded(given.tools)
    else:
        config = config_of(given.config) if given.policies is None else given.config
        folder = tool_files.beside(config, place.source)
        found = Listed() if folder is None else tool_files.recorded_in(folder)
    for each in found.findings:
        if each.is_error:
            raise CommandError(f"{each.file}:{each.line}:{each.column}: {each.message}", each.help)
    return found


def _annotations(tool: Mapping[str, Json]) -> Mapping[str, Json]:
    said = tool.get("annotations")
    return said if isinstance(said, dict) else {}


def _known(place: Place, lists: Mapping[str, ToolList], seen: Iterable[Seen]) -> Known:
    tools: dict[str, set[str]] = {server: set(found.tools) for server, found in lists.items()}
    principals, users = set(), set()
    for principal, server, user, tool in seen:
        principals.add(principal)
        users |= {user} if user is not None else set()
        tools.setdefault(server, set()).add(tool)
    return Known(
        frozenset(principals),
        frozenset(users),
        frozenset(place.facts),
        {server: frozenset(names) for server, names in tools.items()},
        frozenset(lists),
    )


async def _seen(config: Config, since: str) -> list[Seen]:
    """Who called which tool of late; nothing where there is no database yet."""
    from policylayer.audit.pages import seen
    from policylayer.audit.queries import Filters
    from policylayer.policy.selectors import TOOLS
    from policylayer.store.viewing import is_there, open_view

    if not is_there(config.database):
        return []
    begin = int(datetime.fromisoformat(ago(since)).timestamp() * 1_000_000)
    view = await open_view(config.database)
    try:
        return await view.read(partial(seen, filters=Filters(method=TOOLS, since=begin), most=MOST))
    finally:
        await view.close()


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("`--at` is not a moment", "write it like `2027-01-31T12:00:00Z`") from None
    if at.tzinfo is None:
        raise UsageError("`--at` needs its offset from UTC", "write it like `2027-01-31T12:00:00Z`")
    if not in_years(at):
        raise UsageError(f"`--at` is not in {YEARS}", "write it like `2027-01-31T12:00:00Z`")
    return at
