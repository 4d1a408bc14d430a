"""`policylayer replay`: what other policies would have made of the calls that were recorded.

Changes nothing anywhere. Must not know where rows come from (`replay_rows.py`), nor how they are asked
(`revisions/replaying.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from policylayer.cli.exits import FAILED, OK, UsageError
from policylayer.cli.folders import CONFIG, Checked, loaded_from
from policylayer.cli.output import emit, say
from policylayer.cli.plain import Parser

if TYPE_CHECKING:
    from policylayer.config import Config
    from policylayer.policy.recorded import Kept

SINCE: Final = "7d"
OUTPUTS: Final = ("human", "json", "markdown")
STEP: Final = 20_000
"""Rows between words on how far it is."""


def run(arguments: list[str]) -> int:
    """Replay; returns the exit code."""
    from policylayer.policy.replay_shown import lines, markdown

    given = _parser().parse_args(arguments)
    _check(given)
    report = asyncio.run(_replay(given))
    output = "json" if given.json else given.output or "human"
    if output == "json":
        emit(report)
    else:
        for line in (markdown if output == "markdown" else lines)(report):
            say(line)
    return FAILED if report["failed"] else OK


def _parser() -> Parser:
    parser = Parser("replay", "What other policies would have made of the calls that were recorded. Changes nothing.")
    parser.add_argument("--policies", metavar="DIR", help="a folder, or git:REPO@REF; default: the configured")
    parser.add_argument(
        "--base", metavar="DIR", help="compare with what these policies say, not with what was recorded"
    )
    parser.add_argument("--since", metavar="7d", help=f"a duration, an instant; default: {SINCE}, of a file all of it")
    parser.add_argument("--until", metavar="1h", help="before then")
    parser.add_argument("--principal", metavar="P", help="who called")
    parser.add_argument("--server", metavar="S")
    parser.add_argument("--limit", metavar="N", type=int, help="no more than so many, the newest")
    parser.add_argument(
        "--fail-on",
        metavar="X-to-Y",
        action="append",
        default=[],
        help="exit code 1 where this happens: deny-to-allow, any-to-allow, any, undecidable; may be repeated",
    )
    parser.add_argument("--output", choices=OUTPUTS, help="markdown: for a pull request's summary")
    parser.add_argument("--json", action="store_true", help="one JSON object: --output json")
    parser.add_argument("-c", "--config", metavar="FILE", type=Path, help="the proxy's configuration, on its machine")
    parser.add_argument("--url", help="the proxy, through its API")
    parser.add_argument("--token", help="a person's token; or POLICYLAYER_TOKEN")
    parser.add_argument("--log", metavar="FILE", type=Path, help="decisions that `audit export` wrote")
    return parser


def _check(given: argparse.Namespace) -> None:
    from policylayer.policy.tally import is_wish

    for wish in given.fail_on:
        if not is_wish(wish):
            help = (
                "write `deny-to-allow`, `any-to-allow`, `any` or `undecidable`; effects: allow, deny, require_approval"
            )
            raise UsageError(f"--fail-on cannot be `{wish}`", help)
    if given.json and given.output not in (None, "json"):
        raise UsageError(f"--json and --output {given.output} are two formats", "leave one of them out")
    if given.limit is not None and given.limit < 1:
        raise UsageError("--limit is not a number of rows", "give 1 or more, or leave it out")
    if given.log is not None and given.url is not None:
        raise UsageError("--log and --url are two sources", "give one")


async def _replay(given: argparse.Namespace) -> dict[str, Any]:
    from policylayer.config import load as load_config
    from policylayer.config.facts import facts_of
    from policylayer.policy.known import Known
    from policylayer.policy.replay_shown import About, as_json
    from policylayer.policy.tally import Tally
    from policylayer.revisions.replaying import Replaying, take

    # Of rows in a file, the configuration here is asked only for its policies.
    wanted = given.policies is None or given.log is None
    here = given.config is None and given.url is None and wanted and CONFIG.exists()
    path = CONFIG if here else given.config
    config = None if path is None else load_config(path)
    if given.policies is None and config is None:
        raise UsageError("which policies?", "give --policies DIR, or -c FILE (or be in the proxy's folder)")
    facts = {} if config is None else facts_of(config)
    known = Known(servers=frozenset(facts) if config is not None else None)
    elsewhere = config is not None and config.opa is not None
    rows = _rows(given, config)
    source = given.policies or str(config.policies if config else "")
    # In a thread: Rego is checked in an event loop of its own.
    head = await asyncio.to_thread(loaded_from, source, known)
    base = None if given.base is None else await asyncio.to_thread(loaded_from, given.base, known)
    tally = Tally()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rows.aclose)
        opened = []
        for each in (head,) if base is None else (head, base):
            asked = await Replaying.open(each.loaded, each.files, elsewhere)
            stack.push_async_callback(asked.close)
            opened.append(asked)
        async for page in rows:
            await take(tally, page, facts.get, *opened)
            _progress(tally.rows)
    other = None if base is None else base.loaded.revision
    about = About(head.loaded.revision, other, *_span(given), limits=_limits(head))
    return as_json(tally, about, tally.fails(given.fail_on))


def _rows(given: argparse.Namespace, config: Config | None) -> AsyncGenerator[list[Kept]]:
    """The source that the options name."""
    from policylayer.cli import replay_rows
    from policylayer.cli.replay_rows import Wanted

    since, until = _span(given)
    wanted = Wanted(since, until, given.principal, given.server, given.limit)
    if given.log is not None:
        return replay_rows.of_file(given.log, wanted)
    url = given.url or (None if config is not None else os.environ.get("POLICYLAYER_URL"))
    if url:
        token = given.token or os.environ.get("POLICYLAYER_TOKEN")
        if not token:
            raise UsageError("the API needs a person's token", "give --token, or set POLICYLAYER_TOKEN")
        return replay_rows.of_api(url, token, wanted)
    if config is None:
        help = "give -c FILE on the proxy's machine, --url URL and --token TOKEN, or --log FILE of `audit export`"
        raise UsageError("where are the recorded decisions?", help)
    return replay_rows.of_database(config.database, wanted)


def _span(given: argparse.Namespace) -> tuple[str | None, str | None]:
    from policylayer.cli.times import since

    begin = given.since or (None if given.log is not None else SINCE)
    return begin and since(begin), given.until and since(given.until)


def _limits(found: Checked) -> bool:
    return any(rule.limits for policy in found.loaded.policies for rule in policy.rules)


def _progress(rows: int) -> None:
    """A word for whoever waits at a terminal."""
    if sys.stderr.isatty() and rows % STEP < 2_000 and rows >= STEP:
        sys.stderr.write(f"{rows:,} rows…\r")
