"""Loads `policylayer.yaml`: bytes to a `Config`, or every problem with its place.

Must not know what the fields are (`sections.py`). The same strict YAML as policies have, and the same way of saying
what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from policylayer.config.codes import ConfigCode
from policylayer.config.fields import Reading
from policylayer.config.model import Config
from policylayer.config.sections import read_config
from policylayer.core.errors import ConfigError
from policylayer.core.immutable import immutable
from policylayer.policy import nodes
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, ordered, render
from policylayer.policy.source import read as read_yaml

MAX_SIZE: Final = 1024 * 1024


@immutable
class Read:
    """What came of a file: a configuration, or errors. `sources` is for rendering them."""

    config: Config | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, bytes]


class ConfigProblems(ConfigError):
    """The file does not load. `str()` is the first problem; `rendered` all of them, for people."""

    def __init__(self, read: Read) -> None:
        first = read.diagnostics[0]
        super().__init__(f"{first.file}:{first.line}:{first.column}: {first.message}", first.help)
        self.diagnostics = read.diagnostics
        self.rendered = render(read.diagnostics, read.sources)


def load(path: Path, environment: Mapping[str, str] | None = None, policies: bool = True) -> Config:
    """The configuration in `path`. Raises `ConfigProblems` with all that is wrong.

    Whoever reads no policies says so by `policies`: a folder that is gone keeps nobody from stopping a proxy.
    """
    found = read(path, environment, policies)
    if found.config is None:
        raise ConfigProblems(found)
    return found.config


def read(path: Path, environment: Mapping[str, str] | None = None, policies: bool = True) -> Read:
    """The configuration in `path`, or why there is none; `${VARIABLES}` come from `environment`."""
    shown = str(path)
    start = Span(shown, 1, 1)
    try:
        if path.exists() and not path.is_file():  # a FIFO would hang, a device never end
            raise IsADirectoryError(None, "not a file")
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as failure:
        why = (failure.strerror or "failed").lower()
        help = "name the file with `-c FILE`, or let `policylayer init` write one"
        return Read(None, (error(ConfigCode.UNREADABLE, start, f"cannot read the configuration: {why}", help),), {})
    if len(data) > MAX_SIZE:
        return Read(None, (error(Code.TOO_LARGE, start, "the file is larger than 1 MiB"),), {})
    reading = Reading(path.absolute().parent, os.environ if environment is None else environment, policies)
    config = _parse(reading, path, shown, data)
    if any(problem.is_error for problem in reading.found):
        config = None
    if config is not None:
        config = replace(config, digest=digest_of(data))
    return Read(config, ordered(reading.found), {shown: data})


def digest_of(data: bytes) -> str:
    """What tells one file from another, and nothing of what is in it."""
    return sha256(data).hexdigest()[:16]


def has_changed(config: Config) -> bool:
    """Whether the file is another one than this was read from; where it cannot be read, nobody knows."""
    try:
        with config.file.open("rb") as file:
            return digest_of(file.read(MAX_SIZE + 1)) != config.digest
    except OSError:
        return False


def _parse(reading: Reading, path: Path, shown: str, data: bytes) -> Config | None:
    node = read_yaml(shown, data, reading.found)
    if node is None:
        return None
    if not isinstance(node, nodes.Mapping):
        reading.wrong(node, "the configuration", "a mapping")
        return None
    return read_config(reading, node, path.absolute())
