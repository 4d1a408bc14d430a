"""Each source file is small, says what it is, and has a place where it is tested."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HARD_CAP = 400
PURE = ("core", "wire", "policy")
SOURCES = sorted((ROOT / "policylayer").rglob("*.py"))
OTHERS = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def names(paths: list[Path]) -> list[str]:
    """Readable test ids."""
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", SOURCES, ids=names(SOURCES))
def test_a_file_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, "say what the module is, what it must not know, and where its neighbour is"
    assert len(text.splitlines()) <= HARD_CAP, "cut this file along its concepts"


def test_so_is_every_test_and_benchmark() -> None:
    for path in OTHERS:
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)) or not text.strip(), path.relative_to(ROOT)
        assert len(text.splitlines()) <= HARD_CAP, path.relative_to(ROOT)


@pytest.mark.parametrize("package", PURE)
def test_a_pure_module_says_so_in_its_first_word(package: str) -> None:
    for path in sorted((ROOT / "policylayer" / package).rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert docstring.startswith("Pure:"), path.relative_to(ROOT)


def test_functions_stay_short() -> None:
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 35


def test_every_package_has_its_tests() -> None:
    for package in sorted(path.parent.name for path in (ROOT / "policylayer").glob("*/__init__.py")):
        if package not in {"examples", "starter"}:
            assert list((ROOT / "tests" / package).glob("test_*.py")), f"tests/{package} has no test"


def test_no_path_of_a_machine_is_committed() -> None:
    needles = "|".join(("/ho" + "me/[a-z]", "/wo" + "rk/", "/ro" + "ot/"))
    found = subprocess.run(
        ["git", "grep", "-nIE", needles, "--", ".", ":!tests/cases", ":!**/package-lock.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
