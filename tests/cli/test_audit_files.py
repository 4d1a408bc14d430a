"""Exports to files: whole, or as the file was before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policylayer.cli.audit_files import Format, write
from tests.cli.runner import Runner


@pytest.mark.usefixtures("begun")
@pytest.mark.shows("audit.1")
def test_without_pyarrow_the_file_of_last_year_stays(run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = home / "log.parquet"
    kept.write_bytes(b"last year")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("audit", "export", "--format", "parquet", "-o", kept)
    assert done.code == 1
    assert "pip install 'policylayer[parquet]'" in done.err
    assert kept.read_bytes() == b"last year"


@pytest.mark.parametrize("format", list(Format))
def test_an_export_that_breaks_off_leaves_the_file_as_it_was(home: Path, format: Format) -> None:
    kept = home / "log"
    kept.write_bytes(b"before")

    def breaking() -> Iterator[dict[str, Any]]:
        raise RuntimeError("the proxy is gone")
        yield {}

    with pytest.raises(RuntimeError):
        write(kept, format, breaking())
    assert kept.read_bytes() == b"before"
    assert not [*home.glob(".log*")]


@pytest.mark.usefixtures("begun")
def test_a_file_keeps_its_mode_and_a_link_its_place(run: Runner, home: Path) -> None:
    kept, link = home / "log", home / "link"
    kept.touch(0o600)
    link.symlink_to(kept)
    assert run("audit", "export", "-o", link, "--format", "csv").code == 0
    assert link.is_symlink()
    assert kept.read_bytes().startswith(b"id,kind")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run("audit", "export", "-o", "/dev/null").code == 0
