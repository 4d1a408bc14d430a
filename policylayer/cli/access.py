"""`policylayer access`: who can reach which tool, by which rule; and what a change of policies opens and closes.

Of policy files alone it starts at once; with `-c` the decision log says which tools and principals there are, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from policylayer.cli import stale
from policylayer.cli.access_known import beside
from policylayer.cli.exits import FAILED, OK, CommandError, UsageError
from policylayer.cli.folders import Checked, loaded_from, place_of
from policylayer.cli.output import emit, note, say
from policylayer.cli.plain import Parser

if TYPE_CHECKING:
    from policylayer.policy.access import Access, Asking, Cell, World
    from policylayer.policy.access_names import Wanted

SEEN: Final = "30d"


def run(arguments: list[str]) -> int:
    """Say who may do what; returns the exit code."""
    from policylayer.policy.access_names import cells, strangers
    from policylayer.policy.diagnostics import did_you_mean, quote

    given = _parser().parse_args(arguments)
    _check(given)
    place = place_of(given.policies, given.config)
    found = loaded_from(place.source, place.known)
    old = None if given.diff is None else loaded_from(_source(given.diff, place.source), place.known)
    stale.warn(place.config)
    world, known = beside(given, place)
    sets = [found.loaded] if old is None else [old.loaded, found.loaded]
    asked = list(cells(sets, known, _wanted(given)))
    for what, name, others in strangers(sets, known, _wanted(given)):
        note(f"policylayer: no {what} {quote(name)} is named by policies, principals.yaml, lists or the log")
        note(f"  help: {did_you_mean(name, others) or 'is it written as calls have it?'}")
    if old is not None:
        return _diff(given, old, found, asked, world)
    from policylayer.policy.access import Asking
    from policylayer.policy.access_shown import as_json, lines

    access = _ask(Asking(found.loaded, world), asked)
    if given.json:
        for each in access:
            emit(as_json(each))
        return OK
    for line in lines(access):
        say(line)
    if not asked:
        note("policylayer: there is nothing to tell: no principal, or no tool, is known by these names")
    return OK


def _parser() -> Parser:
    parser = Parser("access", "Who can reach which tool, by which rule; and what a change opens and closes.")
    parser.add_argument("--policies", metavar="DIR", help="a folder, or git:REPO@REF; default: the configured")
    parser.add_argument(
        "-c", "--config", metavar="FILE", type=Path, help="the proxy's configuration: its servers, and what its log saw"
    )
    for name, about in (
        ("principal", "who calls"),
        ("for", "calls made for this user"),
        ("server", "which server"),
        ("tool", "which tool"),
    ):
        parser.add_argument(f"--{name}", metavar=name[0].upper(), action="append", default=[], dest=name, help=about)
    parser.add_argument("--group", metavar="G", action="append", default=[], help="a group that credentials add")
    parser.add_argument("--at", metavar="TIME", help="at this moment; default: whenever, groups as they are now")
    parser.add_argument(
        "--tools",
        metavar="PATH",
        type=Path,
        action="append",
        help="recorded tools, a file or a folder; default: as check, tools/*.tools.json beside the configuration",
    )
    parser.add_argument("--no-tools", action="store_true", help="do not look at recorded tools")
    parser.add_argument("--since", metavar=SEEN, default=SEEN, help="how far back the log is looked through")
    parser.add_argument("--diff", metavar="REV|DIR", help="what is other than in this revision, or folder")
    parser.add_argument(
        "--fail-on",
        metavar="WHAT",
        action="append",
        default=[],
        help="with --diff, exit code 1 where there is any: added, removed, changed, widened, narrowed, any",
    )
    parser.add_argument("--json", action="store_true", help="a line for each principal and tool; of --diff one object")
    parser.epilog = "Names may hold `*`, and options that name something may be repeated."
    return parser


def _check(given: argparse.Namespace) -> None:
    from policylayer.policy.access_diff import WISHES

    for wish in given.fail_on:
        if wish not in WISHES:
            raise UsageError(f"--fail-on cannot be `{wish}`", f"write one of: {', '.join(WISHES)}")
    if given.fail_on and given.diff is None:
        raise UsageError("--fail-on is about changes", "give --diff REVISION, or --diff DIR")


def _source(text: str, source: str) -> str:
    """`--diff main`: a folder, a source, or a revision of the repository that the policies lie in."""
    if text.startswith("git:") or Path(text).is_dir():
        return text
    if source.startswith("git:"):
        repository, _, ref = source[4:].rpartition("@")
        below = ref.partition(":")[2]
        return f"git:{repository}@{text}{f':{below}' if below else ''}"
    from policylayer.revisions.repository import work_tree

    folder = Path(source).resolve()
    top = work_tree(folder)
    if top is None:
        raise CommandError(f"`{text}` is no folder, and the policies are in no git repository", "name a folder")
    below = folder.relative_to(top).as_posix()
    return f"git:{top}@{text}{f':{below}' if below != '.' else ''}"


def _wanted(given: argparse.Namespace) -> Wanted:
    from policylayer.policy.access_names import Wanted

    return Wanted(tuple(given.principal), tuple(vars(given)["for"]), tuple(given.server), tuple(given.tool))


def _ask(asking: Asking, asked: Sequence[Cell]) -> Iterator[Access]:
    return map(asking.access, asked)


def _diff(given: argparse.Namespace, old: Checked, new: Checked, asked: Sequence[Cell], world: World) -> int:
    from policylayer.policy.access import Asking
    from policylayer.policy.access_diff import differences, fails
    from policylayer.policy.access_shown import difference_json, difference_lines

    before, after = Asking(old.loaded, world), Asking(new.loaded, world)
    found = list(differences(_ask(before, asked), _ask(after, asked)))
    failed = fails(found, given.fail_on)
    if given.json:
        told = [difference_json(each) for each in found]
        by_kind = {kind: [each for each in told if each["kind"] == kind] for kind in ("added", "removed", "changed")}
        emit({"before": old.loaded.revision, "after": new.loaded.revision, **by_kind, "failed": list(failed)})
    else:
        for line in difference_lines(found):
            say(line)
        for wish in failed:
            say(f"Failed: {wish}.")
    return FAILED if failed else OK
