"""The command line: one file per command, and nothing imported before it is needed.

The commands of `plain.py` do without the command-line library; every other goes through `application.py`. Every error
is one clear line; `POLICYLAYER_DEBUG=1` shows where it came from.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from policylayer.cli import streams
from policylayer.cli.exits import FAILED, INTERRUPTED, code_of
from policylayer.cli.loading import loading
from policylayer.cli.plain import COMMANDS as PLAIN
from policylayer.core.errors import PolicyLayerError

COLLECT: Final = (200_000, 20, 20)
"""New containers, net, between looks for cycles among them: fewer than loading makes, which is no garbage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # the process is this command's alone
        gc.set_threshold(*COLLECT)
        streams.prepare(serves=given[:1] == ["serve"])
    try:
        code = _run(given)
        sys.stdout.flush()
    except OSError as error:
        streams.give_up(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # whoever read us has gone (`| head`): nothing more can be said
            _say(f"policylayer: cannot write to standard output: {(error.strerror or 'failed').lower()}")
            _say("  help: what was asked may be done all the same; name a file or a terminal that takes what is said")
        return FAILED
    return code


def _run(given: list[str]) -> int:
    """The command; whatever it fails of becomes a line and a code."""
    try:
        return _command(given)(given)
    except PolicyLayerError as error:
        _debug()
        _tell(error)
        return code_of(error)
    except SystemExit as ended:  # --help of a plain command
        return ended.code if isinstance(ended.code, int) else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if streams.is_failure(error):
            raise
        _debug()
        _say(f"policylayer: internal error: {type(error).__name__}: {_line(str(error))}")
        _say("  help: POLICYLAYER_DEBUG=1 shows where; please report it")
        return FAILED


def _command(given: list[str]) -> Callable[[list[str]], int]:
    if given and given[0] in PLAIN:
        with loading():
            run: Callable[[list[str]], int] = import_module(f"policylayer.cli.{given[0]}").run
        return lambda arguments: run(arguments[1:])
    with loading():
        from policylayer.cli.application import run as run_any

    return run_any


def _tell(error: PolicyLayerError) -> None:
    rendered = getattr(error, "rendered", "")
    if rendered:
        _say(rendered.rstrip("\n"))
        return
    _say(f"policylayer: {_line(error.message)}")
    if error.help:
        _say(f"  help: {_line(error.help)}")


def _line(text: str) -> str:
    from policylayer.policy.diagnostics import visible

    return visible(text)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # standard error is full, or a device that takes nothing
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _debug() -> None:
    if os.environ.get("POLICYLAYER_DEBUG") == "1":
        import traceback

        traceback.print_exc()
