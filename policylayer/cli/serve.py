"""`policylayer serve`: runs the proxy until it is told to end.

Parsed with the standard library, because the command-line library is not loaded into a process that runs for months.
Must not know what is served (`app.py`) nor how (`serve/`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from policylayer.cli.exits import OK
from policylayer.cli.loading import loading
from policylayer.cli.plain import Parser
from policylayer.revisions.process import Process


def run(arguments: list[str]) -> int:
    """Serve; returns the exit code when everything has ended."""
    given = _parser().parse_args(arguments)
    # First of all: what is imported from here on logs as this says.
    from policylayer.serve.logs import configure

    configure()
    # It warms up while the rest is loaded.
    with Process() as judge:
        with loading():
            from policylayer.cli.running import run as run_service
            from policylayer.config import load

        run_service(load(given.config), _ready, judge)
    return OK


def _ready(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


def _parser() -> Parser:
    parser = Parser("serve", "Run the proxy.")
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=Path("policylayer.yaml"),
        help="the configuration (default: policylayer.yaml)",
    )
    return parser
