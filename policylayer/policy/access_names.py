"""Pure: who and what a policy set speaks of: principals, servers and tools, by name or by pattern.

A pattern stands for all that it covers and nobody has named; one of tools is kept only where a server's own list is not
known. Must not know what anyone may do (`access`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy import ast, names
from policylayer.policy.access import Cell
from policylayer.policy.check_names import People
from policylayer.policy.directory import GROUP
from policylayer.policy.load import Loaded
from policylayer.policy.selectors import TOOLS

ANY: Final = "*"


@immutable
class Known:
    """Names from elsewhere: principals that were seen; tools by server, as listed (`whole`), or as seen or written."""

    principals: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()
    tools: Mapping[str, frozenset[str]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


@immutable
class Wanted:
    """What is asked for, by names and patterns; empty: everything. A name that nobody knows is asked about too."""

    principals: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


def cells(sets: Iterable[Loaded], known: Known, wanted: Wanted) -> Iterator[Cell]:
    """Every cell of these sets together, in order. Without `users` calls are direct."""
    loaded = list(sets)
    people = _chosen(_people(loaded) | known.principals, wanted.principals)
    users: list[str | None] = [None]
    if wanted.users:
        users = list(_chosen(_people(loaded) | known.users, wanted.users))
    servers = _chosen(_servers(loaded, known), wanted.servers)
    tools = {server: _chosen(_tools(loaded, known, server), wanted.tools) for server in servers}
    for principal in people:
        for user in users:
            if user != principal:
                yield from (Cell(principal, user, server, tool) for server in servers for tool in tools[server])


def strangers(sets: Iterable[Loaded], known: Known, wanted: Wanted) -> Iterator[tuple[str, str, frozenset[str]]]:
    """The names that are asked about though nobody knows them: of what, the name, and those that are known."""
    loaded = list(sets)
    people, servers = _people(loaded), _servers(loaded, known)
    tools = frozenset(tool for server in servers for tool in _tools(loaded, known, server))
    lists = (
        ("principal", wanted.principals, people | known.principals),
        ("principal", wanted.users, people | known.users),
        ("server", wanted.servers, servers),
        ("tool", wanted.tools, tools),
    )
    for what, texts, found in lists:
        matchers = [names.matcher(text) for text in found if names.is_glob(text) and text != ANY]
        for text in texts:
            if not names.is_glob(text) and text not in found and not any(matches(text) for matches in matchers):
                yield what, text, frozenset(name for name in found if not names.is_glob(name))


def _chosen(found: Iterable[str], wanted: tuple[str, ...]) -> list[str]:
    """Those that are wanted; names before patterns, the widest pattern last."""
    exact = {text for text in wanted if not names.is_glob(text)}
    matchers = [names.matcher(text) for text in wanted if names.is_glob(text)]
    kept = {name for name in found if not wanted or any(matches(name) for matches in matchers)} | exact
    return sorted(kept, key=lambda name: (names.is_glob(name), name == ANY, name))


# --- who --------------------------------------------------------------------------------------------------------------


def _people(sets: Iterable[Loaded]) -> frozenset[str]:
    """Everybody in principals.yaml, and whom else rules open things to."""
    found: set[str] = set()
    for loaded in sets:
        found |= People.of(loaded.directory).principals
        for policy in loaded.policies:
            lists = [policy.applies_to.principals, *(scope.principals for scope in policy.scopes)]
            for rule in policy.rules:
                selection = rule.selection
                lists += [selection.principals or (), selection.on_behalf_of or ()]
            found |= {each.text for patterns in lists for each in patterns if not each.text.startswith(GROUP)}
    return frozenset(found)


# --- what -------------------------------------------------------------------------------------------------------------


def _servers(sets: Iterable[Loaded], known: Known) -> frozenset[str]:
    """Those that are known, those that are named, and patterns that cover none of them."""
    texts = {each.text for loaded in sets for policy in loaded.policies for each in _of_servers(policy)}
    found = known.servers | known.tools.keys() | {text for text in texts if not names.is_glob(text)}
    globs = {text for text in texts if names.is_glob(text)}
    found |= {text for text in globs if not any(map(names.matcher(text), found))}
    return frozenset(found or {ANY})


def _of_servers(policy: ast.Policy) -> Iterator[ast.Pattern]:
    yield from policy.applies_to.servers
    for scope in policy.scopes:
        yield from scope.servers
    for rule in policy.rules:
        yield from rule.selection.servers or ()


def _tools(sets: Iterable[Loaded], known: Known, server: str) -> frozenset[str]:
    """The tools of one server."""
    found = set(known.tools.get(server, ()))
    for loaded in sets:
        for policy in loaded.policies:
            if _covers(policy, server):
                for rule in policy.rules:
                    if rule.selection.servers is None or _listed(rule.selection.servers, server):
                        found |= _named(rule)
        if loaded.rego:
            found.add(ANY)
    if server in known.whole:
        found = {name for name in found if not names.is_glob(name)}
    return frozenset(found)


def _covers(policy: ast.Policy, server: str) -> bool:
    return all(_listed(place.servers, server) for place in (policy.applies_to, *policy.scopes))


def _listed(patterns: Iterable[ast.Pattern], server: str) -> bool:
    """Whether a server, or all that a pattern stands for, is meant."""
    return any(each.text == server or names.matcher(each.text)(server) for each in patterns)


def _named(rule: ast.Rule) -> set[str]:
    """The tools that a rule names; any tool, where it is about tools by something else than their names."""
    selection = rule.selection
    found = {each.text for block in (selection, *rule.except_) for each in block.tools or ()}
    targets = (selection.tools, selection.prompts, selection.resources, selection.methods)
    by_method = any(names.matcher(each.text)(TOOLS) for each in selection.methods or ())
    if by_method or all(target is None for target in targets):
        found.add(ANY)
    return found
