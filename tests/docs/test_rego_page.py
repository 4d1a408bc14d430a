"""docs/rego.md: its Rego loads and decides, its configuration is taken, its table names every field of the document."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.policy.load import load
from policylayer.rego.document import VERSION, document
from policylayer.rego.examine import examined

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "rego.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_its_rego_loads() -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    for number, text in enumerate(blocks("rego")):
        files = {f"{number}.rego": text.encode()}
        assert examined(load(files), files).problems == ()


def test_its_configuration_is_taken(tmp_path: Path) -> None:
    from policylayer.config import load as load_config

    (tmp_path / "policies").mkdir()
    for text in blocks("yaml"):
        file = tmp_path / "policylayer.yaml"
        file.write_text('servers: {a: {url: "http://127.0.0.1:1/mcp"}}\n' + text)
        config = load_config(file)
        assert config.opa is not None or config.rego.workers == 2


def test_every_field_of_the_document_is_in_the_table() -> None:
    call = Call("s", "tools/call", "t", {"a": 1}, b"", b"", "2026-07-28", {"k": 1})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    asked = Question(
        call, Subject("agent:a"), ServerFacts("s"), at, Subject("user:u"), annotations={}, ip="127.0.0.1", client="c"
    )
    made = document(asked, lambda subject, now: {"id": subject.id})
    assert made["version"] == VERSION
    assert {name for name in made if f"`{name}" not in PAGE} == set()
    assert {name for name in made["request"] if name not in PAGE} == set()
