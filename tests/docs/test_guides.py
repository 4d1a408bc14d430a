"""docs/guides: each page shows its policy and tests as they are under policies/, says of each rule why, and runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from policylayer.cli import main

pytestmark = pytest.mark.shows("policy.7")

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
PAGES = sorted(path for path in GUIDES.glob("*.md") if path.name != "README.md")
EMBEDDED = re.compile(r"<!-- (policies/[\w./-]+) -->\n```yaml\n(.*?)```\n", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
SECTIONS = (
    "The policy",
    "Why each line is there",
    "What it does not protect against",
    "Its tests",
    "Try it",
)


def test_the_five_that_people_ask_for_first() -> None:
    assert [page.stem for page in PAGES] == [
        "approval-over-a-threshold",
        "keep-to-a-directory",
        "nothing-leaves-after-untrusted-input",
        "read-only-agent",
        "spend-cap",
    ]
    listed = (GUIDES / "README.md").read_text()
    assert all(f"({page.name})" in listed for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_shows_all_of_its_folder_as_it_is(page: Path) -> None:
    shown = dict(EMBEDDED.findall(page.read_text()))
    (folder,) = {Path(path).parent for path in shown}
    assert set(shown) == {str(path.relative_to(ROOT)) for path in (ROOT / folder).iterdir()}
    for path, text in shown.items():
        assert text == (ROOT / path).read_text(), f"{path} and the page differ"


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_has_every_part_and_a_word_on_every_rule(page: Path) -> None:
    text = page.read_text()
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    why = text.partition("## Why each line is there")[2].partition("\n## ")[0]
    for path, written in EMBEDDED.findall(text):
        if not path.endswith(("_test.yaml", "principals.yaml")):
            said = yaml.safe_load(written)
            names = [rule["id"] for rule in said["rules"]] + list(said.get("limits", ()))
            assert [name for name in names if f"`{name}`" not in why and name not in OBVIOUS] == []


OBVIOUS = {"read", "write"}
"""Rules that are what the others are explained by."""


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_what_a_page_says_to_try_says_what_the_page_says(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (console,) = CONSOLE.findall(page.read_text())
    commands = re.findall(r"^\$ policylayer (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    assert len(commands) == 2
    for command, expected in commands:
        assert main(shlex.split(command)) == 0
        said = capsys.readouterr().out
        if expected.endswith("…\n"):
            assert said.startswith(expected.removesuffix("…\n"))
        else:
            assert said == expected


@pytest.mark.parametrize("page", [*PAGES, GUIDES / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link
