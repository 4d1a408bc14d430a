"""Reading a branch: objects, not the work tree; only regular files; nothing of git's that could change them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from policylayer.revisions.folder import Folder
from policylayer.revisions.repository import Repository, git_folder
from policylayer.revisions.snapshot import Unsettled
from policylayer.revisions.sources import read, source_of
from tests.revisions.made import ALLOW, DENY, commit, git, repository, write


def test_the_files_of_the_branch_are_read_not_those_of_the_work_tree(tmp_path: Path) -> None:
    first = repository(tmp_path, {"a.yaml": ALLOW, "team/b.yaml": DENY, "README.md": "x", "notes.txt": "x", ".ci": "x"})
    write(tmp_path, {"a.yaml": DENY, "c.yaml": DENY})
    (tmp_path / ".git" / "index.lock").touch()
    snapshot = read(f"git:{tmp_path}@main")
    assert snapshot.files == {"a.yaml": ALLOW.encode(), "team/b.yaml": DENY.encode()}
    assert (snapshot.commit, snapshot.lock, snapshot.diagnostics) == (first, None, ())


def test_a_new_commit_is_another_state(tmp_path: Path) -> None:
    repository(tmp_path, {"a.yaml": ALLOW})
    source = source_of(f"git:{tmp_path}@main")
    before = source.state()
    assert before == source.read().state == source.commit()
    write(tmp_path, {"a.yaml": DENY})
    assert source.state() == before
    assert source.state() != commit(tmp_path)
    assert source.read().files == {"a.yaml": DENY.encode()}


def test_a_folder_of_the_branch(tmp_path: Path) -> None:
    repository(tmp_path, {"a.yaml": ALLOW, "policies/b.yaml": DENY, "policies/deep/scope.yaml": "x"})
    assert read(f"git:{tmp_path}@main:policies").files.keys() == {"b.yaml", "deep/scope.yaml"}
    with pytest.raises(Unsettled, match="no folder"):
        read(f"git:{tmp_path}@main:nothing")


def test_branches_tags_and_commits_are_named(tmp_path: Path) -> None:
    first = repository(tmp_path, {"a.yaml": ALLOW})
    git(tmp_path, "tag", "-a", "v1", "-m", "x")
    write(tmp_path, {"a.yaml": DENY})
    commit(tmp_path)
    for ref in ("v1", first, "main~1"):
        assert read(f"git:{tmp_path}@{ref}").files == {"a.yaml": ALLOW.encode()}


@pytest.mark.parametrize("ref", ["nothing", "", "--help", "main --", "main:a.yaml@x"])
def test_what_names_no_commit(tmp_path: Path, ref: str) -> None:
    repository(tmp_path, {"a.yaml": ALLOW})
    with pytest.raises(Unsettled):
        Repository(tmp_path, ref).read()
    assert Repository(tmp_path, ref).commit() is None


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(Unsettled):
        read(f"git:{tmp_path / 'missing'}@main")


@pytest.mark.shows("policy.5")
def test_links_and_large_files_are_reported(tmp_path: Path) -> None:
    write(tmp_path, {"big.yaml": b"x" * ((1 << 20) + 1)})
    (tmp_path / "link.yaml").symlink_to("/etc/passwd")
    repository(tmp_path, {"a.yaml": ALLOW})
    snapshot = read(f"git:{tmp_path}@main")
    assert snapshot.files.keys() == {"a.yaml"}
    assert {finding.file: finding.message for finding in snapshot.diagnostics} == {
        "big.yaml": "the file is larger than 1 MiB",
        "link.yaml": "this is a link, not a file",
    }


def test_replaced_objects_are_not_believed(tmp_path: Path) -> None:
    repository(tmp_path, {"a.yaml": DENY})
    blob = git(tmp_path, "rev-parse", "HEAD:a.yaml")
    write(tmp_path, {".other": ALLOW})
    git(tmp_path, "replace", blob, git(tmp_path, "hash-object", "-w", ".other"))
    assert read(f"git:{tmp_path}@main").files == {"a.yaml": DENY.encode()}


def test_empty_and_equal_files(tmp_path: Path) -> None:
    repository(tmp_path, {"a.yaml": "", "b.yaml": "", "c.yaml": "x\n\ny"})
    assert read(f"git:{tmp_path}@main").files == {"a.yaml": b"", "b.yaml": b"", "c.yaml": b"x\n\ny"}


def test_a_repository_that_cannot_be_looked_at_is_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = os.stat

    def look(path: Any, **how: Any) -> os.stat_result:
        if str(path).endswith(".git"):
            raise PermissionError(errno.EACCES, "not for you")
        return looked_at(path, **how)

    (tmp_path / ".git").mkdir()
    assert git_folder(tmp_path) == tmp_path / ".git"
    monkeypatch.setattr(os, "stat", look)
    with pytest.raises(Unsettled, match=f"`{tmp_path}` cannot be looked into: not for you"):
        git_folder(tmp_path)
    assert "cannot be looked into" in str(Folder(tmp_path).state())
    assert Folder(tmp_path).commit() is None
