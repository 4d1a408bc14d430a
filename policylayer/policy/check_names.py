"""Pure: that the names which policies use are somebody's: principals, groups, attributes, servers, methods.

Runs once all files are read. An exact name that nobody has is an error, unless an issuer's tokens may bring it; a glob
that matches nobody is a warning. Names in tests are `check_tests`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from policylayer.policy import ast, names
from policylayer.policy.check_groups import from_issuer
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, error, quote, warning
from policylayer.policy.dotted import SUBJECT
from policylayer.policy.known import Known
from policylayer.policy.parse_policy import APPROVER_WORDS


@dataclass(frozen=True)
class People:
    """Everybody whom principals.yaml names, as a principal, a member or an owner, and all groups."""

    principals: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, directory: ast.Directory) -> People:
        """The names in a directory."""
        members = {member.name for members in directory.groups.values() for member in members}
        people = {*directory.principals, *directory.owners.values(), *members}
        groups = frozenset(f"group:{name}" for name in directory.groups)
        return cls(frozenset(name for name in people if not name.startswith("group:")), groups)


def check_names(policies: Sequence[ast.Policy], directory: ast.Directory, known: Known, sink: list[Diagnostic]) -> None:
    """Report names that nobody has."""
    checker = _Checker(directory, People.of(directory), known, sink)
    scopes = {scope.span: scope for policy in policies for scope in policy.scopes}
    for scope in (*scopes.values(), *(policy.applies_to for policy in policies)):
        checker.who(scope.principals)
        checker.servers(scope.servers)
    for policy in policies:
        for limit in policy.limits.values():
            checker.limit(limit)
        for rule in policy.rules:
            checker.rule(rule)


@dataclass(frozen=True)
class _Checker:
    directory: ast.Directory
    people: People
    known: Known
    sink: list[Diagnostic]

    def rule(self, rule: ast.Rule) -> None:
        for block in (rule.selection, *rule.except_):
            self.who((*(block.principals or ()), *(block.on_behalf_of or ())))
            self.servers(block.servers or ())
            self.methods(block.methods or ())
            for test in ast.all_tests_of(block.when):
                self.test(test)
        if rule.approval is not None:
            self.who(pattern for pattern in rule.approval.approvers if pattern.text not in APPROVER_WORDS)
            self.quorum(rule, rule.approval)
        for limit in rule.limits:
            if isinstance(limit, ast.Limit):
                self.limit(limit)

    # --- principals and groups ---

    def who(self, patterns: Iterable[ast.Pattern]) -> None:
        for pattern in patterns:
            if names.is_glob(pattern.text):
                self._glob(pattern)
            elif not self._somebody(pattern.text):
                self.sink.append(error(Code.UNKNOWN_NAME, pattern.span, *self._nobody(pattern.text)))

    def _somebody(self, text: str) -> bool:
        return text in self.people.principals or text in self.people.groups or from_issuer(text, self.directory)

    def _nobody(self, text: str) -> tuple[str, str]:
        if f"group:{text}" in self.people.groups:
            return f"{quote(text)} is nobody's name", f"groups are written {quote('group:' + text)}"
        help_ = did_you_mean(text, self.people.principals | self.people.groups)
        return f"{quote(text)} is nobody that principals.yaml knows", help_ or "declare it in principals.yaml"

    def _glob(self, pattern: ast.Pattern) -> None:
        if not pattern.text.strip("*"):
            return
        matches = names.matcher(pattern.text)
        issuers = (f"{kind}:{issuer}/" for issuer in self.directory.issuers for kind in ("group", "user", "agent"))
        if any(matches(name) for name in self.people.principals | self.people.groups):
            return
        if not any(pattern.text.startswith(prefix) for prefix in issuers):
            message = f"{quote(pattern.text)} matches nobody that principals.yaml knows"
            self.sink.append(warning(Code.MATCHES_NOBODY, pattern.span, message, "check its spelling"))

    def quorum(self, rule: ast.Rule, approval: ast.Approval) -> None:
        voters: set[str] = set()
        for pattern in approval.approvers:
            if pattern.text.startswith("group:"):
                members = list(self._members(pattern.text))
                if any(name.startswith("group:") for name in members):
                    return
                voters.update(members)
            else:
                voters.add(pattern.text)
        if approval.approvers and len(voters) < approval.quorum:
            message = (
                f"rule {quote(rule.id)} asks for {approval.quorum} approvers where there are at most {len(voters)}"
            )
            help_ = "as it stands, its calls are held until they expire"
            self.sink.append(warning(Code.QUORUM, approval.approvers[0].span, message, help_))

    def _members(self, group: str) -> Iterator[str]:
        """Everybody in a group; a group itself where tokens say who is in it."""
        seen: set[str] = set()
        pending = [group]
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.people.groups:
                pending.extend(member.name for member in self.directory.groups[name[6:]])
            else:
                yield name

    # --- paths ---

    def limit(self, limit: ast.Limit) -> None:
        for path in (*limit.by, *((limit.sum,) if limit.sum else ())):
            self.path(path, limit.span)

    def test(self, test: ast.Test) -> None:
        self.path(test.path, test.span)
        if any(matcher.name == "contains" for matcher in test.matchers) and self._is_list(test.path):
            help_ = "write `some: …` with what an element must be"
            span = next(matcher.span for matcher in test.matchers if matcher.name == "contains")
            message = f"{quote('.'.join(test.path))} is a list, and `contains` is about texts"
            self.sink.append(error(Code.CONTAINS_ON_LIST, span, message, help_))
        for reference in _references(test.matchers):
            self.path(reference.path, reference.span)

    def path(self, path: ast.Path, span: ast.Span) -> None:
        if len(path) != 2 or path[0] not in ("principal", "for"):
            return
        if path[1] not in SUBJECT and path[1] not in self.directory.attributes:
            help_ = did_you_mean(path[1], (*SUBJECT, *self.directory.attributes))
            message = f"the attribute {quote(path[1])} is not declared in principals.yaml"
            self.sink.append(error(Code.UNDECLARED_ATTRIBUTE, span, message, help_))

    def _is_list(self, path: ast.Path) -> bool:
        if path == ("session", "labels"):
            return True
        if len(path) != 2 or path[0] not in ("principal", "for"):
            return False
        return path[1] == "groups" or self.directory.attributes.get(path[1], "").startswith("[")

    # --- the configuration ---

    def servers(self, patterns: Iterable[ast.Pattern]) -> None:
        self._configured(patterns, self.known.servers, Code.UNKNOWN_SERVER, "server is configured as")

    def methods(self, patterns: Iterable[ast.Pattern]) -> None:
        self._configured(patterns, self.known.methods, Code.UNKNOWN_METHOD, "method is named")

    def _configured(self, patterns: Iterable[ast.Pattern], known: frozenset[str] | None, code: Code, what: str) -> None:
        for pattern in patterns:
            if known is None or any(names.matcher(pattern.text)(name) for name in known):
                continue
            if pattern.text.strip("*"):
                message = f"no {what} {quote(pattern.text)}"
                self.sink.append(warning(code, pattern.span, message, did_you_mean(pattern.text, known)))


def _references(matchers: Iterable[ast.Matcher]) -> Iterator[ast.Ref]:
    for matcher in matchers:
        if isinstance(matcher.value, ast.Ref):
            yield matcher.value
        elif isinstance(matcher.value, tuple):
            yield from _references(inner for inner in matcher.value if isinstance(inner, ast.Matcher))
