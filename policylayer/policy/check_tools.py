"""Pure: rules held against what the servers list: tools that there are not, tools that no rule is about, dead rules.

Runs where tools are known (`Known.tools`); else nothing is said. Arguments are `check_arguments`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policylayer.core.decision import Effect
from policylayer.policy import ast, names
from policylayer.policy.check_arguments import check_condition, check_counted, check_redacted
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, nearest, quote, warning
from policylayer.policy.known import Known
from policylayer.policy.selectors import TOOLS
from policylayer.policy.tool_reach import FIRES, Servers, Tool, outside
from policylayer.policy.tool_truth import EITHER, FALSE, MISSING, TRUE, of_missing
from policylayer.policy.tool_words import Asking, Spot, listed, tools_named

NOWHERE = ast.Span(".", 1, 1)


def check_tools(
    policies: Sequence[ast.Policy], directory: ast.Directory, known: Known, sink: list[Diagnostic], rego: bool = False
) -> None:
    """Report what is wrong with rules, given what servers list; with Rego about, no tool is said to be forgotten."""
    servers = Servers(known, directory)
    for policy in policies if servers.tools else ():
        for rule in policy.rules:
            _Rule(policy, rule, servers, sink).check()
        _check_file(policy, servers, sink)
    if not rego:
        _check_uncovered(policies, servers, sink)


def _check_file(policy: ast.Policy, servers: Servers, sink: list[Diagnostic]) -> None:
    """What a file redacts of all calls that it is about."""
    if policy.redact:
        tools = [tool for server in servers.of_policy(policy) for tool in servers.tools[server].values()]
        anyone = ast.Rule("", policy.span, ast.Selection(), None)
        asking = Asking(anyone, sink, lambda tool, test, path: False)
        check_redacted(policy.redact, [Spot(tool, tool.scene) for tool in tools], asking)


class _Rule:
    """The check of one rule."""

    def __init__(self, policy: ast.Policy, rule: ast.Rule, servers: Servers, sink: list[Diagnostic]) -> None:
        self.policy = policy
        self.rule = rule
        self.servers = servers
        self.sink = sink
        self.reach = servers.of_rule(policy, rule)

    def check(self) -> None:
        rule, selection = self.rule, self.rule.selection
        self.named(selection.tools or ())
        for block in rule.except_:
            self.named(block.tools or ())
        said = len(self.sink)
        if selection.when is not None or rule.except_ or rule.limits or rule.redact:
            tools = self.servers.concerned(rule, self.reach.tools)
            self.arguments([Spot(tool, tool.scene) for tool in tools])
        if (selection.when is not None or rule.except_) and len(self.sink) == said:
            self.never()

    def arguments(self, spots: Sequence[Spot]) -> None:
        rule = self.rule
        asking = Asking(rule, self.sink, self.blames, self.is_about_tools_only())
        check_condition(rule.selection.when, spots, asking)
        for block in rule.except_:
            open_ = [s for s in spots if self.servers.block(block, s.tool, outside(s.tool.leaf, EITHER)) != FALSE]
            check_condition(block.when, open_, asking)
        named = (self.policy.limits.get(limit) if isinstance(limit, str) else limit for limit in rule.limits)
        for limit in named:
            if limit is not None:
                check_counted(limit, spots, asking)
        check_redacted(rule.redact, spots, asking)

    def blames(self, tool: Tool, test: ast.Test, path: ast.Path) -> bool:
        """Whether the rule may be an error because a path that this test reads is missing, all else being there.

        What else the rule asks of that path, or below it, is asked of nothing as well: `exists` may make it false.
        """
        if not self.reach.sure:
            return False
        others = outside(tool.leaf, EITHER)

        def leaf(each: ast.Test) -> int:
            if each is test:
                return MISSING
            return of_missing(each) if path[0] == "args" and each.path[: len(path)] == path else others(each)

        return bool(self.servers.outcome(self.rule, tool, leaf) & MISSING)

    # --- tools ---

    def named(self, patterns: Iterable[ast.Pattern]) -> None:
        """Names and globs that no server of the rule lists."""
        servers = self.reach.servers
        if not servers or not self.reach.whole:
            return
        for pattern in patterns:
            matches = names.matcher(pattern.text)
            if any(any(map(matches, self.servers.tools[server])) for server in servers):
                continue
            if names.is_glob(pattern.text):
                message = f"{quote(pattern.text)} matches no tool of {listed(servers)}"
                self.sink.append(warning(Code.MATCHES_NO_TOOL, pattern.span, message, "check its spelling"))
            else:
                self.unknown(pattern, servers)

    def unknown(self, pattern: ast.Pattern, servers: Sequence[str]) -> None:
        known = {name for server in servers for name in self.servers.tools[server]}
        message = f"{listed(servers)} {'lists' if len(servers) == 1 else 'list'} no tool {quote(pattern.text)}"
        is_slip = nearest(pattern.text, known) is not None
        asking = Asking(self.rule, self.sink, lambda tool, test, path: False)
        asking.say(is_slip, Code.UNKNOWN_TOOL, pattern.span, message, did_you_mean(pattern.text, known))

    # --- rules that never match ---

    def never(self) -> None:
        """Conditions that no call meets: of all tools, or of one that is named exactly."""
        tools = self.reach.tools
        why = "no call that fits its schema meets the conditions"
        if tools and self.reach.whole and self.is_about_tools_only() and all(map(self.is_dead, tools)):
            message = f"rule {quote(self.rule.id)} never matches {tools_named(tools)}: {why}"
            self.sink.append(warning(Code.NO_CALL_FITS, self.rule.span, message, "compare them with the schema"))
            return
        for pattern in self.rule.selection.tools or ():
            named = [self.servers.tools[server].get(pattern.text) for server in self.reach.servers]
            if any(named) and all(tool is None or self.is_dead(tool) for tool in named):
                message = f"rule {quote(self.rule.id)} never matches {quote(pattern.text)}: {why}"
                self.sink.append(warning(Code.NO_CALL_FITS, pattern.span, message, "name it in a rule of its own"))

    def is_dead(self, tool: Tool) -> bool:
        """Whether nothing that fits the tool's schema makes the rule count."""
        found = self.servers.outcome(self.rule, tool, tool.leaf)
        return not found & (TRUE if self.rule.effect is Effect.ALLOW else FIRES)

    def is_about_tools_only(self) -> bool:
        selection = self.rule.selection
        methods = all(pattern.text == TOOLS for pattern in selection.methods or ())
        return selection.prompts is None and selection.resources is None and methods


# --- tools that no rule is about --------------------------------------------------------------------------------------


def _check_uncovered(policies: Sequence[ast.Policy], servers: Servers, sink: list[Diagnostic]) -> None:
    """One warning for each server, where a policy is about it."""
    about: dict[str, list[ast.Policy]] = {server: [] for server in servers.tools}
    covered: dict[str, set[str]] = {server: set() for server in servers.tools}
    for policy in policies:
        for server in servers.of_policy(policy):
            about[server].append(policy)
        for rule in policy.rules if not policy.observe else ():
            if rule.effect is not None:
                for tool in servers.of_rule(policy, rule).tools:
                    covered[tool.server].add(tool.name)
    for server, tools in servers.tools.items():
        left = [name for name in tools if name not in covered[server]]
        if left:
            _say_uncovered(server, left, about[server], sink)


def _say_uncovered(server: str, left: Sequence[str], about: Sequence[ast.Policy], sink: list[Diagnostic]) -> None:
    about_it = min((policy.applies_to for policy in about), key=lambda each: _names_it(each, server), default=None)
    what = f"no rule is about {listed(left)}, which {quote(server)} lists"
    help_ = "what no rule allows is denied: allow, hold or deny it, so that it is said"
    place = NOWHERE if about_it is None else _where_it_is_named(about_it, server)
    sink.append(warning(Code.UNCOVERED_TOOL, place, what, help_))


def _where_it_is_named(applies_to: ast.AppliesTo, server: str) -> ast.Span:
    """The pattern that is the server's name, else the first, which takes it in."""
    named = [pattern for pattern in applies_to.servers if pattern.text == server]
    return next((pattern.span for pattern in (*named, *applies_to.servers)), applies_to.span)


def _names_it(applies_to: ast.AppliesTo, server: str) -> tuple[bool, str]:
    """Files that name a server come first."""
    return all(pattern.text != server for pattern in applies_to.servers), applies_to.span.file
