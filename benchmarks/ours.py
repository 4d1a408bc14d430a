"""The proxy as a target: a real `serve` process with 100 rules, a grant, and a database of the asked kind."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.targets import PYTHON, TARGET_CORE, Target, process

ROOT = Path(__file__).resolve().parents[1]
SERVER = "bench"
PRINCIPAL = "agent:bench"

REGO = """package policylayer

decision contains {"effect": "deny", "rule": "too-much", "reason": "Not more than 100."} if {
    input.target == "echo"
    input.args.amount > 100
}
"""


def policies(folder: Path, rules: int) -> None:
    """A set of `rules` rules in files of 25: most name other tools; the first concerns the benchmark's calls."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "principals.yaml").write_text(
        f"principals:\n  {PRINCIPAL}: {{}}\n  agent:other: {{}}\n"
        f"groups:\n  agents: [{PRINCIPAL}]\n  others: [agent:other]\n"
    )
    lines = ["policy: base", 'applies_to: {principals: ["group:agents"], servers: ["*"]}', "rules:"]
    lines += [
        "  - id: calls",
        '    tools: [echo, events, large, "tool_*"]',
        "    when:",
        "      args.amount: {gt: 0, lte: 100}",
        "      args.currency: {in: [usd, eur]}",
        "      args.customer: {matches: 'c-[0-9]+'}",
        "    effect: allow",
    ]
    lines += [
        "  - id: no-deletes",
        '    tools: ["delete_*"]',
        "    effect: deny",
        "    reason: Nothing is deleted here.",
    ][: 4 * (rules > 1)]
    (folder / "base.yaml").write_text("\n".join(lines) + "\n")
    for number in range(max(rules - 2, 0) // 25 + 1):
        count = min(25, rules - 2 - number * 25)
        if count > 0:
            (folder / f"other_{number}.yaml").write_text(_others(number, count))


def _others(number: int, count: int) -> str:
    lines = [f"policy: other-{number}", 'applies_to: {principals: ["group:agents"], servers: ["*"]}', "rules:"]
    for each in range(count):
        lines += [
            f"  - id: r{each}",
            f"    tools: [other_{number}_{each}, 'area{number}_{each}_*']",
            "    when: {args.amount: {lte: 50}}",
            "    effect: allow",
        ]
    return "\n".join(lines) + "\n"


def write_config(folder: Path, upstream: int, database: str, more: str = "") -> Path:
    """The proxy's configuration in an empty folder."""
    config = folder / "policylayer.yaml"
    config.write_text(
        f"listen: 127.0.0.1:0\ndatabase: {database}\npolicies: ./policies\n"
        f'servers:\n  {SERVER}: {{url: "http://127.0.0.1:{upstream}/mcp"}}\n{more}'
    )
    return config


@contextmanager
def ours(
    name: str,
    folder: Path,
    upstream: int,
    rules: int = 100,
    database: str = "sqlite:///policylayer.db",
    without: str = "",
    rego: bool = False,
    more: str = "",
    prepare: Callable[[Path], object] = lambda folder: None,
    core: int | None = TARGET_CORE,
    grant_name: str = "bench",
) -> Iterator[Target]:
    """A running proxy with a grant.

    `without` names parts to leave out (`partial.py`), `more` is appended to the configuration; `prepare` is called
    with the folder before the proxy starts.
    """
    policies(folder / "policies", rules)
    if not database.startswith("sqlite:") and not (folder / "policylayer.key").exists():
        # A database that several may share has a key that is there before it.
        handle = os.open(folder / "policylayer.key", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, secrets.token_hex(32).encode() + b"\n")
        os.close(handle)
    if rego:
        (folder / "policies" / "bench.rego").write_text(REGO)
    config = write_config(folder, upstream, database, more)
    prepare(folder)
    command = [PYTHON, "-m", "policylayer", "serve", "-c", str(config)]
    if without:
        command = [PYTHON, "-m", "benchmarks.partial", str(config), without]
    log = (folder / "log").open("wb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log, process(command, core, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=environment) as child:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        if "listening on" not in line:
            raise RuntimeError(f"the proxy did not start: {(folder / 'log').read_text()[-2000:]}")
        threading.Thread(target=child.stdout.read, daemon=True).start()
        port = int(line.strip().rsplit(":", 1)[1].strip("/"))
        yield Target(name, port, f"/mcp/{SERVER}", grant(config, grant_name), roots=[child.pid])


def grant(config: Path, name: str = "bench") -> str:
    """The token of a new grant."""
    command = [PYTHON, "-m", "policylayer", "grant", "create", name, "--principal", PRINCIPAL]
    made = subprocess.run(
        [*command, "--servers", SERVER, "--json", "-c", str(config)], check=True, capture_output=True, text=True
    )
    token: str = json.loads(made.stdout)["token"]
    return token
