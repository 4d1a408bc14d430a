"""`policylayer audit verify`, `prune` and `mark`: on the proxy's machine only, because they need the key.

Must not know how a chain is walked (`audit/verify.py`) nor cut (`audit/prune.py`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from getpass import getpass
from itertools import chain
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer

from policylayer.audit import sinks
from policylayer.audit.checkpoints import Checkpoints
from policylayer.audit.marks import marks
from policylayer.audit.prune import prune
from policylayer.audit.verify import Problem, Report, verify
from policylayer.backstage import Backstage
from policylayer.cli.exits import FAILED, OK, CommandError, UsageError
from policylayer.cli.local_policies import LocalPolicies
from policylayer.cli.options import JsonOption
from policylayer.cli.output import emit, note, say
from policylayer.cli.reach import user
from policylayer.cli.times import since
from policylayer.clock import Clock
from policylayer.config import load
from policylayer.core.call import Json
from policylayer.core.errors import AuditUnavailable
from policylayer.keys import Keys
from policylayer.store.roles import may_create

T = TypeVar("T")

HereOption = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The proxy's configuration.")]
DEFAULT = Path("policylayer.yaml")


def verify_command(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option("--checkpoints", metavar="FILE", help="Checkpoints that were kept elsewhere; may be repeated."),
    ] = None,
    json: JsonOption = False,
    config: HereOption = DEFAULT,
) -> int:
    """Walk the whole log, and name what was changed. Without checkpoints kept elsewhere, rows cut off its very end and
    a rewriting by someone who has the key are not seen."""
    outside = chain.from_iterable(_lines(path) for path in checkpoints or ())
    report = _with(config, "audit verify", lambda back: verify(back.store, back.keys, outside))
    _tell(report, json)
    return OK if report.good else FAILED


def prune_command(
    before: Annotated[str, typer.Option("--before", metavar="365d", help="A duration ago, or an instant.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    config: HereOption = DEFAULT,
) -> None:
    """Remove old rows for good. Where each chain then begins is a row itself, so that the rest can still be verified.
    On PostgreSQL the configuration's user must own the tables."""
    at = since(before)
    now = Clock().now()
    if datetime.fromisoformat(at) > now:
        raise UsageError(f"--before lies in the future: it is {now.isoformat()} now", "give an earlier instant")
    if not yes:
        _ask(f"Remove all rows before {at}?")
    removed = _with(config, "audit prune", lambda back: _prune(back, at))
    if json:
        emit({"before": at, "removed": removed})
    else:
        say(f"Removed: {removed} rows before {at}.")


def mark_command(
    as_json: Annotated[bool, typer.Option("--as-json", help="The value is JSON: a number, an object, a list.")] = False,
    json: JsonOption = False,
    config: HereOption = DEFAULT,
) -> None:
    """What stands for a masked value in the log, to look for it there (`audit query -q MARK`). The value is read from
    standard input, so that it is in no list of commands. One line for each key, the current one's first."""
    found = load(config, policies=False)
    keys = Keys.load(found.keys.files, found.keys.value, False, found.keys.variable)
    told = _marks(keys, _value(as_json))
    if json:
        emit({"marks": told})
    for each in () if json else told:
        say(each)


def _ask(question: str) -> None:
    """Ask on standard error, since standard output is the command's answer. An end of input is no yes."""
    sys.stderr.write(f"{question} [y/N]: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        note("")
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was removed", "say yes, or give --yes")


def _value(as_json: bool) -> Json:
    text = getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not as_json:
        return text
    try:
        value: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise UsageError("the value is not JSON", "leave out --as-json to take it as a text") from None
    return value


def _marks(keys: Keys, value: Json) -> list[str]:
    try:
        return list(marks(keys, value))
    except (TypeError, ValueError):
        raise UsageError("the value cannot stand in a call", "it holds half a sign, or too large a number") from None


async def _prune(back: Backstage, at: str) -> int:
    if back.store.dialect == "postgresql" and not await back.store.read(may_create):
        help = "use the owner's configuration: `policylayer audit prune -c OWNER.yaml …`"
        raise CommandError("only the tables' owner may remove rows, and `database` names another role", help)
    before_us = int(datetime.fromisoformat(at).timestamp() * 1_000_000)
    total = await prune(back.store, back.keys, back.clock, before_us=before_us, actor=user())
    if total:
        # So that the cut itself is signed, and known elsewhere where checkpoints are.
        file = back.config.audit.checkpoints.file
        await Checkpoints(back.store, back.keys, back.clock, [sinks.to_file(file)] if file else []).take()
    return total


def _with(config: Path, program: str, work: Callable[[Backstage], Awaitable[T]]) -> T:
    """Do it beside the running proxy, as a second writer."""

    async def run() -> T:
        loaded = load(config, policies=False)
        back = Backstage(loaded, program, LocalPolicies(loaded).current, makes=False)
        await back.start()
        try:
            return await work(back)
        except AuditUnavailable as failure:
            raise CommandError(f"the database does not answer: {failure.message}", failure.help) from None
        finally:
            await back.close()

    return asyncio.run(run())


def _lines(path: Path) -> Iterator[bytes]:
    """A line at a time: a year of them is long."""
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.strip())
    except OSError as error:
        raise CommandError(f"cannot read `{path}`: {(error.strerror or 'failed').lower()}") from None


def _tell(report: Report, json: bool) -> None:
    if json:
        emit({"good": report.good, **asdict(report)})
        return
    kinds = ", ".join(_count(number, kind) for kind, number in sorted(report.kinds.items()))
    walked = f"{_count(report.rows, 'row')}{f' ({kinds})' if kinds else ''} in {_count(report.chains, 'chain')}"
    walked += f", {_count(report.checkpoints, 'checkpoint')}"
    if report.good:
        say(f"Nothing is wrong: {walked}.")
        return
    for problem in report.problems:
        say(f"{problem.what}: {problem.message}{_place(problem)}")
    say(f"{_count(report.found, 'problem')}: {walked}.")


def _place(problem: Problem) -> str:
    """Where it is, as far as it is anywhere."""
    known = [f"{name} {value}" for name, value in (("chain", problem.chain), ("row", problem.seq)) if value is not None]
    known += [problem.id] if problem.id else []
    return f" ({', '.join(known)})" if known else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
