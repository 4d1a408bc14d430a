"""What a command must not load: each is run in a fresh interpreter, and its modules are looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("alembic", "typer", "rich", "mcp", "sqlalchemy", "aiohttp", "httpx2", "starlette", "uvicorn", "pydantic")

LOADED = """
import sys
{statements}
print(" ".join(sorted({{name.partition(".")[0] for name in sys.modules}} & {heavy!r})))
"""


def loaded(statements: str) -> set[str]:
    """Which heavy libraries are loaded after these statements."""
    program = LOADED.format(statements=statements, heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_serve_loads_no_library_of_commands() -> None:
    found = loaded("import policylayer.cli.serve, policylayer.serve.logs, policylayer.cli.running")
    assert found & {"aiohttp", "alembic", "typer", "rich", "mcp"} == set()


def test_dispatching_serve_loads_no_library_of_commands() -> None:
    found = loaded("from policylayer.cli import main\nmain(['serve', '--help'])")
    assert found == set()


def test_what_judges_policies_is_started_before_anything_is_loaded() -> None:
    program = "import sys, policylayer.cli.serve\nprint('asyncio' in sys.modules, 'policylayer.policy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_serving_from_sqlite_loads_no_words_of_postgresql() -> None:
    program = "import sys, policylayer.cli.running\nprint('sqlalchemy.dialects.postgresql' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_checking_loads_no_event_loop() -> None:
    program = "import sys, policylayer.cli.check\nprint('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("command", ["check", "test"])
def test_checking_loads_neither_database_nor_protocol(command: str) -> None:
    found = loaded(f"from policylayer.cli import main\nmain([{command!r}, 'policies/shop'])")
    assert found == set()


def test_checking_against_recorded_tools_loads_neither(tmp_path: Path) -> None:
    (tmp_path / "shop.tools.json").write_text('{"tools": [{"name": "a", "inputSchema": {"type": "object"}}]}')
    arguments = ["check", "policies/shop", "--tools", str(tmp_path), "--output", "sarif"]
    assert loaded(f"from policylayer.cli import main\nmain({arguments!r})") == set()


def test_access_of_files_loads_neither_database_nor_protocol() -> None:
    found = loaded(
        "from policylayer.cli import main\n"
        "main(['access', '--policies', 'policies/shop'])\n"
        "main(['access', '--policies', 'policies/shop', '--diff', 'policies/web', '--json'])"
    )
    assert found == set()


def test_help_loads_nothing() -> None:
    assert loaded("from policylayer.cli import main\nmain(['--help'])") == set()
