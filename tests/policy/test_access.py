"""Access: what is told of a cell holds for every call in it, and what is said to be open on other terms is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from policylayer.core.call import ServerFacts, Unwrap
from policylayer.core.decision import Effect
from policylayer.policy.access import Access, Asking, Cell, World
from policylayer.policy.access_diff import Difference, differences, fails
from policylayer.policy.access_names import Known, Wanted, cells
from policylayer.policy.access_shown import as_json, difference_lines, lines
from policylayer.policy.load import Loaded
from tests.policy.cases import loaded, question_of
from tests.reference.pools import FIELDS
from tests.reference.random_calls import NOTHING, Calls
from tests.reference.random_sets import Sets

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL


def folder(*rules: dict[str, Any], name: str = "p", **more: Any) -> Loaded:
    """One policy of these rules, for everybody everywhere."""
    said = {"policy": name, "applies_to": {"principals": ["*"], "servers": ["*"]}, **more, "rules": list(rules)}
    people = {"principals": {"agent:a": {}, "agent:b": {}, "user:x": {}}, "groups": {"team": ["agent:a"]}}
    made = loaded({"p.yaml": json.dumps(said), "principals.yaml": json.dumps(people)})
    assert made.policy_set is not None, made.diagnostics
    return made


def ask(made: Loaded, cell: Cell, **world: Any) -> Access:
    return Asking(made, World(NOW, **world)).access(cell)


def cell(tool: str = "t", principal: str = "agent:a", user: str | None = None, server: str = "s") -> Cell:
    return Cell(principal, user, server, tool)


# --- of every call ----------------------------------------------------------------------------------------------------


def roots(fields: tuple[str, ...]) -> set[str]:
    """What varies in these fields, in the words of a case."""
    found = set()
    for field in fields:
        first, _, rest = field.partition(".")
        words = {"session": "labels", "request": rest, "time": "at", "args": rest.strip('"').split(".")[0]}
        found.add(words.get(first, first))
    return found


def varied(asked: dict[str, Any], kept: set[str], calls: Calls) -> dict[str, Any]:
    """The same call but for everything that is not kept."""
    fresh = calls.question([]) | calls.tool_facts()
    values = {field: asked["args"].get(field, NOTHING) if field in kept else calls.value(field) for field in FIELDS}
    made = {key: value for key, value in asked.items() if key in ("principal", "server", "tool", "for", "mode", "cwd")}
    for word in ("labels", "ip", "client", "at", "input", "risk", "traits", "annotations", "trust_annotations"):
        source = asked if word in kept | {"trust_annotations"} else fresh
        made |= {word: source[word]} if word in source else {}
    if "input" not in kept:
        made.pop("input", None)
    return made | {"args": {field: value for field, value in values.items() if value is not NOTHING}}


@pytest.mark.parametrize("seed", range(60))
def test_what_is_told_holds_for_every_call(seed: int) -> None:
    random = Random(f"access {seed}")
    sets, calls = Sets(random), Calls(random)
    made = loaded({name: json.dumps(said) for name, said in sets.files().items()})
    assert made.policy_set is not None
    for _ in range(25):
        asked = calls.question([])
        asked |= {"principal": calls.one(("agent:a", "agent:b", "user:x"))}
        asked |= {"for": "user:y"} if "for" in asked else {}
        if "tool" not in asked:
            continue
        facts = {asked["server"]: question_of(asked).server}
        told = ask(made, cell(asked["tool"], asked["principal"], asked.get("for"), asked["server"]), facts=facts)
        effect = made.policy_set.decide(question_of(asked)).effect
        assert effect in told.effects
        assert bool(told.fields) is (len(told.effects) > 1)
        for _ in range(4):
            other = varied(asked, roots(told.fields), calls)
            assert made.policy_set.decide(question_of(other)).effect is effect, told


def test_always_never_held_and_depending() -> None:
    made = folder(
        {"id": "a", "tools": ["open"], "effect": "allow"},
        {"id": "h", "tools": ["held"], "effect": "require_approval"},
        {"id": "d", "tools": ["shut"], "effect": "deny"},
        {"id": "some", "tools": ["some"], "effect": "allow", "when": {"args.x": {"lte": 5}}},
    )
    told = {tool: ask(made, cell(tool)) for tool in ("open", "held", "shut", "some", "other")}
    assert {tool: each.word for tool, each in told.items()} == {
        "open": "allow",
        "held": "require_approval",
        "shut": "deny",
        "some": "depends",
        "other": "deny",
    }
    assert told["some"].fields == ("args.x",)
    assert told["some"].otherwise
    assert [(each.ref.name, each.certain) for each in told["shut"].reasons] == [("p/d", True)]
    assert told["other"].reasons == ()


def test_delegated_calls_are_others() -> None:
    made = folder(
        {"id": "direct", "tools": ["t"], "effect": "allow"},
        {"id": "for", "tools": ["u"], "for": ["user:x"], "effect": "allow"},
    )
    assert ask(made, cell("t")).word == "allow"
    assert ask(made, cell("t", user="user:x")).word == "deny"
    assert ask(made, cell("u", user="user:x")).word == "allow"
    assert ask(made, cell("u")).word == "deny"


def test_the_time_is_open_unless_it_is_given() -> None:
    made = folder({"id": "a", "tools": ["t"], "effect": "allow", "when": {"time": {"before": "2026-12-01T00:00:00Z"}}})
    assert ask(made, cell()).fields == ("time",)
    assert ask(made, cell(), at=NOW).word == "allow"
    assert ask(made, cell(), at=datetime(2027, 1, 1, tzinfo=UTC)).word == "deny"


def test_hints_count_where_the_server_is_known_and_trusted() -> None:
    made = folder({"id": "a", "annotations": {"readOnlyHint": True}, "effect": "allow"})
    trusted, other = {"s": ServerFacts("s", trust_annotations=True)}, {"s": ServerFacts("s")}
    hints = {("s", "t"): {"readOnlyHint": True}, ("s", "u"): {}}
    assert ask(made, cell()).fields == ("annotations.readOnlyHint",)
    assert ask(made, cell(), facts=trusted).fields == ("annotations.readOnlyHint",)
    assert ask(made, cell(), facts=other, hints=hints).word == "deny"
    assert ask(made, cell(), facts=trusted, hints=hints).word == "allow"
    assert ask(made, cell("u"), facts=trusted, hints=hints).word == "deny"


def test_groups_that_credentials_add() -> None:
    made = folder({"id": "a", "tools": ["t"], "principals": ["group:team"], "effect": "allow"})
    assert ask(made, cell(principal="agent:b")).word == "deny"
    assert ask(made, cell(principal="agent:b"), groups=frozenset({"group:team"})).word == "allow"


def test_a_limit_that_reads_an_argument_may_deny() -> None:
    made = folder(
        {"id": "a", "tools": ["t"], "effect": "allow", "limits": [{"sum": "args.n", "max": 5, "per": "hour"}]},
        {"id": "b", "tools": ["u"], "effect": "allow", "limits": ["5/hour"]},
    )
    assert ask(made, cell()).fields == ("args.n",)
    told = ask(made, cell("u"))
    assert (told.word, told.reasons[0].limits) == ("allow", ("p/b#1",))


def test_a_tool_that_calls_others_depends_on_which() -> None:
    made = folder(
        {"id": "call", "tools": ["call"], "effect": "allow"},
        {"id": "held", "tools": ["ask"], "effect": "require_approval"},
    )
    hub = {"s": ServerFacts("s", unwrap=(Unwrap("call", ("args", "tool"), ("args", "with")),))}
    told = ask(made, cell("call"), facts=hub)
    assert (told.word, told.fields) == ("depends", ("args.tool", "args.with"))
    assert told.effects == {ALLOW, HOLD, DENY}
    assert ask(made, cell("ask"), facts=hub).word == "require_approval"
    assert ask(made, cell("other"), facts=hub).word == "deny"


# --- patterns, and other engines --------------------------------------------------------------------------------------


def test_a_pattern_stands_for_what_nobody_has_named() -> None:
    made = folder(
        {"id": "reads", "tools": ["get_*"], "effect": "allow"},
        {"id": "secret", "tools": ["get_secret"], "effect": "deny"},
        {"id": "others", "tools": ["other"], "principals": ["agent:*"], "effect": "allow"},
        {"id": "mine", "tools": ["own"], "effect": "allow", "when": {"principal.id": "agent:z"}},
        {"id": "named", "tools": ["say"], "effect": "allow", "when": {"target": {"starts_with": "s"}}},
    )
    assert ask(made, cell("get_*")).word == "allow"
    assert ask(made, cell("get_secret")).word == "deny"
    assert ask(made, cell("other", "agent:*")).word == "allow"
    assert ask(made, cell("other", "user:*")).word == "deny"
    assert ask(made, cell("own", "agent:*")).fields == ("principal.id",)
    assert ask(made, cell("own", "agent:a")).word == "deny"
    assert ask(made, cell("say")).word == "allow"


def test_what_rego_says_is_not_known_unless_a_file_denies() -> None:
    files = {
        "p.yaml": json.dumps(
            {
                "policy": "p",
                "applies_to": {"principals": ["*"], "servers": ["*"]},
                "rules": [
                    {"id": "a", "tools": ["*"], "effect": "allow"},
                    {"id": "d", "tools": ["shut"], "effect": "deny"},
                ],
            }
        ),
        "team/scope.yaml": json.dumps({"applies_to": {"principals": ["*"], "servers": ["s"]}}),
        "team/r.rego": "package policylayer\n",
    }
    made = loaded(files)
    told = ask(made, cell())
    assert (told.fields, told.rego) == (("rego",), ("team/r.rego",))
    assert told.effects == {ALLOW, HOLD, DENY}
    assert ask(made, cell("shut")).word == "deny"
    assert ask(made, cell(server="elsewhere")).word == "allow"
    assert ask(made, cell(server="elsewhere"), elsewhere=True).fields == ("rego",)


# --- which names there are --------------------------------------------------------------------------------------------


def test_names_come_from_policies_principals_lists_and_the_log() -> None:
    made = folder({"id": "a", "tools": ["get_x", "set_*"], "principals": ["agent:*"], "effect": "allow"})
    found = list(cells([made], Known(principals=frozenset({"agent:z"}), servers=frozenset({"s"})), Wanted()))
    assert list(dict.fromkeys(each.principal for each in found)) == [
        *("agent:a", "agent:b", "agent:z", "user:x"),
        *("agent:*", "*"),
    ]
    assert list(dict.fromkeys((each.server, each.tool) for each in found)) == [("s", "get_x"), ("s", "set_*")]
    listed = Known(servers=frozenset({"s"}), tools={"s": frozenset({"a", "get_x"})}, whole=frozenset({"s"}))
    assert {each.tool for each in cells([made], listed, Wanted())} == {"a", "get_x"}


def test_what_is_wanted_is_asked_though_nobody_knows_it() -> None:
    made = folder({"id": "a", "tools": ["get_x"], "effect": "allow"})
    wanted = Wanted(("agent:new", "agent:a*"), ("user:*",), ("other",), ("set_y",))
    assert list(cells([made], Known(), wanted)) == [
        Cell(principal, "user:x", "other", "set_y") for principal in ("agent:a", "agent:new")
    ]


def test_a_rule_about_any_tool_is_one_of_the_pattern() -> None:
    for rule in ({"methods": ["*"]}, {"annotations": {"readOnlyHint": True}}, {"methods": ["tools/*"]}):
        found = cells([folder({"id": "a", "effect": "allow", **rule})], Known(), Wanted())
        assert {(each.server, each.tool) for each in found} == {("*", "*")}, rule
    assert list(cells([folder({"id": "a", "effect": "allow", "prompts": ["p"]})], Known(), Wanted())) == []


# --- what changes -----------------------------------------------------------------------------------------------------


def changes(before: Loaded, after: Loaded) -> list[Difference]:
    asked = list(cells([before, after], Known(), Wanted(principals=("agent:a",), servers=("s",))))
    return list(
        differences(map(Asking(before, World(NOW)).access, asked), map(Asking(after, World(NOW)).access, asked))
    )


OPEN = {"id": "a", "tools": ["t"], "effect": "allow"}
SOME = {**OPEN, "when": {"args.x": {"lte": 5}}}
HELD = {**OPEN, "effect": "require_approval"}


@pytest.mark.parametrize(
    ("before", "after", "kind", "direction"),
    [
        ([], [OPEN], "added", "wider"),
        ([], [SOME], "added", "wider"),
        ([OPEN], [], "removed", "narrower"),
        ([SOME], [OPEN], "changed", "wider"),
        ([OPEN], [SOME], "changed", "narrower"),
        ([OPEN], [HELD], "changed", "narrower"),
        ([HELD], [OPEN], "changed", "wider"),
        ([SOME], [{**OPEN, "when": {"args.x": {"lte": 50}}}], "changed", "unclear"),
        ([OPEN], [{**OPEN, "limits": ["5/hour"]}], "changed", "unclear"),
        ([HELD], [{**HELD, "approval": {"approvers": ["user:x"]}}], "changed", "unclear"),
        ([SOME, {**HELD, "id": "h", "when": {"args.x": {"gt": 5}}}], [SOME], "changed", "unclear"),
    ],
)
def test_what_opens_closes_and_changes(before: list[Any], after: list[Any], kind: str, direction: str) -> None:
    other = {"id": "other", "tools": ["u"], "effect": "allow"}
    (found,) = changes(folder(*before, other), folder(*after, other))
    assert (found.kind, found.direction, found.cell.tool) == (kind, direction, "t")


def test_names_and_places_of_rules_change_nothing() -> None:
    moved = [{"id": "z", "tools": ["u"], "effect": "deny"}, {**SOME, "id": "renamed", "reason": "other words"}]
    assert changes(folder(SOME), folder(*moved)) == []
    assert changes(folder(OPEN, {"id": "b", "tools": ["u"], "effect": "deny"}), folder(OPEN)) == []


def test_an_exception_of_another_tool_changes_nothing_here() -> None:
    before = {"id": "d", "tools": ["t", "u"], "effect": "deny", "when": {"args.x": {"gt": 5, "absent": "no_match"}}}
    opened = {"id": "o", "tools": ["t", "u"], "effect": "allow"}
    after = {**before, "except": [{"tools": ["u"]}]}
    (found,) = changes(folder(before, opened), folder(after, opened))
    assert found.cell.tool == "u"
    assert found.direction == "wider"


def test_which_wishes_happened() -> None:
    wider = changes(folder(SOME), folder(OPEN))
    assert fails(wider, ["added", "removed", "changed", "widened", "narrowed", "any"]) == ("changed", "widened", "any")
    unclear = changes(folder(SOME), folder({**SOME, "when": {"args.x": 1}}))
    assert fails(unclear, ["widened", "narrowed"]) == ("widened", "narrowed")
    assert fails([], ["any", "changed"]) == ()


# --- shown ------------------------------------------------------------------------------------------------------------


def test_lines_put_alike_things_together() -> None:
    made = folder(
        {"id": "reads", "tools": ["get_a", "get_b"], "principals": ["agent:a", "agent:b"], "effect": "allow"},
        {"id": "pay", "tools": ["pay"], "principals": ["agent:a", "agent:b"], "effect": "require_approval",
         "when": {"args.n": {"gt": 5}}},
    )  # fmt: skip
    asked = cells([made], Known(servers=frozenset({"s"})), Wanted())
    assert list(lines(map(Asking(made, World(NOW)).access, asked))) == [
        "agent:a, agent:b",
        "  s",
        "    get_a, get_b                  allow             p/reads (p.yaml:1)",
        "    pay                           depends on args.n",
        "      require_approval, or deny  p/pay (p.yaml:1)  when: {args.n: {gt: 5}}",
        "      deny              where none of these matches",
        "",
        "user:x, *",
        "  nothing: no rule is about any of these 3 tools",
    ]


def test_json_says_where_each_rule_stands() -> None:
    told = as_json(ask(folder(SOME), cell()))
    assert told["rules"] == [
        {
            "policy": "p",
            "rule": "a",
            "file": "p.yaml",
            "line": 1,
            "effect": "allow",
            "certain": False,
            "limits": [],
            "says": "when: {args.x: {lte: 5}}",
        }
    ]
    assert (told["access"], told["depends_on"], told["otherwise"]) == ("depends", ["args.x"], "deny")
    assert as_json(ask(folder(SOME), cell("*")))["pattern"]


def test_a_difference_for_people() -> None:
    told = "\n".join(difference_lines(changes(folder(SOME), folder(HELD))))
    assert "Changes (unclear): t on s, for agent:a" in told
    assert "  before: depends on args.x" in told
    assert "  after: require_approval  p/a (p.yaml:1)" in told
    assert list(difference_lines([])) == ["Access is the same."]


def test_an_observed_server_is_said_to_be_one() -> None:
    observed = {"s": ServerFacts("s", mode="observe")}
    told = ask(folder(SOME), cell(), facts=observed)
    assert "s (in observe mode: nothing is refused there)" in "\n".join(lines([told]))
