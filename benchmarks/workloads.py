"""Other things than a 1 KB call: what each costs the proxy, beside nginx with the same bytes.

A section of `make bench-full` (`full.py`): CPU of the process tree for one request, the middle of alternating rounds.
A poll is one request of a call that is held and that nobody has decided on yet: it waits a second, and is answered with
"pending"; nginx has none. Must not know how anything is shown.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.fleet import no_nginx
from benchmarks.handshake import open_sessions
from benchmarks.ours import ours
from benchmarks.run import FREE_SESSION, OLDER_AT, Cell, Load, add
from benchmarks.targets import SERVER_CORE, Target, announcing, nginx
from benchmarks.wire import HANDSHAKE

CALLERS = 16
OLDER: dict[str, Any] = {"era": HANDSHAKE}
POLLS: dict[str, Any] = {"tool": "held", "expects": '"reason_code":"pending"'}
WORKLOADS: dict[str, dict[str, Any]] = {
    "a call of 1 KB, 2026-07-28": {},
    "a call of 1 KB, 2025-11-25": OLDER,
    "an answer of 100 KB": {"tool": "large"},
    "arguments of 100 KB": {"padding": 100_000},
    "an SSE answer of 20 events": {"tool": "events"},
    "tools/list of 200, about half filtered": {"method": "tools/list", "expects": '"tool_1"'},
    "a poll of a held call, 2026-07-28": POLLS,
    "a poll of a held call, 2025-11-25": {**OLDER, **POLLS},
}
POLLING = {"callers": 256, "seconds": 4.0}
"""A poll waits a second: many wait at once, and some are awaited."""
HOLDS = 'policy: held\napplies_to: {principals: ["*"], servers: ["*"]}\nrules:\n'
HOLDS += "  - {id: held, tools: [held], effect: require_approval, reason: A person looks.}\n"


def _held(folder: Path) -> None:
    (folder / "policies" / "held.yaml").write_text(HOLDS)


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """The section's results: by workload, CPU of nginx (None where there is none) and ours, and calls/s of ours."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
        more = "approvals: {hold: 1s, hold_modern: 1s}\n"
        proxy = stack.enter_context(ours("100 rules, SQLite", folder / "ours", upstream, more=more, prepare=_held))
        proxy.sessions = open_sessions(proxy, OLDER_AT)
        relay = None if no_nginx() else stack.enter_context(nginx(upstream, folder / "nginx"))
        load = Load(stack)
        for name, job in WORKLOADS.items():
            polls = job.get("tool") == "held"
            targets = [proxy] if polls or relay is None else [relay, proxy]
            cells = _rounds(load, targets, job, 1 if polls else rounds, seconds, polls)
            found[name] = {target.name: cells[target.name].told() for target in targets}
    return found


def _rounds(
    load: Load, targets: list[Target], job: dict[str, Any], rounds: int, seconds: float, polls: bool
) -> dict[str, Cell]:
    cells = {target.name: Cell() for target in targets}
    callers, seconds = (POLLING["callers"], max(POLLING["seconds"], seconds)) if polls else (CALLERS, seconds)
    for number in range(rounds):
        for target in targets if number % 2 == 0 else targets[::-1]:
            asked = {**job}
            if job.get("era") == HANDSHAKE:
                asked["sessions"] = target.sessions or [FREE_SESSION]
            if job.get("method") == "tools/list" and target.token:
                asked["refuses"] = '"admin_'
            load.measure(target, CALLERS, min(seconds, 0.3), **asked)
            add(cells[target.name], load, target, int(callers), seconds, **asked)
    return cells


def table(found: dict[str, Any]) -> list[str]:
    """As Markdown."""
    lines = ["| | nginx, CPU us | 100 rules, SQLite: CPU us | calls/s | errors |", "|---|---:|---:|---:|---:|"]
    for name, row in found.items():
        relay, mine = row.get("nginx"), row["100 rules, SQLite"]
        cells = ["" if relay is None else f"{relay['cpu']:.0f}", f"{mine['cpu']:.0f}", f"{mine['rates']:,.0f}"]
        lines.append(
            f"| {name} | " + " | ".join([*cells, str(mine["errors"] + (relay or mine)["errors"] * bool(relay))]) + " |"
        )
    return lines
