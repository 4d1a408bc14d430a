"""Pure: that what a rule about resources compares `target` with is a URI as it is compared: in its normal form.

`target` is a resource's URI in its normal form, so another spelling never equals it: a deny would do nothing, and an
allow that says `neq` would let everything through. Patterns of `resources` are checked where they are compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from policylayer.policy import ast, resource_patterns, resources
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote
from policylayer.policy.globs import refused
from policylayer.policy.matchers_scalar import fold

COMPARED: Final = ("eq", "neq", "in", "not_in")


def check_targets(policies: Sequence[ast.Policy], sink: list[Diagnostic]) -> None:
    """Report literals that no resource's URI equals."""
    for policy in policies:
        for rule in policy.rules:
            for block in (rule.selection, *rule.except_):
                if _is_about_resources(block, rule.selection):
                    sink.extend(_never(block.when))


def _is_about_resources(block: ast.Selection, rule: ast.Selection) -> bool:
    """Whether every target is a resource; a block without targets of its own is about those of its rule."""
    own = (block.tools, block.prompts, block.resources, block.methods)
    selection = rule if all(kind is None for kind in own) else block
    if selection.tools is not None or selection.prompts is not None:
        return False
    methods = {pattern.text for pattern in selection.methods or ()}
    return (selection.resources is not None or bool(methods)) and methods <= resources.METHODS


def _never(condition: ast.Condition | None) -> Iterator[Diagnostic]:
    for test in ast.tests_of(condition):
        for matcher in test.matchers if test.path == ("target",) else ():
            for text, span in _texts(matcher):
                why = _why_never(matcher.name, text, test.ignore_case)
                if why is not None:
                    is_ = "has a URI that {} matches" if matcher.name == "glob" else "has the URI {}"
                    message = f"no resource {is_.format(quote(text))}"
                    yield error(Code.BAD_RESOURCE, span, message, why)


def _texts(matcher: ast.Matcher) -> Iterable[tuple[str, ast.Span]]:
    if matcher.name not in (*COMPARED, "glob"):
        return ()
    return [(text, span) for text, span in matcher.placed() if isinstance(text, str)]


def _why_never(name: str, text: str, ignore_case: bool) -> str | None:
    if name == "glob" and (ignore_case or refused(text)):
        return None
    if name == "glob" and "*" in text:
        normal = resources.normal_pattern(text)
        return resource_patterns.never_matches(text) if normal == text else f"write `{normal}`"
    if ignore_case and any(fold(reading) == fold(text) for reading in resources.readings(text) or ()):
        return None
    return resource_patterns.never_equals(text)
