"""OPA's own cases of Rego v1 through the embedded engine, as a program of its own: some of them make it panic.

`python -m tests.rego.official FOLDER` prints one JSON line a case: `[outcome, name, found, wanted]`. Left out is what
is no question to a policy (queries with variables, terms as input), what the parser refuses, and what is refused when a
policy is loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import regorus
import yaml

from policylayer.rego.modules import problems, read

ELSEWHERE = {"package", "import", "data"}
"""Refusals of where a policy stands, which say nothing of the engine."""


def cases(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each case, with its name."""
    for path in sorted(folder.glob("*/*.yaml")):
        for case in yaml.load(path.read_text(), yaml.CSafeLoader)["cases"] or ():
            yield case["note"], case


def outcome(case: dict[str, Any]) -> tuple[str, Any, Any]:
    """What became of one case: in a word, and what was found and wanted."""
    query = case["query"].removesuffix(" = x")
    if "input_term" in case or query == case["query"] or not query.replace(".", "").replace("_", "").isalnum():
        return "no question to a policy", None, None
    engine = regorus.Engine()
    try:
        for number, text in enumerate(case.get("modules") or ()):
            engine.add_policy(f"{number}.rego", text)
        parsed = json.loads(engine.get_ast_as_json()) if case.get("modules") else []
        modules = [read(each["source"]["file"], each["source"]["contents"], each["ast"]) for each in parsed]
    except BaseException:
        return "refused by the parser", None, None
    if refused := {problem.slug for problem in problems(modules)} - ELSEWHERE:
        return f"refused at load: {min(refused)}", None, None
    fails = bool(case.get("want_error_code") or case.get("want_error"))
    try:
        engine.add_data_json(json.dumps(case.get("data") or {}))
        if "input" in case:
            engine.set_input_json(json.dumps(case["input"]))
        answer = json.loads(engine.eval_query_as_json(query)).get("result")
    except BaseException:
        return "an error, as in OPA" if fails else "an error, so a denial", None, None
    found = [answer[0]["expressions"][0]["value"]] if answer else []
    wanted = "an error" if fails else [each["x"] for each in case.get("want_result") or ()]
    return ("same" if _sorted(found, case) == _sorted(wanted, case) else "other"), found, wanted


def _sorted(values: Any, case: dict[str, Any]) -> Any:
    if not case.get("sort_bindings") or not isinstance(values, list):
        return values
    return [sorted(each, key=json.dumps) if isinstance(each, list) else each for each in values]


if __name__ == "__main__":
    for name, each in cases(Path(sys.argv[1])):
        said, got, want = outcome(each)
        print(json.dumps([said, name, got, want]), flush=True)
