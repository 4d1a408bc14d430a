"""Random tool schemas, calls that fit them, and conditions about both, each from a seed."""

from __future__ import annotations

from random import Random
from typing import Any, Final

NAMES: Final = ["a", "b", "c"]
TEXTS: Final = ["usd", "eur", "x", "", "longer text", "A", "/srv/x", "5"]
NUMBERS: Final = [0, 1, 2, 5, -1, 2.5, 1.0, 100]
DEEP: Final = 3


class Schemas:
    """Everything that one seed makes; asking again makes something else."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.pick = self.random.choice
        self.defs: dict[str, Any] = {}

    def odds(self, chance: float) -> bool:
        """True now and then."""
        return self.random.random() < chance

    # --- schemas ---

    def root(self) -> dict[str, Any]:
        """An inputSchema."""
        self.defs = {name: self.schema(DEEP - 1) for name in ("D", "E")}
        made = self.object(0)
        if self.odds(0.2):
            made["anyOf"] = [self.object(1), self.object(1)]
        if self.odds(0.1):
            made |= {"if": self.object(1), "then": self.object(1), "else": self.object(1)}
        if self.odds(0.1):
            made["dependentSchemas"] = {self.pick(NAMES): self.object(1)}
        if self.odds(0.1):
            made["unevaluatedProperties"] = False
        return {**made, "$defs": self.defs}

    def schema(self, depth: int) -> Any:
        """Any schema."""
        plain = [self.text, self.number, self.listed, self.several_types]
        deep = [self.object, self.array, self.combined, self.reference] if depth < DEEP else []
        if self.odds(0.08):
            return self.pick([True, {}, False, {"type": "boolean"}, {"type": "null"}, {"type": "array"}])
        return self.pick([*plain, *deep])(depth)

    def text(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "string"}
        if self.odds(0.2):
            made["minLength"] = self.pick([0, 1, 3])
        if self.odds(0.2):
            made["maxLength"] = self.pick([0, 1, 3, 20])
        if self.odds(0.2):
            made["pattern"] = self.pick(["^[a-z]+$", "x", "^$"])
        return made

    def number(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": self.pick(["integer", "number"])}
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if self.odds(0.25):
                made[key] = self.pick(NUMBERS)
        return made

    def listed(self, depth: int) -> dict[str, Any]:
        values = [*self.random.sample(TEXTS, 2), self.pick(NUMBERS), True, None, {"a": 1}, [1, "x"]]
        if self.odds(0.3):
            return {"const": self.pick(values)}
        return {"enum": self.random.sample(values, self.random.randint(1, 4))}

    def several_types(self, depth: int) -> dict[str, Any]:
        return {"type": self.random.sample(["string", "integer", "number", "boolean", "null", "array"], 2)}

    def object(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {} if self.odds(0.1) else {"type": "object"}
        if self.odds(0.9):
            made["properties"] = {name: self.schema(depth + 1) for name in NAMES if self.odds(0.6)}
        if self.odds(0.4):
            made["required"] = self.random.sample(NAMES, self.random.randint(0, 2))
        if self.odds(0.4):
            made["additionalProperties"] = self.pick([True, False, False, self.schema(DEEP)])
        if self.odds(0.1):
            made["patternProperties"] = {self.pick(["^a", "b|c", "z"]): self.schema(DEEP)}
        return made

    def array(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "array"}
        if self.odds(0.8):
            made["items"] = self.schema(depth + 1)
        if self.odds(0.2):
            made["prefixItems"] = [self.schema(DEEP), self.schema(DEEP)]
        if self.odds(0.2):
            made["minItems"] = self.pick([0, 1, 2])
        if self.odds(0.2):
            made["maxItems"] = self.pick([0, 1, 2])
        return made

    def combined(self, depth: int) -> dict[str, Any]:
        key = self.pick(["anyOf", "oneOf", "allOf", "not"])
        if key == "not":
            return {"not": self.schema(depth + 1), **self.schema_object(depth)}
        return {key: [self.schema(depth + 1), self.schema(depth + 1)], **(self.text(0) if self.odds(0.1) else {})}

    def schema_object(self, depth: int) -> dict[str, Any]:
        found = self.schema(depth + 1)
        return found if isinstance(found, dict) else {}

    def reference(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"$ref": self.pick(["#/$defs/D", "#/$defs/E", "#/$defs/D", "#"])}
        return {**made, "type": self.pick(["string", "object", "number"])} if self.odds(0.15) else made

    # --- values ---

    def arguments(self, schema: Any) -> dict[str, Any]:
        """Arguments that often fit a schema."""
        made = self.value(schema, schema, 0)
        return made if isinstance(made, dict) else {name: self.any_value() for name in NAMES if self.odds(0.5)}

    def any_value(self) -> Any:
        """Anything."""
        return self.pick([*TEXTS, *NUMBERS, True, False, None, [], [1], ["x"], {}, {"a": 1}, {"b": "x", "c": None}])

    def value(self, schema: Any, root: Any, depth: int) -> Any:
        """A value that often fits."""
        if not isinstance(schema, dict) or depth > 6 or self.odds(0.03):
            return self.any_value()
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self.value(root if name == "#" else root["$defs"][name], root, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.pick(schema["enum"])
        parts = [schema]
        parts += [self.pick(schema[key]) for key in ("anyOf", "oneOf") if key in schema]
        parts += schema.get("allOf", [])
        parts += [schema[key] for key in ("then", "else") if key in schema and self.odds(0.5)]
        return self.fitting([part for part in parts if isinstance(part, dict)], root, depth)

    def fitting(self, parts: list[dict[str, Any]], root: Any, depth: int) -> Any:
        """A value by the types of several schemas."""
        kinds = [kind for part in parts for kind in self.kinds(part)]
        others = [part for part in parts[1:] if not {"type", "properties"} & set(part)]
        if others and not kinds:
            return self.value(self.pick(others), root, depth + 1)
        kind = self.pick(kinds or ["string", "number", "object"])
        if kind == "object" or any("properties" in part for part in parts):
            return self.members(parts, root, depth)
        if kind == "array":
            items = [part["items"] for part in parts if "items" in part]
            low = max([part.get("minItems", 0) for part in parts])
            count = low + self.random.randint(0, 2)
            return [self.value(self.pick(items) if items else True, root, depth + 1) for _ in range(count)]
        if kind == "string":
            return self.pick(TEXTS)
        if kind in ("integer", "number"):
            bounds = [part[key] for part in parts for key in ("minimum", "maximum") if key in part]
            return self.pick([*NUMBERS, *bounds, *(bound + 1 for bound in bounds)])
        return {"boolean": self.pick([True, False]), "null": None}[kind]

    def kinds(self, part: dict[str, Any]) -> list[str]:
        written = part.get("type", [])
        return [written] if isinstance(written, str) else written

    def members(self, parts: list[dict[str, Any]], root: Any, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for part in parts:
            for name, below in part.get("properties", {}).items():
                if name in part.get("required", ()) or self.odds(0.7):
                    made[name] = self.value(below, root, depth + 1)
            for name in part.get("required", ()):
                made.setdefault(name, self.any_value())
        if self.odds(0.15):
            made[self.pick(["d", *NAMES])] = self.any_value()
        return made

    # --- conditions ---

    def when(self, depth: int = 0) -> dict[str, Any]:
        """A condition mapping."""
        made: dict[str, Any] = {}
        for _ in range(self.random.randint(1, 2)):
            if depth < 2 and self.odds(0.25):
                made |= self.pick(
                    [{"not": self.when(depth + 1)}, {"any": [self.when(depth + 1), self.when(depth + 1)]}]
                )
            else:
                made[self.path("args")] = self.matchers(0)
        return made

    def path(self, root: str) -> str:
        steps = [self.pick([*NAMES, "d"]) for _ in range(self.pick([1, 1, 2, 3]))]
        return ".".join((root, *steps)) if not self.odds(0.05) else root

    def matchers(self, depth: int) -> Any:
        """A scalar, or matchers."""
        if self.odds(0.1):
            return self.pick([*TEXTS, *NUMBERS, True])
        made: dict[str, Any] = {}
        for _ in range(self.pick([1, 1, 2])):
            made |= self.matcher(depth)
        if "exists" not in made and self.odds(0.25):
            made["absent"] = self.pick(["match", "no_match"])
        if self.odds(0.1):
            made["ignore_case"] = True
        return made

    def matcher(self, depth: int) -> dict[str, Any]:
        name = self.pick(
            [
                "eq",
                "eq",
                "neq",
                "in",
                "not_in",
                "lt",
                "lte",
                "gt",
                "gte",
                "decimal",
                "length",
                "contains",
                "starts_with",
                "glob",
                "matches",
                "exists",
                "type",
                "keys",
                "within",
                "schema",
                "every",
                "some",
            ]
        )
        if name in ("every", "some"):
            inner = self.item_conditions() if self.odds(0.4) else self.matchers(depth + 1)
            return {name: inner if depth < 2 else "x"}
        return {name: self.operand(name)}

    def item_conditions(self) -> dict[str, Any]:
        return {self.path("item"): self.matchers(2)}

    def operand(self, name: str) -> Any:
        if name in ("eq", "neq"):
            return self.pick([*TEXTS, *NUMBERS, True, False, "ref:args.b", "ref:args.a.c"])
        if name in ("in", "not_in"):
            return self.pick([self.random.sample(TEXTS, 2), self.random.sample(NUMBERS, 2), [True], "ref:args.c"])
        if name in ("lt", "lte", "gt", "gte"):
            return self.pick([*NUMBERS, "ref:args.b"])
        if name in ("decimal", "length"):
            return {self.pick(["gt", "lte", "eq"]): self.pick(NUMBERS)}
        fixed: dict[str, Any] = {
            "exists": self.odds(0.5),
            "type": self.pick(["string", "number", ["object", "array"]]),
            "keys": self.random.sample(NAMES, 2),
            "within": "/srv",
            "schema": self.pick([{"type": "string"}, {"required": ["a"]}]),
            "glob": self.pick(["*", "u*", "/srv/**"]),
            "matches": self.pick(["[a-z]+", ".*", "usd"]),
        }
        return fixed.get(name, self.pick(TEXTS[:3]))
