"""Pure: what a policy file says, as frozen values with positions; nothing here is resolved or compiled yet.

`parse` makes these from text, `compile` makes matchers of them. Must not know YAML nor how anything is evaluated.
Shapes and defaults are those of the policy language's specification (docs/policy-reference.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal, TypeAlias

from policylayer.core.call import Json, Unwrap
from policylayer.core.decision import Effect
from policylayer.core.immutable import immutable

Scalar: TypeAlias = str | int | float | bool
Path: TypeAlias = tuple[str, ...]
"""A condition path cut at its dots, quotes removed: `args.a."b.c"` is `("args", "a", "b.c")`."""


@immutable
class Span:
    """Where something stands: file relative to the policy folder, line and column from 1."""

    file: str
    line: int
    column: int


@immutable
class Ref:
    """`{ref: path}`: another path's value."""

    path: Path
    span: Span


@immutable
class Matcher:
    """One matcher of a mapping: its name and operand.

    `value` is a scalar, a tuple of scalars, a `Ref`, a bool (`exists`), a mapping of nested matchers as a tuple of
    `Matcher` (`length`, `decimal`), an `Every` operand (`every`, `some`), or a raw JSON value (`schema`).
    """

    name: str
    value: object
    span: Span
    parts: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    """Where each literal of a list stands."""

    def placed(self) -> tuple[tuple[Any, Span], ...]:
        """The literals, each with its place."""
        literals = self.value if isinstance(self.value, tuple) else (self.value,)
        places = self.parts if len(self.parts) == len(literals) else (self.span,) * len(literals)
        return tuple(zip(literals, places, strict=True))


@immutable
class Test:
    """A path with the matchers that its value must meet, all of them. `absent` and `ignore_case` belong to the path."""

    path: Path
    matchers: tuple[Matcher, ...]
    span: Span
    absent: Literal["match", "no_match"] | None = None
    ignore_case: bool = False


@immutable
class Each:
    """The operand of `every` and `some`: matchers on the element, or conditions whose paths begin with `item`."""

    element: Test | None = None
    condition: Condition | None = None


@immutable
class All:
    """True if all parts are; a `when` mapping is an `All`."""

    parts: tuple[Condition, ...]


@immutable
class Any_:
    """True if any part is."""

    parts: tuple[Condition, ...]


@immutable
class Not:
    """True if its part is false."""

    part: Condition


@immutable
class During:
    """A weekly window on a zone's wall clock; `between` in minutes of the day, days 0 (Monday) to 6.

    `zone` is as written: `compile` reports one that there is not.
    """

    days: frozenset[int]
    between: tuple[int, int] | None
    zone: str
    span: Span


@immutable
class Bound:
    """`after` <= t or t < `before`, microseconds since 1970."""

    kind: Literal["after", "before"]
    at_us: int
    span: Span


Leaf: TypeAlias = Test | During | Bound
Condition: TypeAlias = All | Any_ | Not | Leaf


def leaves(condition: Condition | None, odd: bool = False) -> Iterator[tuple[Leaf, bool]]:
    """What a condition is made of, each with whether it stands under an odd number of `not`s; `every` and `some` are
    not looked into."""
    match condition:
        case None:
            return
        case All(parts) | Any_(parts):
            for part in parts:
                yield from leaves(part, odd)
        case Not(part):
            yield from leaves(part, not odd)
        case _:
            yield condition, odd


def tests_of(condition: Condition | None) -> Iterator[Test]:
    """The tests among the leaves."""
    return (leaf for leaf, _ in leaves(condition) if isinstance(leaf, Test))


def all_tests_of(condition: Condition | None) -> Iterator[Test]:
    """The same, and behind each those on the elements of `every` and `some`."""
    for test in tests_of(condition):
        yield test
        for matcher in test.matchers:
            if isinstance(matcher.value, Each):
                yield from all_tests_of(matcher.value.element)
                yield from all_tests_of(matcher.value.condition)


@immutable
class Pattern:
    """One glob or exact name of a selector, with its place."""

    text: str
    span: Span


@immutable
class Selection:
    """Targets (alternatives) and selectors (conjoined) of a rule or an except block. None: not written."""

    tools: tuple[Pattern, ...] | None = None
    prompts: tuple[Pattern, ...] | None = None
    resources: tuple[Pattern, ...] | None = None
    methods: tuple[Pattern, ...] | None = None
    principals: tuple[Pattern, ...] | None = None
    on_behalf_of: tuple[Pattern, ...] | None = None
    servers: tuple[Pattern, ...] | None = None
    risk: tuple[Pattern, ...] | None = None
    traits: tuple[Pattern, ...] | None = None
    annotations: Mapping[str, bool] | None = None
    when: Condition | None = None


@immutable
class Approval:
    """A require_approval rule's demands; `expires` in seconds."""

    approvers: tuple[Pattern, ...] = ()
    quorum: int = 1
    expires: int | None = None
    note_required: bool = False
    each_round: bool = False


BY: tuple[Path, ...] = (("principal", "id"),)
"""What a limit counts by, where nothing is said."""


@immutable
class Limit:
    """One limit: 1 a call, or the value at `sum`. `per` in seconds; `name` is set for the file's named limits."""

    max: Decimal
    per: int
    span: Span
    name: str | None = None
    sum: Path | None = None
    decimal: bool = False
    by: tuple[Path, ...] = BY
    over: Literal["deny", "require_approval"] = "deny"


@immutable
class ResultPath:
    """A redact or mask path: segments, where `*` is one step and `**` any number; `text` as written."""

    text: str
    segments: Path
    span: Span


@immutable
class MaskRule:
    """One mask: by path, by a named pattern, or by an RE2 expression."""

    span: Span
    path: ResultPath | None = None
    pattern: str | None = None
    regex: str | None = None


@immutable
class Rule:
    """One rule. `effect` None: it only adds limits and obligations. `limits` holds names and inline limits."""

    id: str
    span: Span
    selection: Selection
    effect: Effect | None
    except_: tuple[Selection, ...] = ()
    approval: Approval | None = None
    limits: tuple[str | Limit, ...] = ()
    label: tuple[str, ...] = ()
    earn: Mapping[str, int] = field(default_factory=dict)
    redact: tuple[ResultPath, ...] = ()
    mask: tuple[MaskRule, ...] = ()
    cap: int | None = None
    reason: str | None = None
    instead: str | None = None
    list: bool = False


@immutable
class AppliesTo:
    """Whom and what a file, or a folder's scope.yaml, concerns."""

    principals: tuple[Pattern, ...]
    servers: tuple[Pattern, ...]
    span: Span


@immutable
class Policy:
    """One policy file. `scopes` are the scope.yaml of its folder and those above, all of which it is under."""

    name: str
    span: Span
    applies_to: AppliesTo
    rules: tuple[Rule, ...]
    scopes: tuple[AppliesTo, ...] = ()
    description: str | None = None
    observe: bool = False
    limits: Mapping[str, Limit] = field(default_factory=dict)
    redact: tuple[ResultPath, ...] = ()


@immutable
class Member:
    """A group's member; `until_us` microseconds since 1970, None: for good."""

    name: str
    span: Span
    until_us: int | None = None


@immutable
class Directory:
    """principals.yaml: declared attributes, principals with owner and attributes, groups, token issuers."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    principals: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)
    issuers: tuple[str, ...] = ()
    span: Span | None = None


# --- tests ------------------------------------------------------------------------------------------------------------


@immutable
class TestSubject:
    """Who a test's call is made by or for; `groups` (with their `group:`) add to those of principals.yaml."""

    __test__: ClassVar[bool] = False
    id: str
    span: Span
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Json] = field(default_factory=dict)


@immutable
class TestCall:
    """What a test calls: `kind` says what `name` is. `arguments` are the params where kind is `method`."""

    __test__: ClassVar[bool] = False
    server: str
    kind: Literal["tool", "prompt", "resource", "method"]
    name: str
    span: Span
    arguments: Mapping[str, Json] = field(default_factory=dict)


@immutable
class Fixture:
    """What a test file says of a server instead of the configuration."""

    cwd: str | None = None
    mode: Literal["enforce", "observe"] = "enforce"
    unwrap: tuple[Unwrap, ...] = ()


@immutable
class Expected:
    """What a test expects. None: not asked. `rules` are `policy/rule`, in any order; `()` is none at all."""

    effect: Effect
    span: Span
    rules: tuple[str, ...] | None = None
    reason_code: str | None = None
    places: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)
    """Where each rule is named."""


@immutable
class TestCase:
    """One test of a `*_test.yaml` file. `limits` maps `policy/limit` or `policy/rule#n` to what is used so far."""

    __test__: ClassVar[bool] = False
    name: str
    span: Span
    subject: TestSubject
    call: TestCall
    expected: Expected
    on_behalf_of: TestSubject | None = None
    at: datetime | None = None
    labels: frozenset[str] = frozenset()
    limits: Mapping[str, Decimal] = field(default_factory=dict)
    ip: str | None = None
    client: str | None = None
    protocol: str | None = None
    input: Mapping[str, Json] = field(default_factory=dict)
    approved: frozenset[str] = frozenset()
    servers: Mapping[str, Fixture] = field(default_factory=dict)
    places: Mapping[str, Span] = field(default_factory=dict, compare=False, repr=False)
    """Where each limit, and each rule that is approved, is named."""
