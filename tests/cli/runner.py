"""Runs a command in this process, as `policylayer …` would."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from policylayer.cli import main
from tests.support.logging_kept import logging_kept


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value it printed."""
        return orjson.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values it printed, one a line."""
        return [orjson.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True)
class Runner:
    """Calls commands in a folder."""

    capfd: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Done:
        """Run one command; no traceback, ever."""
        self.capfd.readouterr()
        with logging_kept():
            code = main([str(argument) for argument in arguments])
        captured = self.capfd.readouterr()
        assert "Traceback" not in captured.err
        return Done(code, captured.out, captured.err)
