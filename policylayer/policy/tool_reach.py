"""Pure: which listed tools a rule concerns, and what the rule may come to on each.

Whoever asks is left out: a rule concerns a tool if it does for somebody. Must not know how findings are worded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final

from policylayer.core.call import Json
from policylayer.core.immutable import immutable
from policylayer.policy import ast, outcomes
from policylayer.policy.known import Known
from policylayer.policy.selectors import TOOLS, Names, has_no_facts
from policylayer.policy.tool_places import root_of
from policylayer.policy.tool_truth import ANYTHING, EITHER, FALSE, TRUE, Leaf, Scene, World, fold, of_test

LATER: Final = ("args", "input", "item")
"""What is not known before a call is made."""
FIRES: Final = outcomes.TRUE | outcomes.MISSING | outcomes.WRONG


class Tool:
    """One tool as its server lists it."""

    def __init__(self, server: str, name: str, schema: Json, world: World) -> None:
        self.server = server
        self.name = name
        self._schema = schema
        self._world = world

    @cached_property
    def scene(self) -> Scene:
        """What conditions read where it is called."""
        return self._world.scene(self.server, self.name, root_of(self._schema))

    def leaf(self, test: ast.Test) -> int:
        """What a test may come to."""
        return of_test(test, self.scene)


@immutable
class Reach:
    """The listed tools that a rule concerns. `whole`: all servers that it concerns are among those whose tools are
    known; `sure`: it does not depend on what the tools are known to be.
    """

    servers: tuple[str, ...]
    tools: tuple[Tool, ...]
    whole: bool
    sure: bool = True


class Servers:
    """All listed tools, by server."""

    def __init__(self, known: Known, directory: ast.Directory) -> None:
        world = World(directory)
        self._configured = known.servers
        self._open = known.open
        self.tools: dict[str, dict[str, Tool]] = {
            server: {name: Tool(server, name, schema, world) for name, schema in tools.items()}
            for server, tools in known.tools.items()
            if known.servers is None or server in known.servers
        }
        self._lists: dict[tuple[str, ...], Names] = {}
        self._selected: dict[tuple[str, tuple[str, ...]], tuple[Tool, ...]] = {}

    def of_policy(self, policy: ast.Policy) -> tuple[str, ...]:
        """The servers that a file is about."""
        return self._servers([policy.applies_to.servers, *(scope.servers for scope in policy.scopes)])

    def of_rule(self, policy: ast.Policy, rule: ast.Rule) -> Reach:
        """What a rule concerns, before its conditions are looked at."""
        lists = [policy.applies_to.servers, *(scope.servers for scope in policy.scopes)]
        if rule.selection.servers is not None:
            lists.append(rule.selection.servers)
        servers = self._servers(lists)
        found = tuple(tool for server in servers for tool in self.selected(rule.selection, server))
        return Reach(servers, found, self._is_whole(lists), has_no_facts(rule.selection))

    def _servers(self, lists: Sequence[tuple[ast.Pattern, ...]]) -> tuple[str, ...]:
        matching = [self._names(patterns) for patterns in lists]
        return tuple(server for server in self.tools if all(each.match(server) for each in matching))

    def _is_whole(self, lists: Sequence[tuple[ast.Pattern, ...]]) -> bool:
        """Whether no server whose tools are not known may be meant too."""
        matching = [self._names(patterns) for patterns in lists]
        named = self._configured
        if named is None:
            named = next((frozenset(each.exact) for each in matching if not each.globs), None)
        meant = [name for name in named or () if all(each.match(name) for each in matching)]
        return named is not None and all(name in self.tools and name not in self._open for name in meant)

    def selected(self, selection: ast.Selection, server: str) -> tuple[Tool, ...]:
        """A server's tools that a selection's targets name; all, where it names none but is about tools."""
        there = self.tools[server]
        if selection.methods is not None and self._names(selection.methods).match(TOOLS):
            return tuple(there.values())
        if selection.tools is None:
            others = (selection.prompts, selection.resources, selection.methods)
            about = all(each is None for each in others) and not has_no_facts(selection)
            return tuple(there.values()) if about else ()
        key = (server, tuple(pattern.text for pattern in selection.tools))
        found = self._selected.get(key)
        if found is None:
            wanted = self._names(selection.tools)
            if wanted.globs:
                found = tuple(tool for name, tool in there.items() if wanted.match(name))
            else:
                found = tuple(there[name] for name in sorted(wanted.exact) if name in there)
            self._selected[key] = found
        return found

    def _names(self, patterns: Iterable[ast.Pattern]) -> Names:
        texts = tuple(pattern.text for pattern in patterns)
        found = self._lists.get(texts)
        if found is None:
            found = self._lists[texts] = Names(texts)
        return found

    def block(self, block: ast.Selection, tool: Tool, leaf: Leaf) -> int:
        """What an `except` block may come to on a tool."""
        if block.servers is not None and not self._names(block.servers).match(tool.server):
            return FALSE
        targets = (block.tools, block.prompts, block.resources, block.methods)
        if any(each is not None for each in targets) and tool not in self.selected(block, tool.server):
            return FALSE
        asker = EITHER if block.principals is not None or block.on_behalf_of is not None else TRUE
        facts = TRUE if has_no_facts(block) else ANYTHING
        return outcomes.conjunction((asker, facts, fold(block.when, leaf)))

    def outcome(self, rule: ast.Rule, tool: Tool, leaf: Leaf) -> int:
        """What a rule may come to on a tool that its target names."""
        facts = TRUE if has_no_facts(rule.selection) else ANYTHING
        excused = outcomes.disjunction(self.block(block, tool, leaf) for block in rule.except_)
        return outcomes.conjunction((facts, fold(rule.selection.when, leaf), outcomes.negation(excused)))

    def concerned(self, rule: ast.Rule, tools: Sequence[Tool]) -> Sequence[Tool]:
        """The tools on which the rule may be more than false, whatever their arguments are."""
        tests = ast.tests_of(rule.selection.when)
        if not rule.except_ and all(test.path[0] in LATER for test in tests):
            return tools
        return [tool for tool in tools if self.outcome(rule, tool, outside(tool.leaf, ANYTHING)) & FIRES]


def outside(leaf: Leaf, arguments: int) -> Callable[[ast.Test], int]:
    """What is not about arguments as it is; whatever is, so."""
    return lambda test: arguments if test.path[0] in LATER else leaf(test)
