"""Pure: selectors compiled: sets of names and globs, targets, and what a tool is known to be.

Targets and names decide before any argument is looked at, so `engine` asks them once for each caller and target. Risk,
traits and annotations are nodes, asked for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from policylayer.core.call import Call
from policylayer.core.immutable import immutable
from policylayer.policy import names, resource_patterns, resources
from policylayer.policy.ast import Pattern, Selection
from policylayer.policy.codes import Code
from policylayer.policy.conditions import Node, every_part
from policylayer.policy.diagnostics import Diagnostic, error, quote
from policylayer.policy.directory import GROUP
from policylayer.policy.globs import refused as refused_in_glob
from policylayer.policy.outcomes import ANYTHING, of
from policylayer.policy.truth import Truth, missing, wrong
from policylayer.policy.values import Context

TOOLS: Final = "tools/call"
PROMPTS: Final = "prompts/get"


class Names:
    """Exact names and globs, any of which may match."""

    __slots__ = ("exact", "globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        found = tuple(patterns)
        self.exact = frozenset(text for text in found if not names.is_glob(text))
        self.globs = tuple((text, names.matcher(text)) for text in found if names.is_glob(text))

    def match(self, name: str) -> bool:
        """Whether the name is meant."""
        return name in self.exact or any(matches(name) for _, matches in self.globs)


class Who:
    """A list of principals and groups. A pattern beginning with `group:` is about groups, any other about the id."""

    __slots__ = ("groups", "ids")

    def __init__(self, patterns: Iterable[str]) -> None:
        found = tuple(patterns)
        self.ids = Names(text for text in found if not text.startswith(GROUP))
        self.groups = Names(text for text in found if text.startswith(GROUP))

    def match(self, name: str, groups: frozenset[str]) -> bool:
        """Whether a principal with these groups is meant."""
        if self.ids.match(name) or not self.groups.exact.isdisjoint(groups):
            return True
        return bool(self.groups.globs) and any(map(self.groups.match, groups))


@immutable
class Target:
    """Alternatives. `concerns_tools`: none is written, but something that only tools have."""

    tools: Names | None = None
    prompts: Names | None = None
    resources: tuple[resources.Pattern, ...] | None = None
    methods: Names | None = None
    concerns_tools: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nothing narrows it."""
        return (self.tools, self.prompts, self.resources, self.methods) == (None,) * 4 and not self.concerns_tools

    def truth(self, call: Call) -> Truth:
        """Whether the call is meant; a problem where the resource's URI cannot be read."""
        method, target = call.method, call.target
        if self.is_open or (self.methods is not None and self.methods.match(method)):
            return True
        if target is None:
            return False
        if method == TOOLS:
            return self.concerns_tools or (self.tools is not None and self.tools.match(target))
        if method == PROMPTS:
            return self.prompts is not None and self.prompts.match(target)
        return self._resource(target) if self.resources is not None and method in resources.METHODS else False

    def _resource(self, uri: str) -> Truth:
        assert self.resources is not None
        readings = resources.readings(uri)
        if readings is None:
            return wrong("target")
        answers = {any(pattern.matches(reading) for pattern in self.resources) for reading in readings}
        return answers.pop() if len(answers) == 1 else wrong("target")

    def may_match_expansion(self, template: str) -> bool:
        """Whether a resource that the template expands to may be meant."""
        return self.resources is None or any(each.may_match_expansion(template) for each in self.resources)


def compile_target(selection: Selection, sink: list[Diagnostic]) -> Target:
    """The target of a rule or an except block."""
    kinds = (selection.tools, selection.prompts, selection.resources, selection.methods)
    about_tools = selection.risk is not None or selection.traits is not None or selection.annotations is not None
    return Target(
        tools=_optional(selection.tools, sink),
        prompts=_optional(selection.prompts, sink),
        resources=_resources(selection.resources, sink),
        methods=_optional(selection.methods, sink),
        concerns_tools=about_tools and all(kind is None for kind in kinds),
    )


def checked(patterns: Iterable[Pattern], sink: list[Diagnostic]) -> tuple[str, ...]:
    """Names and globs over names as texts; characters that are no wildcards here are reported."""
    found = tuple(patterns)
    for pattern in found:
        _report(pattern, names.refused(pattern.text), sink)
    return tuple(pattern.text for pattern in found)


def _optional(patterns: tuple[Pattern, ...] | None, sink: list[Diagnostic]) -> Names | None:
    return None if patterns is None else Names(checked(patterns, sink))


def _report(pattern: Pattern, bad: str | None, sink: list[Diagnostic]) -> None:
    if bad is not None:
        message = f"`{bad}` is not allowed in a glob"
        sink.append(error(Code.BAD_GLOB, pattern.span, message, "only `*` is a wildcard"))


def _resources(patterns: tuple[Pattern, ...] | None, sink: list[Diagnostic]) -> tuple[resources.Pattern, ...] | None:
    if patterns is None:
        return None
    checks = []
    for pattern in patterns:
        bad = refused_in_glob(pattern.text)
        _report(pattern, bad, sink)
        why = resource_patterns.never_matches(pattern.text) if bad is None else None
        if why is not None:
            message = f"no resource has a URI that {quote(pattern.text)} matches"
            sink.append(error(Code.BAD_RESOURCE, pattern.span, message, why))
        elif bad is None:
            checks.append(resources.pattern(pattern.text))
    return tuple(checks)


# --- risk, traits, annotations ----------------------------------------------------------------------------------------


def compile_facts(selection: Selection, sink: list[Diagnostic]) -> Node | None:
    """What a tool must be known to be; unknown is a problem, and what is no tool has none of it."""
    parts = []
    if selection.risk is not None:
        parts.append(_fact("risk", _has_risk(Names(checked(selection.risk, sink)))))
    if selection.traits is not None:
        parts.append(_fact("traits", _has_trait(Names(checked(selection.traits, sink)))))
    if selection.annotations is not None:
        parts += [_fact(f"annotations.{name}", _is_annotated(name, wanted)) for name, wanted in _items(selection)]
    return every_part(parts) if parts else None


def has_no_facts(selection: Selection) -> bool:
    """Whether nothing is asked of what a tool is known to be."""
    return selection.risk is None and selection.traits is None and selection.annotations is None


def _items(selection: Selection) -> list[tuple[str, bool]]:
    annotations: Mapping[str, bool] = selection.annotations or {}
    return sorted(annotations.items())


def _fact(field: str, read: Callable[[Context], bool | None]) -> Node:
    unknown = missing(field)

    def truth(ctx: Context) -> Truth:
        if ctx.question.call.method != TOOLS:
            return False
        answer = read(ctx)
        return unknown if answer is None else answer

    path = tuple(field.split("."))

    def possible(ctx: Context) -> int:
        is_open = ctx.question.call.method == TOOLS and ctx.unknown.touches(path)
        return ANYTHING if is_open else of(truth(ctx))

    return Node(truth, possible, lambda ctx: () if truth(ctx) is True else (field,), frozenset((path,)))


def _has_risk(wanted: Names) -> Callable[[Context], bool | None]:
    def read(ctx: Context) -> bool | None:
        risk = ctx.question.risk
        return None if risk is None else wanted.match(risk)

    return read


def _has_trait(wanted: Names) -> Callable[[Context], bool | None]:
    def read(ctx: Context) -> bool | None:
        traits = ctx.question.traits
        return None if traits is None else any(map(wanted.match, traits))

    return read


def _is_annotated(name: str, wanted: bool) -> Callable[[Context], bool | None]:
    """A server's own word for its tools counts only where the configuration trusts it."""

    def read(ctx: Context) -> bool | None:
        question = ctx.question
        if question.annotations is None or not question.server.trust_annotations:
            return None
        said = question.annotations.get(name)
        return said is wanted if isinstance(said, bool) else None

    return read
