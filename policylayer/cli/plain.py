"""Commands parsed with the standard library alone: the one that runs for months, and those that are run on every save.

Must not know the commands. `application.py` has the others.
"""

from __future__ import annotations

import argparse
from typing import Final, NoReturn

from policylayer.cli.exits import UsageError

COMMANDS: Final = ("serve", "check", "test", "explain", "access", "replay")
"""Each has `run(arguments)` in `cli/NAME.py`."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are ours."""

    def __init__(self, command: str, about: str) -> None:
        super().__init__(prog=f"policylayer {command}", description=about, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Complain in one line."""
        raise UsageError(message, f"{self.prog} --help")
