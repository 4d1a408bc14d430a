"""Guesses from a tool's name and annotations whether it reads, writes or destroys.

A first sorting for a person to look over, never a decision: annotations are a server's own claim, so they may make a
tool look more dangerous than its name, and less only where the name says nothing. Must not know policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Final, Literal

from policylayer.core.immutable import immutable

Kind = Literal["read", "write", "destructive"]

_READ_WORDS: Final = """
browse check count describe diff fetch find get head inspect list log lookup ls query read resolve retrieve search show
stat stats status summarize tail view whoami
"""
_DESTROY_WORDS: Final = """
cancel clear close delete destroy disable drop erase expire force forget kill prune purge remove reset revoke rm
terminate truncate uninstall unlink wipe
"""
READS: Final = frozenset(_READ_WORDS.split())
DESTROYS: Final = frozenset(_DESTROY_WORDS.split())
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


@immutable
class Tool:
    """A tool as its server lists it: what guessing reads of it, and `definition`, all that was said of it."""

    name: str
    about: str = ""
    annotations: Mapping[str, Any] = field(default_factory=dict)
    definition: Mapping[str, Any] = field(default_factory=dict)


def kind_of(tool: Tool) -> Kind:
    """The guess."""
    words = [word.lower() for word in _WORDS.findall(tool.name)]
    hints = tool.annotations
    if DESTROYS & set(words):
        return "destructive"
    if hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True:
        return "destructive"
    if hints.get("readOnlyHint") is False:
        return "write"
    if hints.get("readOnlyHint") is True or (words and words[0] in READS):
        return "read"
    return "write"


def grouped(tools: Iterable[Tool]) -> dict[Kind, list[Tool]]:
    """The tools of each kind, by name."""
    groups: dict[Kind, list[Tool]] = {"read": [], "write": [], "destructive": []}
    for tool in sorted(tools, key=lambda tool: tool.name):
        groups[kind_of(tool)].append(tool)
    return groups
