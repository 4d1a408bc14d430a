"""Random rule sets and questions that often meet, each from a seed: cheap, and a failing seed can be run again."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from hypothesis import strategies as st

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.policy import ast
from tests.policy.made import ALLOW, DENY, HOLD, NOON, SPAN, patterns, policy, rule

SEEDS: Final = st.integers(0, 2**40)

WHO: Final = ["*", "agent:a", "agent:*", "user:u", "group:g", "group:*", "user:*"]
TOOLS: Final = ["t", "u", "*", "t*", "*u"]
SERVERS: Final = ["s", "x", "*", "s*"]
EFFECTS: Final = [ALLOW, ALLOW, ALLOW, DENY, HOLD, None]
GROUPS: Final = [frozenset[str](), frozenset({"group:g"}), frozenset({"group:h"})]
RULES: Final = [f"p{p}/r{r}" for p in range(3) for r in range(4)]
CALLS: Final[list[tuple[str, str | None]]] = [
    ("tools/call", "t"),
    ("tools/call", "t"),
    ("tools/call", "u"),
    ("resources/read", "file:///srv/a"),
    ("resources/read", "file:///srv/%2e%2e/a"),
    ("prompts/get", "t"),
    ("logging/setLevel", None),
]

CONDITIONS: Final[list[dict[str, Any]]] = [
    {"args.x": {"gt": 1}},
    {"args.x": 1},
    {"args.x": {"lt": 5, "absent": "match"}},
    {"args.y": {"in": ["a", "b"]}},
    {"args.y": {"exists": True}},
    {"args.z": {"every": {"gt": 0}}},
    {"args.z": {"some": {"item.k": {"eq": "ref:args.y"}}}},
    {"not": {"args.y": "a"}},
    {"any": [{"args.x": 1}, {"args.y": "a"}]},
    {"principal.kind": "agent"},
    {"principal.kind": "user", "args.x": 1},
    {"any": [{"principal.kind": "user"}, {"args.x": {"gte": 0}}]},
    {"for.id": {"exists": True}},
    {"request.ip": {"cidr": "10.0.0.0/8"}},
    {"session.labels": {"some": "ref:args.y"}},
    {"principal.id": {"eq": "ref:args.y"}},
    {"args.p": {"within": "/srv"}},
]

VALUES: Final[dict[str, list[Any]]] = {
    "x": [0, 1, 2, 5, 7.5, "1", True, None],
    "y": ["a", "b", "agent:a", 5, None],
    "z": [[], [1], [0, 1], [{"k": "a"}], [None], "z"],
    "p": ["/srv/x", "/etc", "~", 5],
}


class World:
    """Everything that one seed makes; asking again makes something else."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.pick = self.random.choice

    def some(self, values: list[str]) -> list[str]:
        """One or two of them."""
        return self.random.sample(values, self.random.randint(1, 2))

    def arguments(self) -> dict[str, Any]:
        """Some arguments, some of them odd."""
        return {key: self.pick(values) for key, values in VALUES.items() if self.random.random() < 0.6}

    def target(self) -> dict[str, Any]:
        """A target."""
        tools = {"tools": self.some(TOOLS)}
        files = {"resources": ["file:///srv/**"]}
        return self.pick([tools, tools, {"methods": ["*"]}, files, {"risk": ["read"]}, {**tools, "resources": ["**"]}])

    def selection(self, optional_target: bool = False) -> dict[str, Any]:
        """Target, selectors and `when`."""
        said = {} if optional_target and self.random.random() < 0.5 else self.target()
        for key, values in (("principals", WHO), ("on_behalf_of", WHO), ("servers", SERVERS)):
            if self.random.random() < 0.25:
                said[key] = self.some(values)
        if self.random.random() < 0.4:
            said["when"] = self.pick(CONDITIONS)
        return said

    def rule(self, name: str) -> ast.Rule:
        """A rule with at most one except block."""
        excepts = ()
        if self.random.random() < 0.3:
            block = self.selection(optional_target=True) or {"tools": ["u"]}
            excepts = (rule("x", None, block).selection,)
        listed = self.random.random() < 0.1
        return rule(name, self.pick(EFFECTS), self.selection(), except_=excepts, list=listed)

    def policy(self, name: str, observe: bool = False) -> ast.Policy:
        """A file with some rules, sometimes under a scope."""
        rules = [self.rule(f"r{number}") for number in range(self.random.randint(0, 4))]
        scopes: tuple[ast.AppliesTo, ...] = ()
        if self.random.random() < 0.3:
            scopes = (ast.AppliesTo(patterns(*self.some(WHO)), patterns(*self.some(SERVERS)), SPAN),)
        who = tuple(self.some(WHO)) if self.random.random() < 0.4 else ("*",)
        return policy(*rules, name=name, who=who, scopes=scopes, observe=observe)

    def policies(self) -> list[ast.Policy]:
        """One to three files."""
        return [self.policy(f"p{number}") for number in range(self.random.randint(1, 3))]

    def question(self) -> Question:
        """A call by an agent or a user, often for a user."""
        method, target = self.pick(CALLS)
        server = self.pick(["s", "s", "x"])
        user = self.pick([None, None, "user:u", "user:v"])
        return Question(
            call=Call(server, method, target, self.arguments(), b"", b"", "2025-11-25"),
            subject=Subject(self.pick(["agent:a", "agent:a", "agent:b", "user:u"]), self.pick(GROUPS)),
            server=ServerFacts(server),
            now=NOON,
            on_behalf_of=None if user is None else Subject(user, self.pick(GROUPS)),
            approved=frozenset(self.random.sample(RULES, self.random.randint(0, 3))),
            labels=self.pick([frozenset(), frozenset({"a"})]),
            ip=self.pick([None, "10.1.1.1", "odd"]),
            risk=self.pick([None, "read", "write"]),
        )
