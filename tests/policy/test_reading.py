"""Which arguments rules read, exactly: what is not read changes nothing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from policylayer.policy import ast
from tests.policy.generated import SEEDS, World
from tests.policy.made import ALLOW, DENY, HOLD, SPAN, policy, policy_set, rule, selection


@settings(max_examples=150)
@given(SEEDS)
def test_what_is_not_read_changes_nothing(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    others = world.arguments()
    compiled = policy_set(*made)
    call = asked.call
    read = {path[1] for path in compiled.reads(call.server, call.method, call.target)}
    kept = {key: value for key, value in call.arguments.items() if key in read}
    added = {key: value for key, value in others.items() if key not in read}
    changed = replace(asked, call=replace(call, arguments={**kept, **added}))
    assert compiled.decide(changed) == compiled.decide(asked)


def reads(*rules: ast.Rule, server: str = "s", method: str = "tools/call", target: str | None = "t") -> set[str]:
    found = policy_set(policy(*rules)).reads(server, method, target)
    return {".".join(path) for path in found}


def test_every_place_that_may_name_a_path() -> None:
    limit = ast.Limit(max=5, per=60, span=SPAN, sum=("args", "sum"), by=(("args", "by"), ("principal", "id")))  # type: ignore[arg-type]
    made = rule(
        "r",
        DENY,
        {
            "tools": ["t"],
            "when": {
                "args.a.b": 1,
                "any": [{"input.q": 1}, {"not": {"args.c": {"eq": "ref:args.d"}}}],
                "args.list": {"every": {"item.k": {"lt": "ref:args.e"}}},
                "args.length": {"length": {"lt": "ref:args.f"}},
                "principal.id": {"eq": "ref:args.me"},
            },
        },
        except_=(selection(tools=["t"], when={"args.x": 1}), selection(tools=["u"], when={"args.no": 1})),
        limits=(limit,),
    )
    assert reads(made) == {
        *("args.a.b", "input.q", "args.c", "args.d", "args.list", "args.e", "args.length", "args.f", "args.me"),
        *("args.x", "args.sum", "args.by"),
    }


def test_only_rules_that_reach_the_target() -> None:
    rules = (
        rule("a", ALLOW, {"tools": ["t"], "when": {"args.a": 1}}),
        rule("b", HOLD, {"tools": ["u"], "when": {"args.b": 1}}),
        rule("c", None, {"methods": ["*"], "when": {"args.c": 1}}),
        rule("d", DENY, {"tools": ["*"], "servers": ["x"], "when": {"args.d": 1}}),
        rule("e", DENY, {"resources": ["file:///srv/**"], "when": {"args.e": 1}}),
    )
    assert reads(*rules) == {"args.a", "args.c"}
    assert reads(*rules, target="u") == {"args.b", "args.c"}
    assert reads(*rules, server="x") == {"args.a", "args.c", "args.d"}
    assert reads(*rules, method="resources/read", target="file:///srv/x") == {"args.c", "args.e"}
    assert reads(*rules, method="resources/read", target="file:///etc") == {"args.c"}
    assert reads(*rules, method="resources/read", target="file:///%2e%2e/srv/x") == {"args.c", "args.e"}
    assert reads(*rules, method="logging/setLevel", target=None) == {"args.c"}
