"""`policylayer check`: reads policy folders, and says everything that is wrong with them.

Where the tools of servers are recorded, rules are held against them. Loads neither the database, the protocol's
libraries nor the command line's (but for asking servers, `--live`): it is run on every save.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from policylayer.cli import reports, tool_files
from policylayer.cli.exits import FAILED, NOT_LOADED, OK, UsageError
from policylayer.cli.folders import Checked, checked, config_of, folder_options, folders_of
from policylayer.cli.output import emit, note, say, write
from policylayer.cli.plain import Parser
from policylayer.cli.reports import Report
from policylayer.policy.diagnostics import Diagnostic, as_json, ordered, render
from policylayer.policy.known import Known


def run(arguments: list[str]) -> int:
    """Check; returns the exit code."""
    given = _parser().parse_args(arguments)
    sources, known = folders_of(given.folders, given.config)
    found = _listed(given, sources)
    made = [_check(source, known, tools) for source, tools in found]
    listed = list({id(tools): tools for _, tools in found}.values())
    for tools in listed:
        tool_files.say_unconfigured(tools, known.servers)
    told = [*(_of_tools(tools) for tools in listed if tools.findings), *made]
    _tell(reports.form_of(given), told)
    failures = [failure for tools in listed for failure in tools.failures]
    for failure in failures:
        note(f"policylayer: {failure.message}\n  help: {failure.help}")
    return _exit(told, bool(failures), given.strict)


def _parser() -> Parser:
    parser = Parser("check", "Read policies, and say everything that is wrong with them.")
    folder_options(parser)
    reports.options(parser, "a line for each finding")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where there are warnings, too")
    tools = parser.add_argument_group("what servers list", "By default tools/*.tools.json, beside the configuration.")
    tools.add_argument("--tools", metavar="PATH", type=Path, action="append", help="a file of tools, or a folder")
    tools.add_argument("--no-tools", action="store_true", help="do not look at tools")
    tools.add_argument("--live", action="store_true", help="ask the configured servers for their tools")
    tools.add_argument("--record", action="store_true", help="the same, and write what they list to be kept")
    return parser


# --- tools ------------------------------------------------------------------------------------------------------------


def _listed(given: Namespace, sources: Sequence[str]) -> list[tuple[str, tool_files.Listed]]:
    """Each source with the tools that its rules are held against."""
    if given.no_tools:
        if given.tools or given.live or given.record:
            raise UsageError("--no-tools goes with no other option about tools", "leave one of them out")
        return [(source, tool_files.Listed()) for source in sources]
    if given.live or given.record:
        asked = _asked(given)
        return [(source, asked) for source in sources]
    if given.tools:
        one = tool_files.recorded(given.tools)
        return [(source, one) for source in sources]
    config = None if given.folders and given.config is None else config_of(given.config)
    places = {source: tool_files.beside(config, source) for source in sources}
    read = {place: tool_files.recorded_in(place) for place in set(places.values()) if place is not None}
    return [(source, read[place] if place in read else tool_files.Listed()) for source, place in places.items()]


def _asked(given: Namespace) -> tool_files.Listed:
    """What the servers list now; with --record it is written."""
    from policylayer.config import load

    path = config_of(given.config)
    if path is None:
        raise UsageError("which servers?", "give -c FILE, the proxy's configuration (or be in its folder)")
    if given.tools and given.record:
        raise UsageError("--record writes beside the configuration", "leave --tools out")
    folder = tool_files.beside(path, "")
    assert folder is not None
    config = load(path)
    known = tool_files.recorded(given.tools) if given.tools else tool_files.recorded_in(folder)
    found = tool_files.asked(config, known, folder)
    if given.record:
        written = tool_files.record(folder, found)
        note("\n".join(f"recorded: {each}" for each in written) or "recorded: nothing has changed")
    else:
        tool_files.say_changes(found)
    return found


def _of_tools(found: tool_files.Listed) -> Report:
    """What is wrong with the lists themselves."""
    findings = ordered(found.findings)
    errors, warnings = _counts(findings)
    counted = _count(errors, "error") if errors else _count(warnings, "warning")
    return Report("tools", found.texts, findings, summary=f"tools: {counted}", loaded=not errors)


# --- policies ---------------------------------------------------------------------------------------------------------


def _check(source: str, known: Known, tools: tool_files.Listed) -> Report:
    found = checked(source, replace(known, tools=tools.schemas))
    prefix = reports.prefix_of(source)
    return Report(
        source,
        {prefix + file: text for file, text in found.files.items()},
        tuple(reports.below(prefix, each) for each in found.diagnostics),
        summary=_summary(source, found, tools, known),
        loaded=found.loaded.policy_set is not None,
    )


def _summary(source: str, found: Checked, tools: tool_files.Listed, known: Known) -> str:
    loaded = found.loaded
    errors, warnings = _counts(found.diagnostics)
    listed = [each.schemas for server, each in tools.lists.items() if known.servers is None or server in known.servers]
    parts = [
        _count(len(loaded.policies), "policy", "policies"),
        _count(sum(len(policy.rules) for policy in loaded.policies), "rule"),
        *([_count(len(loaded.rego), "file of Rego", "files of Rego")] if loaded.rego else []),
        _count(len(loaded.tests), "test"),
        *([_count(sum(map(len, listed)), "tool")] if listed else []),
        *([_count(warnings, "warning")] if warnings else []),
    ]
    return f"{source}: {_count(errors, 'error') if errors else 'ok'} ({', '.join(parts)})"


def _counts(findings: Sequence[Diagnostic]) -> tuple[int, int]:
    errors = sum(each.is_error for each in findings)
    return errors, len(findings) - errors


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


# --- telling ----------------------------------------------------------------------------------------------------------


def _tell(form: str, told: Sequence[Report]) -> None:
    if form in reports.DOCUMENTS:
        write(reports.render(form, "check", told))
        return
    for report in told:
        if form == "json":
            for each in report.findings:
                emit(as_json(each))
            continue
        if report.findings:
            note(render(report.findings, report.texts))
        say(report.summary)


def _exit(told: Sequence[Report], failed: bool, strict: bool) -> int:
    if not all(report.loaded for report in told):
        return NOT_LOADED
    return FAILED if failed or (strict and any(report.findings for report in told)) else OK
