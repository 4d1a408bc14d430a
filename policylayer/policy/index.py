"""Pure: which rules may concern a caller, a server and a target, found without asking each rule.

Rules are numbered, and sets of them are bits of an integer. Every list of names keeps, for each exact name, the rules
that list it; globs are tried one by one. What comes out may hold a rule too many, never one too few: `engine` asks
each that is left. So rules that name other principals, servers or tools cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from policylayer.policy import resources
from policylayer.policy.names import Matches
from policylayer.policy.rules import Asker, CompiledRule
from policylayer.policy.selectors import PROMPTS, TOOLS, Names, Who

REMEMBERED: Final = 4096


class NameIndex:
    """For one place where rules may list names: who lists which. A rule without a list there is always found."""

    __slots__ = ("_always", "_exact", "_globs")

    def __init__(self, lists: Iterable[tuple[int, Names | None]], always: bool) -> None:
        self._always = 0
        self._exact: dict[str, int] = {}
        matchers: dict[str, Matches] = {}
        globs: dict[str, int] = {}
        for number, names in lists:
            bit = 1 << number
            if names is None:
                self._always |= bit if always else 0
                continue
            for name in names.exact:
                self._exact[name] = self._exact.get(name, 0) | bit
            for text, matches in names.globs:
                matchers[text] = matches
                globs[text] = globs.get(text, 0) | bit
        self._globs = tuple((matchers[text], bits) for text, bits in globs.items())

    def find(self, name: str) -> int:
        """The rules that list the name, or list nothing here."""
        found = self._always | self._exact.get(name, 0)
        for matches, bits in self._globs:
            if found | bits != found and matches(name):
                found |= bits
        return found


class WhoIndex:
    """The same for a list of principals and groups."""

    __slots__ = ("_groups", "_ids")

    def __init__(self, lists: Sequence[tuple[int, Who | None]]) -> None:
        self._ids = NameIndex([(number, who.ids if who else None) for number, who in lists], always=True)
        self._groups = NameIndex([(number, who.groups if who else None) for number, who in lists], always=False)

    def find(self, name: str, groups: frozenset[str]) -> int:
        """The rules that list the principal or one of its groups, or list nothing here."""
        found = self._ids.find(name)
        for group in groups:
            found |= self._groups.find(group)
        return found


class Index:
    """All places of all rules."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        numbered = list(enumerate(rules))
        depth = max((len(rule.scopes) for rule in rules), default=0)
        self._all = (1 << len(rules)) - 1
        self._who = [WhoIndex([(n, rule.selector.principals) for n, rule in numbered])]
        self._who.append(WhoIndex([(n, rule.applies_to.who) for n, rule in numbered]))
        self._servers = [NameIndex([(n, rule.selector.servers) for n, rule in numbered], always=True)]
        self._servers.append(NameIndex([(n, rule.applies_to.servers) for n, rule in numbered], always=True))
        for level in range(depth):
            scopes = [(n, rule.scopes[level] if level < len(rule.scopes) else None) for n, rule in numbered]
            self._who.append(WhoIndex([(n, scope.who if scope else None) for n, scope in scopes]))
            self._servers.append(NameIndex([(n, s.servers if s else None) for n, s in scopes], always=True))
        self._index_targets(numbered)
        self._principal = lru_cache(maxsize=REMEMBERED)(self._work_out_principal)
        self._server = lru_cache(maxsize=REMEMBERED)(self._work_out_server)

    def _index_targets(self, numbered: list[tuple[int, CompiledRule]]) -> None:
        targets = [(n, rule.selector.target) for n, rule in numbered]
        self._tools = NameIndex([(n, target.tools) for n, target in targets], always=False)
        self._prompts = NameIndex([(n, target.prompts) for n, target in targets], always=False)
        self._methods = NameIndex([(n, target.methods) for n, target in targets], always=False)
        self._resources = _bits(n for n, target in targets if target.resources is not None)
        self._any_tool = _bits(n for n, target in targets if target.concerns_tools)
        self._open = _bits(n for n, target in targets if target.is_open)

    def _work_out_principal(self, name: str, groups: frozenset[str]) -> tuple[int, ...]:
        return tuple(place.find(name, groups) for place in self._who)

    def _work_out_server(self, server: str) -> int:
        found = self._all
        for place in self._servers:
            found &= place.find(server)
        return found

    def _target(self, method: str, target: str | None) -> int:
        found = self._open | self._methods.find(method)
        if target is None:
            return found
        if method == TOOLS:
            return found | self._any_tool | self._tools.find(target)
        if method == PROMPTS:
            return found | self._prompts.find(target)
        return found | self._resources if method in resources.METHODS else found

    def at(self, server: str, method: str, target: str | None) -> Iterator[int]:
        """The numbers of all rules that may concern a target, whoever asks."""
        return _numbers(self._server(server) & self._target(method, target))

    def find(self, asker: Asker, server: str, method: str, target: str | None) -> Iterator[int]:
        """The numbers of all rules that may concern the call, in order."""
        found = self._server(server) & self._target(method, target)
        actor = self._principal(asker.id, asker.groups)
        user = actor if asker.user is None else self._principal(asker.user, asker.user_groups)
        for of_actor, of_user in zip(actor, user, strict=True):
            found &= of_actor | of_user
        return _numbers(found)


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def _numbers(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
