"""`policylayer doctor`: checks everything that a start needs, with a fix for each thing that is wrong.

Must not know how a thing is checked (`examination.py`), and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import FAILED, OK
from policylayer.cli.output import emit, say

app = new("Check everything that a start needs, with a fix for each.")


@app.command()
def doctor(
    config: Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The proxy's configuration.")] = Path(
        "policylayer.yaml"
    ),
    json: Annotated[bool, typer.Option("--json", help="A line for each check.")] = False,
) -> None:
    """Check everything that a start needs, with a fix for each thing that is wrong."""
    from policylayer.cli.examination import examine

    worst = "ok"
    for finding in examine(config):
        if finding.state == "bad" or (finding.state == "doubtful" and worst == "ok"):
            worst = finding.state
        if json:
            emit(asdict(finding))
            continue
        say(f"{MARKS[finding.state]}  {finding.what}: {finding.message}")
        if finding.fix:
            say(f"      fix: {finding.fix}")
    raise typer.Exit(FAILED if worst == "bad" else OK)


MARKS = {"ok": "ok  ", "doubtful": "look", "bad": "BAD "}
