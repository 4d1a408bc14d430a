"""Rego parsed and evaluated, one engine per unit; the only file that knows `regorus`. Runs in the worker process only.

The engine is bound to one thread and is given JSON text only, since it crashes on some Python objects. Must not know
processes or pipes (`worker.py`), nor what a result means (`results.py`).
"""

from __future__ import annotations

import json
from typing import Any, Final

import regorus

from policylayer.rego.modules import Module, Problem, problems, read, rule_lines
from policylayer.rego.reads import paths_read

QUERY: Final = "data.policylayer.decision"


class Unit:
    """One engine: the modules that share a scope."""

    def __init__(self, files: list[list[str]]) -> None:
        self.engine = regorus.Engine()
        self.engine.set_gather_prints(True)
        self.problems: list[Problem] = []
        for file, text in files:
            try:
                self.engine.add_policy(file, text)
            except Exception as error:
                self.problems.append(_syntax(file, str(error)))
        self.modules: list[Module] = []
        if not self.problems:
            parsed = json.loads(self.engine.get_ast_as_json())  # noqa: TID251 - the parser's own output
            self.modules = [read(each["source"]["file"], each["source"]["contents"], each["ast"]) for each in parsed]
            self.problems = list(problems(self.modules))

    def evaluate(self, text: str, query: str) -> dict[str, Any]:
        """`{value}`, `{}` where undefined, or `{error}`."""
        self.engine.set_input_json(text)
        try:
            answer = json.loads(self.engine.eval_query_as_json(query))  # noqa: TID251 - the engine's own output
        except Exception as error:
            return {"error": _first_line(str(error))}
        found = answer.get("result")
        return {"value": found[0]["expressions"][0]["value"]} if found else {}

    def explain(self, text: str) -> dict[str, Any]:
        """An evaluation with its coverage and what it printed."""
        self.engine.set_enable_coverage(True)
        self.engine.clear_coverage_data()
        made = self.evaluate(text, QUERY)
        report = json.loads(self.engine.get_coverage_report_as_json())  # noqa: TID251
        self.engine.set_enable_coverage(False)
        return {**made, "coverage": report, "prints": self.engine.take_prints()}


class Units:
    """The units of one policy set, and the operations on them."""

    def __init__(self) -> None:
        self.units: list[Unit] = []

    def answer(self, asked: dict[str, Any]) -> Any:
        """One frame's answer."""
        match asked["op"]:
            case "load":
                return self.load(asked["units"])
            case "eval":
                return [self.evaluate(asked["units"], text) for text in asked["inputs"]]
            case "explain":
                return [self.units[each].explain(asked["inputs"][0]) for each in asked["units"]]
            case "tests":
                return [self.tests(unit) for unit in self.units]
        raise ValueError(asked["op"])

    def load(self, units: list[list[list[str]]]) -> dict[str, Any]:
        """Parse all units; answer problems, where rules stand, and what they read of the document."""
        self.units = [Unit(files) for files in units]
        found = [problem.as_list() for unit in self.units for problem in unit.problems]
        reads = [sorted(paths_read(unit.modules)) for unit in self.units]
        return {"problems": found, "lines": [rule_lines(unit.modules) for unit in self.units], "reads": reads}

    def evaluate(self, units: list[int], text: str) -> list[dict[str, Any]]:
        """What each of these units says of one input."""
        made = []
        for each in units:
            made.append(self.units[each].evaluate(text, QUERY))
            self.units[each].engine.take_prints()
        return made

    def tests(self, unit: Unit) -> list[list[Any]]:
        """Every rule `test_*` of the unit's `*_test.rego` files: file, name, line, and what it evaluated to."""
        done = []
        for module in unit.modules:
            for rule in module.ast["rules"] if module.file.endswith("_test.rego") else []:
                (spec,) = rule.values()
                head = next(iter(spec["head"].values())) if "head" in spec else spec
                name = head["refr"].get("Var", {}).get("value", "")
                if name.startswith("test_"):
                    result = unit.evaluate("{}", f"data.{module.package}.{name}")
                    done.append([module.file, name, spec["span"]["line"], result, unit.engine.take_prints()])
        return done


def _syntax(file: str, error: str) -> Problem:
    """The engine's own message as a problem: `--> file:line:col` and `error: text`."""
    line, column, message = 1, 1, "cannot be parsed"
    for each in error.splitlines():
        part = each.strip()
        if part.startswith("-->"):
            numbers = part.rsplit(":", 2)[1:]
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                line, column = int(numbers[0]), int(numbers[1])
        elif part.startswith("error:"):
            message = part.removeprefix("error:").strip()
    return Problem(
        file, line, column, "syntax", message, "only Rego v1 is read: `if` before bodies, `contains` for sets"
    )


def _first_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines()]
    stated = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    return (stated or [line for line in lines if line] or ["unknown error"])[0][:200]
