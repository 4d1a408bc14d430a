"""docs/operations.md: the metrics, log lines, spans, files and commands that it names are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from policylayer.api.exposition import exposition
from policylayer.cli import main
from policylayer.config import load
from policylayer.proxy import trace_words
from tests.api.rig import api

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ALERTS = PAGE.partition("## What to alert on")[2]


@pytest.mark.anyio
async def test_every_metric_is_one(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        families = set(re.findall(r"^# TYPE (\S+)", exposition(rig.services), re.MULTILINE))
    named = set(re.findall(r"\bpolicylayer_[a-z_]+\b", ALERTS))
    assert len(named) >= 4
    assert named <= families


def test_every_line_of_the_log_is_written_somewhere() -> None:
    lines = [line for line in re.findall(r"`([^`]+)`[^|`]*in the log", ALERTS) if " " in line]
    lines += re.findall(r"`(a checkpoint could not be sent)`", ALERTS)
    assert len(lines) >= 3
    for line in lines:
        found = subprocess.run(["git", "grep", "-qF", f'"{line}"', "--", "policylayer"], cwd=ROOT, check=False)
        assert found.returncode == 0, f"nothing logs `{line}`"


def test_every_attribute_of_a_span_is_one() -> None:
    source = Path(trace_words.__file__).read_text() + Path(trace_words.__file__).with_name("tracing.py").read_text()
    for name in re.findall(r"`((?:mcp|gen_ai|jsonrpc|error|policylayer)\.[a-z_.]+)`", PAGE):
        assert f'"{name}"' in source, name
    for step in trace_words.STEPS.values():
        assert step == "upstream" or step in PAGE.replace("\n", " ")


def test_its_files_are_there() -> None:
    named = re.findall(r"`((?:deploy|docs)/[\w./-]+|docker-compose[\w.]*\.yml)`", PAGE)
    assert len(named) >= 3
    for name in named:
        assert (ROOT / name).exists() or list(ROOT.glob(f"{name}-*.md")), name


def test_its_configuration_is_taken(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policylayer.yaml"
    texts = [text for text in re.findall(r"`((?:telemetry|audit): \{[^`]+\})`", PAGE) if "MODE" not in text]
    assert texts
    for text in texts:
        file.write_text(f'servers: {{a: {{url: "http://127.0.0.1:1/mcp"}}}}\n{text}\n')
        assert load(file, {}).servers


def test_its_commands_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"policylayer ((?:audit|migrate)[a-z ]*)", PAGE)
    options = {
        word: re.findall(rf"`?(?:policylayer )?{word}((?: [^`\n]*)?)`", PAGE)
        for word in ("audit export", "audit prune", "audit verify", "migrate")
    }
    assert {command.strip() for command in commands} >= {"audit prune", "audit mark", "audit query", "migrate"}
    for command in re.findall(r"^    policylayer (approvals \w+)", PAGE, re.MULTILINE):
        assert main([*command.split(), "--help"]) == 0
        assert f"policylayer {command}" in capsys.readouterr().out
    for word, uses in options.items():
        assert main([*word.split(), "--help"]) == 0
        said = capsys.readouterr().out
        for option in {option for use in uses for option in re.findall(r"--[a-z-]+", use)}:
            assert option in said, f"{word} {option}"
