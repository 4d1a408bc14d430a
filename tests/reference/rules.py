"""Whether a rule is about a question: file, target, selectors, `when`, `except`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.reference.conditions import mapping
from tests.reference.globs import name_matches, text_matches
from tests.reference.places import may_expand, resource_forms
from tests.reference.truth import FALSE, TRUE, UNKNOWN, Truth, all_, any_, missing, not_, truth, wrong
from tests.reference.world import GONE, RESOURCE_METHODS, Person, World

OF_TOOLS = ("risk", "traits", "annotations")


class Rule(NamedTuple):
    """A rule with the file it stands in and the scopes above it."""

    file: Mapping[str, Any]
    said: Mapping[str, Any]
    scopes: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """`policy/id`."""
        return f"{self.file['policy']}/{self.said['id']}"

    @property
    def effect(self) -> str | None:
        """None where the rule only adds limits and obligations."""
        return self.said.get("effect")

    @property
    def observed(self) -> bool:
        """Whether its file is in observe mode."""
        return self.file.get("mode") == "observe"


def rule_truth(world: World, rule: Rule) -> Truth:
    """The conjunction of all that the rule says."""
    said, there = rule.said, reach(world, rule)
    if there.must("false"):
        return FALSE
    blocks = [_block(world, rule, block) for block in said.get("except", ())]
    return all_([there, mapping(world, said.get("when", {})), not_(any_(blocks))])


def reach(world: World, rule: Rule) -> Truth:
    """All of a rule but `when` and `except`: where it stands, its target, its selectors."""
    said, kind = rule.said, _kind(rule)
    return all_(
        [
            _who(world, rule),
            _servers(world, rule.file["applies_to"]["servers"]),
            *(_servers(world, scope["servers"]) for scope in rule.scopes),
            _target(world, said, kind),
            *_selectors(world, said),
        ]
    )


def _kind(rule: Rule) -> str:
    return "allow" if rule.effect == "allow" else "other"


# --- who --------------------------------------------------------------------------------------------------------------


def _who(world: World, rule: Rule) -> Truth:
    said, actor, user = rule.said, world.actor, world.user
    own = said.get("principals", ["*"])
    file, scopes = rule.file["applies_to"]["principals"], [scope["principals"] for scope in rule.scopes]
    if "for" in said:
        if user is None:
            return FALSE
        both = all if rule.effect == "allow" else any
        answers = [_is(actor, own), _is(user, said["for"]), _either(world, file)]
        return truth(all(answers) and all(both([_is(actor, one), _is(user, one)]) for one in scopes))
    if rule.effect == "allow":
        return truth(user is None and all(_is(actor, one) for one in [own, file, *scopes]))
    return truth(all(_either(world, one) for one in [own, file, *scopes]))


def _either(world: World, names: Any) -> bool:
    return _is(world.actor, names) or (world.user is not None and _is(world.user, names))


def _is(person: Person, names: Any) -> bool:
    """Whether a list of names and globs holds a person, or a group of theirs."""
    for name in [names] if isinstance(names, str) else names:
        if name.startswith("group:"):
            if any(name_matches(name, group) for group in person.groups):
                return True
        elif name_matches(name, person.id):
            return True
    return False


def applies(world: World, rule: Rule) -> bool:
    """Whether a call is its file's, as a rule without effect looks at it."""
    said = [rule.file["applies_to"], *rule.scopes]
    return all(_either(world, one["principals"]) and _named(one["servers"], world.server) for one in said)


# --- what -------------------------------------------------------------------------------------------------------------


def _servers(world: World, names: Any) -> Truth:
    return truth(_named(names, world.server))


def _named(patterns: Any, name: str) -> bool:
    return any(name_matches(pattern, name) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def _target(world: World, said: Mapping[str, Any], kind: str) -> Truth:
    """Alternatives; a block without any is about every call, a rule about every tool."""
    found: list[Truth] = []
    for key, method in (("tools", "tools/call"), ("prompts", "prompts/get")):
        if key in said:
            found.append(truth(world.method == method and world.target is not None and _named(said[key], world.target)))
    if "methods" in said:
        found.append(truth(_named(said["methods"], world.method)))
    if "resources" in said:
        found.append(_resources(world, said["resources"]))
    if found:
        return any_(found)
    return TRUE if kind == "block" else truth(world.method == "tools/call")


def _resources(world: World, patterns: list[str]) -> Truth:
    if world.method not in RESOURCE_METHODS:
        return FALSE
    if world.template:
        return UNKNOWN if any(may_expand(world.target or "", _lowered(one)) for one in patterns) else FALSE
    if world.forms is None:
        return wrong("target")
    answers = {any(text_matches(_lowered(one), form) for one in patterns) for form in world.forms}
    return truth(answers.pop()) if len(answers) == 1 else wrong("target")


def _lowered(pattern: str) -> str:
    """A pattern in the normal form: scheme and authority in lower case, without a final `/`; whole if it is a URI."""
    forms = resource_forms(pattern) if "*" not in pattern else None
    if forms and len(set(forms)) == 1:
        return forms[0]
    head, separator, rest = pattern.partition("://")
    authority, slash, path = rest.partition("/")
    lowered = f"{head.lower()}{separator}{authority.lower()}{slash}{path}"
    return lowered if lowered == "file:///" else lowered.removesuffix("/")


def _selectors(world: World, said: Mapping[str, Any]) -> Iterable[Truth]:
    """`servers`, and what is about tools."""
    if "servers" in said:
        yield _servers(world, said["servers"])
    if any(key in said for key in OF_TOOLS) and world.method != "tools/call":
        yield FALSE
        return
    for key in ("risk", "traits"):
        if key in said:
            yield _known(world.question.get(key), said[key], key)
    if "annotations" in said:
        yield all_(_hint(world, key, value) for key, value in said["annotations"].items())


def _known(there: Any, wanted: list[str], field: str) -> Truth:
    if there is None:
        return missing(field)
    return truth(bool({there} & set(wanted) if isinstance(there, str) else set(there) & set(wanted)))


def _hint(world: World, key: str, wanted: bool) -> Truth:
    hints = (world.question.get("annotations") or {}) if world.question.get("trust_annotations") else {}
    there = hints.get(key, GONE)
    if there is GONE or there is None:
        return missing(f"annotations.{key}")
    return truth(there is wanted) if isinstance(there, bool) else missing(f"annotations.{key}")


def excused_by_names(world: World, rule: Rule) -> bool:
    """Whether a block of `except` without conditions says that the call is not the rule's."""
    plain = [block for block in rule.said.get("except", ()) if not set(block) & {"when", *OF_TOOLS}]
    return any(_block(world, rule, block).must("true") for block in plain)


# --- except -----------------------------------------------------------------------------------------------------------


def _block(world: World, rule: Rule, block: Mapping[str, Any]) -> Truth:
    parts = [_target(world, block, "block"), *_selectors(world, block), mapping(world, block.get("when", {}))]
    if "principals" in block:
        direct_only = rule.effect != "allow" and "for" not in block
        parts.append(truth(_is(world.actor, block["principals"]) and not (direct_only and world.user is not None)))
    if "for" in block:
        parts.append(truth(world.user is not None and _is(world.user, block["for"])))
    return all_(parts)
