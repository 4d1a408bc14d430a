"""Exit codes, and which failure has which. Must not know commands."""

from __future__ import annotations

from typing import ClassVar, Final

from policylayer.core.errors import ConfigError, PolicyError, PolicyLayerError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_LOADED: Final = 3
"""A policy or the configuration does not load."""
TESTS_FAILED: Final = 4
INTERRUPTED: Final = 130


class CommandError(PolicyLayerError):
    """A command cannot do what was asked: what, where, and what to do."""

    code = "command"
    exit: ClassVar[int] = FAILED


class UsageError(CommandError):
    """The command was not called as it can be."""

    code = "usage"
    exit = USAGE


def code_of(error: PolicyLayerError) -> int:
    """The exit code of a failure."""
    if isinstance(error, CommandError):
        return error.exit
    return NOT_LOADED if isinstance(error, ConfigError | PolicyError) else FAILED
