"""Conditions as values: paths, matchers, combiners, elements of lists, times."""

from __future__ import annotations

import pytest

from policylayer.policy import ast
from policylayer.policy.dotted import cut
from policylayer.policy.parse_matchers import NAMES
from tests.policy.parsed import codes_of_rule, when


def matchers(conditions: str) -> dict[str, object]:
    """The matchers of the one test in a condition mapping."""
    test = when(conditions)
    assert isinstance(test, ast.Test)
    return {matcher.name: matcher.value for matcher in test.matchers}


def refused(conditions: str) -> list[str]:
    """The codes of what is wrong with a condition mapping."""
    return codes_of_rule(f"effect: allow, when: {{{conditions}}}")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("args", ("args",)),
        ("args.a-b_C.0", ("args", "a-b_C", "0")),
        ('args."a.b".c', ("args", "a.b", "c")),
        ('args.""', ("args", "")),
        ('args."a\\"', ("args", "a\\")),
        ('args."é *"', ("args", "é *")),
    ],
)
def test_paths(text: str, path: tuple[str, ...]) -> None:
    assert cut(text) == path


@pytest.mark.parametrize(
    "text",
    ["", ".", "args.", ".args", "a..b", "args.*", "args[0]", 'args."a', 'args.a"b"', "a b", "args.é", "args.a\n"],
)
def test_what_is_no_path(text: str) -> None:
    assert cut(text) is None


def test_wildcards_stand_in_redact_and_mask_only() -> None:
    assert cut("args.*.a.**", wild=True) == ("args", "*", "a", "**")
    assert cut("args.***", wild=True) is None
    assert cut("args.a*", wild=True) is None


@pytest.mark.parametrize(
    "path",
    [
        *("args", "args.a", "input.q", "input.q.a", "server", "method", "target", "session.labels"),
        *("principal.id", "principal.kind", "principal.groups", "principal.owner", "principal.tenant"),
        *("for.id", "for.projects", "request.ip", "request.client", "request.protocol"),
    ],
)
def test_every_path_there_is(path: str) -> None:
    if path != "request.client":
        assert when(f"{path}: {{exists: true}}").path == tuple(path.split("."))
    assert refused(f"{path}: {{exists: true}}") == (["PL156"] if path == "request.client" else [])


@pytest.mark.parametrize(
    "path",
    [
        "arg",
        "input",
        "principal",
        "principal.id.x",
        "for",
        "server.x",
        "session",
        "session.labels.x",
        "request",
        "request.ip.x",
        "time.x",
        "item",
        "item.x",
        "env.SECRET",
        "args__class__.x",
        "tool",
    ],
)
def test_there_is_no_other_path(path: str) -> None:
    assert refused(f"{path}: {{exists: true}}") == ["PL161"]
    assert refused(f"args.x: {{eq: {{ref: {path}}}}}") == ["PL161"]


def test_a_scalar_is_eq() -> None:
    assert matchers("args.a: 5") == {"eq": 5}
    assert matchers("args.a: text") == {"eq": "text"}
    assert matchers("args.a: true") == {"eq": True}
    assert matchers("args.a: 0.5") == {"eq": 0.5}


def test_operands() -> None:
    assert matchers("args.a: {in: [a, b], neq: c}") == {"in": ("a", "b"), "neq": "c"}
    assert matchers("args.a: {in: [1, 2.5]}") == {"in": (1, 2.5)}
    assert matchers("args.a: {contains: x, glob: [a, b*]}") == {"contains": ("x",), "glob": ("a", "b*")}
    assert matchers("args.a: {keys: []}") == {"keys": ()}
    assert matchers("args.a: {schema: {type: object, properties: {}, enum: [null, []]}}") == {
        "schema": {"type": "object", "properties": {}, "enum": [None, []]}
    }
    ref = matchers("args.a: {lt: {ref: args.b.c}}")["lt"]
    assert isinstance(ref, ast.Ref)
    assert ref.path == ("args", "b", "c")


def test_nested_numeric_matchers() -> None:
    length = matchers("args.a: {length: {gte: 1, in: [1, 2]}}")["length"]
    assert isinstance(length, tuple)
    assert [(one.name, one.value) for one in length] == [("gte", 1), ("in", (1, 2))]
    decimal = matchers("args.a: {decimal: {lt: {ref: args.b}}}")["decimal"]
    assert isinstance(decimal, tuple)
    assert decimal[0].value.path == ("args", "b")


def test_what_belongs_to_the_path() -> None:
    test = when("args.a: {eq: x, absent: no_match, ignore_case: true}")
    assert (test.absent, test.ignore_case) == ("no_match", True)
    assert [matcher.name for matcher in test.matchers] == ["eq"]
    assert when("args.a: {eq: x, ignore_case: false}").ignore_case is False


def test_elements_by_matchers_by_scalar_and_by_conditions() -> None:
    every = matchers("args.a: {every: {gt: 5, absent: match}}")["every"]
    assert isinstance(every, ast.Each)
    assert every.element is not None
    assert (every.element.path, every.element.absent) == (("item",), "match")
    some = matchers("args.a: {some: x}")["some"]
    assert isinstance(some, ast.Each)
    assert some.element is not None
    assert some.element.matchers[0].value == "x"
    about = matchers("args.a: {some: {item.k: {eq: {ref: item.v}}, any: [{item: x}]}}")["some"]
    assert isinstance(about, ast.Each)
    assert isinstance(about.condition, ast.All)
    assert [type(part) for part in about.condition.parts] == [ast.Test, ast.Any_]


def test_combiners() -> None:
    condition = when("any: [{args.a: 1, args.b: 2}, {not: {args.c: 3}}]")
    assert isinstance(condition, ast.Any_)
    first, second = condition.parts
    assert isinstance(first, ast.All)
    assert isinstance(second, ast.All)
    assert isinstance(second.parts[0], ast.Not)


def test_times() -> None:
    times = when(
        'time: {during: {days: [mon, fri], between: ["22:00", "06:30"], zone: Europe/Berlin},'
        ' after: "2026-12-01T01:00:00+01:00", before: "1970-01-01T01:00:00.5+01:00"}'
    )
    during, after, before = times.parts
    assert (during.days, during.between, during.zone) == (frozenset({0, 4}), (1320, 390), "Europe/Berlin")
    assert (after.kind, after.at_us) == ("after", 1796083200_000_000)
    assert (before.kind, before.at_us) == ("before", 500_000)
    whole = when("time: {during: {zone: UTC}}").parts[0]
    assert (whole.days, whole.between) == (frozenset(range(7)), None)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01",
        "2026-12-01T00:00:00",
        "2026-12-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-12-01T24:00:00Z",
        "2026-12-01T00:00:60Z",
        "2026-12-01T00:00Z",
        "2026-12-01T00:00:00+1",
        "2026-12-01T00:00:00.1234567Z",
        "0001-01-01T00:00:00+14:00",
        "1970-01-01T00:00:00+00:01",
        "9001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert refused(f'time: {{after: "{text}"}}') == ["PL126"]


def test_every_matcher_takes_absent_but_exists() -> None:
    operands = {
        "in": "[1]",
        "not_in": "[1]",
        "decimal": "{gt: 1}",
        "length": "{gt: 1}",
        "type": "string",
        "keys": "[a]",
    }
    operands |= {"within": "/a", "path_glob": "/a", "url_glob": '"https://a/b"', "cidr": "10.0.0.0/8"}
    operands |= {"schema": "{type: string}", "every": "1", "some": "1"}
    for name in NAMES:
        operand = operands.get(name, "1" if name in ("eq", "neq", "lt", "lte", "gt", "gte") else "a")
        operand = "true" if name == "exists" else operand
        expected = ["PL166"] if name == "exists" else []
        assert refused(f"args.a: {{{name}: {operand}, absent: match}}") == expected, name
        assert refused(f"args.a: {{{name}: {operand}}}") == [], name
        assert refused(f"args.a: {{{name}: null}}") != [], name


@pytest.mark.parametrize("name", NAMES)
def test_no_operand_is_empty(name: str) -> None:
    assert refused(f"args.a: {{{name}: {{}}}}") != [] or name == "schema"
    assert (refused(f"args.a: {{{name}: []}}") == []) is (name == "keys")


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        ("args.a: null", "PL165"),
        ("args.a: [x]", "PL163"),
        ("args.a: {}", "PL122"),
        ("args.a: {in: [1, a]}", "PL164"),
        ("args.a: {in: [true, 1]}", "PL164"),
        ("args.a: {exists: false, gt: 1}", "PL166"),
        ("args.a: {absent: match}", "PL166"),
        ("args.a: {gt: 1, ignore_case: true}", "PL169"),
        ("args.a: {glob: 'a?'}", "PL170"),
        ("args.a: {within: a}", "PL171"),
        ("args.a: {within: /a/../b}", "PL171"),
        ("args.a: {path_glob: a/*}", "PL171"),
        ("args.a: {matches: '(?i)a'}", "PL172"),
        ("args.a: {matches: '\\p{L}', ignore_case: true}", "PL172"),
        ("args.a: {host: 'a*b'}", "PL173"),
        ("args.a: {cidr: 10.0.0.1/8}", "PL174"),
        ("args.a: {schema: {type: strin}}", "PL175"),
        ("args.a: {regex: x}", "PL162"),
        ("principal.groups: {contains: x}", "PL167"),
        ("principal.projects: {contains: x}", "PL167"),
        ("time: {during: {days: [mon]}}", "PL121"),
        ('time: {during: {between: ["09:00", "09:00"], zone: UTC}}', "PL168"),
        ('time: {during: {between: ["09:00", "24:00"], zone: UTC}}', "PL168"),
        ("time: {during: {zone: Europe/Nowhere}}", "PL176"),
        ("time: 5", "PL120"),
        ("not: [{args.a: 1}]", "PL120"),
        ("all: []", "PL122"),
        ("any: [{}]", "PL122"),
    ],
)
def test_what_is_refused(conditions: str, code: str) -> None:
    assert refused(conditions) == [code]


def test_path_globs_may_begin_anywhere() -> None:
    assert refused("args.a: {path_glob: ['/**/x', '**/x']}") == []


def test_a_deep_condition_is_read() -> None:
    deep = "not: {" * 30 + "args.a: 1" + "}" * 30
    assert refused(deep) == []
