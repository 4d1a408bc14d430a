"""Commands parsed with the standard library alone: the one that runs for months, and those that are run on every save.

Must not know the commands. `application.py` has the others.
"""

from __future__ import annotations

import argparse
from typing import Any, Final, NoReturn

from policylayer.cli.exits import UsageError

COMMANDS: Final = ("serve", "check", "test", "explain", "access", "replay")
"""Each has `run(arguments)` in `cli/NAME.py`."""


class _Once(argparse.Action):
    """Takes a value. A second one is refused, not preferred: whoever wrote both expects both to count."""

    def __call__(
        self, parser: argparse.ArgumentParser, given: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        seen: set[str] = given.__dict__.setdefault("_seen", set())
        if option is not None and self.dest in seen:
            parser.error(f"{option} is there twice")
        if option is not None:
            seen.add(self.dest)
        setattr(given, self.dest, value)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are ours."""

    def __init__(self, command: str, about: str) -> None:
        super().__init__(prog=f"policylayer {command}", description=about, allow_abbrev=False)
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def error(self, message: str) -> NoReturn:
        """Complain in one line."""
        raise UsageError(message, f"{self.prog} --help")
