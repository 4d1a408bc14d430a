"""Random policy sets: few names and values, so that rules and calls meet; only what loads without an error."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.reference.pools import (
    DAYS,
    DIRECTORIES,
    EXPRESSIONS,
    FIELDS,
    GLOBS,
    GROUPS,
    HOSTS,
    INSTANTS,
    LABELS,
    METHOD_GLOBS,
    MORE_TEXTS,
    NAMES,
    NETWORKS,
    NUMBERS,
    PATH_GLOBS,
    PRINCIPALS,
    RESOURCE_GLOBS,
    SCHEMAS,
    SERVER_GLOBS,
    TEXT_PATHS,
    TEXTS,
    TOOL_GLOBS,
    TOOLS,
    URL_GLOBS,
    WHO,
    ZONES,
)


class Sets:
    """Makes policy sets; one random source, one stream of them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.one = random.choice

    def often(self, chance: float) -> bool:
        """Yes, that often."""
        return self.random.random() < chance

    def some(self, pool: Any, most: int = 3) -> list[Any]:
        """One to `most` different ones."""
        found: list[Any] = []
        for _ in range(self.random.randint(1, most)):
            value = self.one(pool)
            if value not in found:
                found.append(value)
        return found

    # --- files --------------------------------------------------------------------------------------------------------

    def files(self) -> dict[str, Any]:
        """A folder: one to three files, principals, perhaps a scope."""
        found: dict[str, Any] = {"principals.yaml": PRINCIPALS}
        for number in range(self.random.randint(1, 3)):
            folder = "team/" if self.often(0.2) else ""
            found[f"{folder}p{number}.yaml"] = self.file(f"p{number}")
        if any(path.startswith("team/") for path in found):
            found["team/scope.yaml"] = {"applies_to": self.applies()}
        return found

    def applies(self) -> dict[str, Any]:
        """Whom a file concerns: mostly everyone."""
        if self.often(0.6):
            return {"principals": ["*"], "servers": ["*"]}
        return {"principals": self.some(NAMES), "servers": self.some(SERVER_GLOBS)}

    def file(self, name: str) -> dict[str, Any]:
        """One policy."""
        found: dict[str, Any] = {"policy": name, "applies_to": self.applies()}
        if self.often(0.12):
            found["mode"] = "observe"
        if self.often(0.3):
            found["limits"] = {"few": self.limit(), "spend": self.limit()}
        if self.often(0.2):
            found["redact"] = self.some(("args.text", "args.opts.**", "input.q"))
        found["rules"] = [self.rule(f"r{number}", "limits" in found) for number in range(self.random.randint(1, 5))]
        if self.often(0.3):
            found["rules"].append({"id": "open", "methods": ["*"], "effect": "allow"})
        return found

    def rule(self, name: str, named: bool) -> dict[str, Any]:
        """One rule."""
        effect = self.one(("allow", "allow", "allow", "deny", "require_approval", None))
        found: dict[str, Any] = {"id": name} | self.target() | self.selectors(block=False)
        if not set(found) & {"tools", "prompts", "resources", "methods", "risk", "annotations"}:
            found["tools"] = ["*"]
        if self.often(0.75):
            found["when"] = self.when(effect == "allow")
        if self.often(0.2):
            found["except"] = [self.block() for _ in range(self.random.randint(1, 2))]
        found |= {"effect": effect} if effect else {}
        if effect == "require_approval" and self.often(0.5):
            found["approval"] = {"approvers": self.some(("group:ops", "owner", "user:y")), "expires": "30m"}
        found |= {} if effect == "deny" else self.duties(named, needed=effect is None)
        if "'target'" in repr(found):
            # What a rule about resources only compares `target` with must be a URI in its normal form.
            for one in (found, *found.get("except", ())):
                if "resources" in one or "methods" in one:
                    one["methods"] = [*one.get("methods", ()), "ping"]
        return found | ({"list": True} if self.often(0.05) else {})

    def block(self) -> dict[str, Any]:
        """One block of `except`."""
        found = (self.target() if self.often(0.4) else {}) | self.selectors(block=True)
        return found if found and self.often(0.5) else found | {"when": self.when(False)}

    def target(self) -> dict[str, Any]:
        """What a rule concerns: mostly tools."""
        found: dict[str, Any] = {}
        if self.often(0.7):
            found["tools"] = self.some(TOOL_GLOBS)
        if self.often(0.1):
            found["prompts"] = self.some(("p", "*", "q"))
        if self.often(0.15):
            found["resources"] = self.some(RESOURCE_GLOBS)
        if self.often(0.15) or not found:
            found["methods"] = self.some(METHOD_GLOBS)
        return found

    def selectors(self, block: bool) -> dict[str, Any]:
        """Whom and which tools a rule or a block concerns."""
        found: dict[str, Any] = {}
        if self.often(0.4 if block else 0.25):
            found["principals"] = self.some(NAMES)
        if self.often(0.12):
            found["for"] = self.some(NAMES)
        if self.often(0.15):
            found["servers"] = self.some(SERVER_GLOBS)
        if self.often(0.06):
            found["risk"] = self.some(("read", "write", "destructive"))
        if self.often(0.06):
            found["traits"] = self.some(("open_world", "egress"))
        if self.often(0.06):
            found["annotations"] = {"readOnlyHint": self.one((True, False)), "idempotentHint": True}
        return found

    def duties(self, named: bool, needed: bool) -> dict[str, Any]:
        """Limits and obligations."""
        found: dict[str, Any] = {}
        if self.often(0.2):
            found["limits"] = [self.one(("few", "spend")) if named and self.often(0.5) else self.limit()]
        if self.often(0.1):
            found["redact"] = self.some(("args.n", "args.opts.a", "input.q.action"))
        if self.often(0.1):
            found["mask"] = [self.one(("result.content", {"pattern": "email"}, {"matches": "[0-9]{16}"}))]
        if self.often(0.1):
            found["cap"] = self.one((100, "64KiB", "1MiB"))
        if self.often(0.1):
            found["earn"] = {"tested": self.one(("30m", "1h"))}
        if self.often(0.1) or (needed and not found):
            found["label"] = self.some(LABELS)
        return found

    def limit(self) -> Any:
        """A limit; never one that asks for an approval, which a rule would have to carry."""
        if self.often(0.4):
            return self.one(("20/hour", "5/minute", "1/second", "100/2d"))
        keys = ("principal.id", "args.text", "server", "args.flag", "args.n", "target")
        found: dict[str, Any] = {"per": self.one(("hour", "day", "90s"))}
        found |= {"by": self.some(keys)} if self.often(0.5) else {}
        if self.often(0.5):
            return found | {"calls": self.one((1, 20))}
        if self.often(0.3):
            return found | {"sum": "args.price", "decimal": True, "max": self.one((10, 99.5))}
        return found | {"sum": self.one(("args.n", "args.opts.a")), "max": self.one((10, 99.5))}

    # --- conditions ---------------------------------------------------------------------------------------------------

    def when(self, allow: bool, depth: int = 0) -> dict[str, Any]:
        """A mapping of one to three entries."""
        found: dict[str, Any] = {}
        for _ in range(self.one((1, 1, 2, 3))):
            if depth < 2 and self.often(0.2):
                found |= self.combined(allow, depth + 1)
            elif self.often(0.05):
                found["time"] = self.time(allow)
            else:
                path, said = self.test()
                found[path] = said
        return found

    def combined(self, allow: bool, depth: int) -> dict[str, Any]:
        """`all`, `any` or `not`."""
        word = self.one(("all", "any", "any", "not"))
        if word == "not":
            return {"not": self.when(allow, depth)}
        return {word: [self.when(allow, depth) for _ in range(self.random.randint(1, 3))]}

    def time(self, allow: bool) -> dict[str, Any]:
        """A window; bounds only where a rule may end by the clock."""
        found: dict[str, Any] = {}
        if allow and self.often(0.4):
            found[self.one(("after", "before"))] = self.one(INSTANTS)
        if not found or self.often(0.4):
            found["during"] = {"zone": self.one(ZONES)}
            if self.often(0.5):
                found["during"]["days"] = self.some(DAYS, 4)
            if self.often(0.7):
                found["during"]["between"] = list(
                    self.one((("09:00", "17:00"), ("22:00", "06:00"), ("12:00", "13:00")))
                )
        return found

    def test(self) -> tuple[str, Any]:
        """A path with its matchers."""
        if self.often(0.2):
            return self.one((self.of_known_text, self.of_known_list, self.of_person))()
        field = self.one(tuple(FIELDS))
        path = f'args."{field}"' if " " in field else f"args.{field}"
        if self.often(0.06):
            path += ".deeper"
        if self.often(0.08):
            return path, {"exists": self.one((True, False))}
        if self.often(0.1):
            return path, self.with_absent(self.one((self.shape, self.typed))())
        return path, self.with_absent(self.of(field))

    def with_absent(self, said: Any) -> Any:
        """Sometimes says what is to hold of a missing value."""
        if isinstance(said, dict) and "exists" not in said and self.often(0.2):
            return said | {"absent": self.one(("match", "no_match"))}
        return said

    def of_known_text(self) -> tuple[str, Any]:
        """A condition on a name that is always a text, where it is there."""
        return self.one((*TEXT_PATHS, *MORE_TEXTS)), self.with_absent(
            {self.one(("eq", "neq")): self.one((*WHO, *TOOLS, "s", "acme", "agent", "accept", "2025-11-25"))}
        )

    def of_known_list(self) -> tuple[str, Any]:
        """A condition on a list of texts."""
        path = self.one(("principal.groups", "for.groups", "session.labels", "principal.projects"))
        word = self.one((*GROUPS, *LABELS, "web"))
        element = self.one((word, {"neq": word}, {"neq": word, "absent": "match"}))
        return path, self.with_absent({self.one(("every", "some")): element})

    def of_person(self) -> tuple[str, Any]:
        """A condition on an attribute."""
        return self.one(
            (
                ("principal.level", {self.one(("gt", "lte")): self.one(NUMBERS)}),
                ("for.level", {"gte": {"ref": "principal.level"}}),
                ("principal.oncall", self.one((True, False))),
                ("args.text", {"in": {"ref": "principal.projects"}}),
                ("principal.tenant", {"eq": {"ref": "args.text"}}),
                ("request.ip", {"cidr": self.one(NETWORKS)}),
                ("request.client", {"exists": True}),
            )
        )

    def of(self, field: str) -> Any:
        """Matchers that suit a field."""
        makers = {
            "n": self.number,
            "m": self.number,
            "price": self.decimal,
            "flag": self.flag,
            "path": self.place,
            "url": self.url,
            "ip": self.address,
            "opts": self.shape,
            "tags": self.list_of_texts,
            "rows": self.rows,
        }
        return makers.get(field, self.text)()

    def number(self) -> Any:
        """On numbers."""
        if self.often(0.15):
            return self.one(NUMBERS)
        side: Any = {"ref": self.one(("args.m", "args.n", "principal.level", "args.text"))}
        word = self.one(("eq", "neq", "lt", "lte", "gt", "gte", "in", "not_in"))
        if word in ("in", "not_in"):
            return {word: self.some(NUMBERS)}
        found = {word: side if self.often(0.2) else self.one(NUMBERS)}
        return found | ({"lte": 50} if word != "lte" and self.often(0.2) else {})

    def decimal(self) -> Any:
        """On decimal texts."""
        return {"decimal": self.numeric()}

    def numeric(self) -> dict[str, Any]:
        """Numeric matchers, as they stand inside others."""
        found = self.number()
        return found if isinstance(found, dict) else {"eq": found}

    def flag(self) -> Any:
        """On booleans."""
        value = self.one((True, False))
        return self.one((value, {"neq": value}, {"in": [value]}))

    def text(self) -> Any:
        """On texts."""
        if self.often(0.15):
            return self.one(TEXTS[:4])
        filled = [text for text in TEXTS if text]
        pools = {
            "eq": filled,
            "neq": filled,
            "contains": filled,
            "starts_with": filled,
            "ends_with": filled,
            "glob": GLOBS,
            "matches": EXPRESSIONS,
            "finds": EXPRESSIONS,
        }
        word = self.one((*pools, "in", "not_in", "length", "ref"))
        if word == "length":
            return {"length": self.numeric()}
        if word == "ref":
            return {self.one(("eq", "neq")): {"ref": self.one(("args.other", "principal.tenant", "args.n", "target"))}}
        several = word not in ("eq", "neq") and (word in ("in", "not_in") or self.often(0.4))
        pool = pools.get(word, filled)
        found: dict[str, Any] = {word: self.some(pool) if several else self.one(pool)}
        return found | ({"ignore_case": True} if self.often(0.25) else {})

    def place(self) -> Any:
        """On file paths."""
        word, pool = self.one((("within", DIRECTORIES), ("path_glob", PATH_GLOBS)))
        return {word: self.some(pool) if self.often(0.5) else self.one(pool)}

    def url(self) -> Any:
        """On URLs."""
        word, pool = self.one((("host", HOSTS), ("url_glob", URL_GLOBS)))
        return {word: self.some(pool) if self.often(0.5) else self.one(pool)}

    def address(self) -> Any:
        """On addresses."""
        return {"cidr": self.some(NETWORKS)}

    def shape(self) -> Any:
        """On anything: objects' keys, sizes, schemas."""
        return self.one(
            (
                {"keys": self.some(("a", "b", "c"))},
                {"keys": []},
                {"length": {"lte": self.one((0, 1, 2))}},
                {"schema": self.one(SCHEMAS)},
            )
        )

    def typed(self) -> Any:
        """A type."""
        return {"type": self.one(("string", "number", "boolean", "object", "array"))}

    def list_of_texts(self) -> Any:
        """On lists of texts."""
        element = self.text()
        if isinstance(element, dict) and self.often(0.2):
            element = element | {"absent": self.one(("match", "no_match"))}
        found = {self.one(("every", "some")): element}
        return found | ({"length": {"gte": 1}} if self.often(0.2) else {})

    def rows(self) -> Any:
        """On lists of objects."""
        inner: dict[str, Any] = {
            "item.n": self.number(),
            "item.m": {"gte": {"ref": self.one(("item.n", "args.n"))}},
            "item.ys": {"some": {"item": {"gt": 1}}},
        }
        kept = {key: inner[key] for key in self.some(tuple(inner), 2)}
        if self.often(0.2):
            kept = {self.one(("any", "all")): [kept, {"item": {"type": "object"}}]}
        elif self.often(0.2):
            kept = {"not": kept}
        return {self.one(("every", "some")): kept}
