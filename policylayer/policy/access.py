"""Pure: what a principal may do with a tool, whatever the call: always, never, held, or depending on what.

Each cell is one question of which everything is open but the names: possible effects, the rules that give them, and the
fields on which it hangs (`partial`). A name with `*` stands for any other name that it covers, and no more special one
does. Must not know which names there are (`access_names`), nor how cells are shown (`access_shown`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from policylayer.core.call import Call, Json, Question, ServerFacts, Subject
from policylayer.core.decision import Effect, RuleRef
from policylayer.core.immutable import immutable
from policylayer.policy import ast, names, written
from policylayer.policy.ast import Path
from policylayer.policy.foreign import compile_scope
from policylayer.policy.load import Loaded
from policylayer.policy.recorded import ANNOTATIONS, OF_TOOLS, PROTOCOL
from policylayer.policy.rules import CompiledRule, Scope
from policylayer.policy.selectors import TOOLS
from policylayer.policy.values import Unknown

OTHER: Final = "\ue000"
"""In the place of a `*`: what nobody's name holds."""

VARIES: Final[tuple[Path, ...]] = (("args",), ("input",), ("session",), ("request",), *OF_TOOLS)
"""What differs from call to call; the time too, where none is given."""

Word = Literal["allow", "deny", "require_approval", "depends"]


@immutable
class Cell:
    """Who, for whom, and what is called. Names may hold a `*`."""

    principal: str
    user: str | None
    server: str
    tool: str


@immutable
class Reason:
    """A rule with an effect that it has or may have there; `said` is what it asks of such calls, as written."""

    ref: RuleRef
    effect: Effect
    certain: bool
    limits: tuple[str, ...]
    said: str


@immutable
class Access:
    """What may become of such calls. `rego` are the files of Rego that have a say, which is not asked here."""

    cell: Cell
    effects: frozenset[Effect]
    fields: tuple[str, ...]
    reasons: tuple[Reason, ...]
    rego: tuple[str, ...] = ()
    observed: bool = False

    @property
    def word(self) -> Word:
        """The one effect, or `depends`."""
        if len(self.effects) > 1:
            return "depends"
        (effect,) = self.effects
        return effect.value

    @property
    def is_open(self) -> bool:
        """Whether some call may pass, or be held."""
        return self.effects != {Effect.DENY}

    @property
    def otherwise(self) -> bool:
        """Whether calls are denied that no rule matches: nothing is certain of all of them."""
        return Effect.DENY in self.effects and not any(each.certain for each in self.reasons)


@immutable
class World:
    """What is known beside the policies: servers, hints of their tools, groups that credentials add, the time.

    `at` None: any time, and groups as held `now`. `elsewhere`: another engine is configured beside the files.
    """

    now: datetime
    at: datetime | None = None
    facts: Mapping[str, ServerFacts] | None = None
    hints: Mapping[tuple[str, str], Mapping[str, Json]] | None = None
    groups: frozenset[str] = frozenset()
    elsewhere: bool = False


class Asking:
    """One policy set, asked cell by cell."""

    def __init__(self, loaded: Loaded, world: World) -> None:
        assert loaded.policy_set is not None
        self._set = loaded.policy_set
        self._world = world
        self._rules = {rule.ref: rule for rule in self._set.compiled}
        self._said = {(policy.name, rule.id): (policy, rule) for policy in loaded.policies for rule in policy.rules}
        self._rego: dict[tuple[Scope, ...], tuple[str, ...]] = {}
        units: dict[tuple[ast.AppliesTo, ...], list[str]] = {}
        for file, scopes in sorted(loaded.rego.items()):
            units.setdefault(scopes, []).append(file)
        for scopes, files in units.items():
            self._rego[tuple(map(compile_scope, scopes))] = tuple(files)

    def access(self, cell: Cell) -> Access:
        """What may become of such calls."""
        question = self._question(cell)
        files = tuple(
            file
            for scopes, files in self._rego.items()
            if self._set.covers(scopes, question, None)
            for file in files
            if not file.endswith("_test.rego")
        )
        engine = bool(files) or self._world.elsewhere
        outlook = self._set.outlook(question, self._unknown(cell, question, engine))
        reasons = tuple(
            Reason(says.ref, says.effect, says.certain, *self._asks(says.ref, question)) for says in outlook.rules
        )
        observed = question.server.mode == "observe"
        return Access(cell, outlook.effects, outlook.fields, reasons, files, observed)

    def _question(self, cell: Cell) -> Question:
        world, server, tool = self._world, _any(cell.server), _any(cell.tool)
        known = (world.facts or {}).get(cell.server) or ServerFacts(server)
        return Question(
            Call(server, TOOLS, tool, {}, b"", b"", PROTOCOL),
            Subject(_any(cell.principal), world.groups),
            known,
            world.at or world.now,
            None if cell.user is None else Subject(_any(cell.user)),
            annotations=(world.hints or {}).get((cell.server, cell.tool)),
        )

    def _unknown(self, cell: Cell, question: Question, engine: bool) -> Unknown:
        world = self._world
        known = cell.server in (world.facts or {})
        believed = known and (question.annotations is not None or not question.server.trust_annotations)
        stand_in = (("principal", cell.principal), ("for", cell.user), ("server", cell.server), ("target", cell.tool))
        paths: list[Path] = [(root,) for root, name in stand_in if name is not None and names.is_glob(name)]
        paths += [("time",)] if world.at is None else []
        paths += [] if believed else [ANNOTATIONS]
        return Unknown((*VARIES, *paths), cwd=not known, engine=engine)

    def _asks(self, ref: RuleRef, question: Question) -> tuple[tuple[str, ...], str]:
        """The limits that a rule counts, and all else that it asks of such calls."""
        policy, rule = self._said[ref.policy, ref.rule]
        compiled = self._rules[ref]
        limits = tuple(plan.counter for plan in compiled.limits)
        return limits, "; ".join(
            _parts(policy, rule, compiled, question, self._set.asker_of(self._set.context(question)))
        )


def _any(name: str) -> str:
    """A name in the place of all that a pattern covers."""
    return name.replace("*", OTHER) if names.is_glob(name) else name


def _parts(policy: ast.Policy, rule: ast.Rule, compiled: CompiledRule, question: Question, asker: Any) -> Iterator[str]:
    """What a rule says beyond names, as far as it concerns such calls: for telling whether it has changed."""
    yield from _selection(rule.selection)
    for block, selector in zip(rule.except_, compiled.excepts, strict=True):
        if compiled.excused_by(selector, asker, question.call) is not False:
            yield f"except: {', '.join(_selection(block)) or 'always'}"
    for limit in rule.limits:
        found = policy.limits.get(limit) if isinstance(limit, str) else limit
        if found is not None:
            yield f"limit: {written.limit(found)}"
    if rule.approval is not None and (asked := written.approval(rule.approval)):
        yield f"approval: {asked}"


def _selection(selection: ast.Selection) -> Iterable[str]:
    if selection.when is not None:
        yield f"when: {written.condition(selection.when)}"
    for name, wanted in sorted((selection.annotations or {}).items()):
        yield f"{name}: {str(wanted).lower()}"
    for name, patterns in (("risk", selection.risk), ("traits", selection.traits)):
        if patterns is not None:
            yield f"{name}: {written.names(patterns)}"
