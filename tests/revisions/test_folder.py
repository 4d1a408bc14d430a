"""Reading a folder: whole, below its own path, and never hanging on what is no file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from policylayer.policy.load import load
from policylayer.revisions import folder as folder_module
from policylayer.revisions.folder import Folder
from policylayer.revisions.snapshot import Snapshot, Unsettled
from tests.revisions.made import ALLOW, DENY, commit, repository, write


def said(folder: Path) -> list[tuple[str, str]]:
    """Files and messages of what is wrong."""
    return [(finding.file, finding.message) for finding in Folder(folder).read().diagnostics]


def read(folder: Path) -> Snapshot:
    """A read in which nothing is wrong."""
    snapshot = Folder(folder).read()
    assert snapshot.diagnostics == ()
    return snapshot


def test_all_files_are_read_and_dotfiles_are_not_looked_at(tmp_path: Path) -> None:
    files = {"a.yaml": ALLOW, "team/b.yaml": DENY, "team/deep/scope.yaml": "x", "r.rego": "package policylayer"}
    write(tmp_path, {**files, ".git/x.yaml": "x", ".a.yaml.swp": "x", "README.md": "x"})
    assert read(tmp_path).files == {name: text.encode() for name, text in files.items()}


def test_other_files_are_named_but_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": "x" * (2 << 20)})
    assert read(tmp_path).files == {"notes.txt": b""}


@pytest.mark.shows("policy.5")
def test_load_07_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"secret.yaml": ALLOW})
    folder = write(tmp_path / "policies", {"a.yaml": ALLOW})
    (folder / "b.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "c.yaml").symlink_to("/dev/zero")
    (folder / "d.yaml").symlink_to("nowhere")
    (folder / "e.yaml").symlink_to("e.yaml")
    messages = dict(said(folder))
    assert messages.keys() == {"b.yaml", "c.yaml", "d.yaml", "e.yaml"}
    assert messages["b.yaml"] == messages["c.yaml"] == "a link out of the folder is not followed"
    assert Folder(folder).read().files.keys() == {"a.yaml"}


@pytest.mark.shows("policy.5")
def test_load_07_pipes_sockets_and_folders_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"d.yaml/x.txt": "x"})
    os.mkfifo(tmp_path / "a.yaml")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("b.yaml")
        (tmp_path / "c.yaml").symlink_to("d.yaml")
        assert said(tmp_path) == [
            ("a.yaml", "this is a pipe, not a file"),
            ("b.yaml", "this is a socket, not a file"),
            ("c.yaml", "this is a folder, not a file"),
            ("d.yaml", "this is a folder, not a file"),
        ]


@pytest.mark.shows("policy.5")
def test_load_07_what_anybody_may_write_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": ALLOW})
    (tmp_path / "a.yaml").chmod(0o666)
    assert said(tmp_path) == [("a.yaml", "anybody on this machine may write this file")]


def test_a_large_file_is_read_until_it_is_seen_to_be_too_large(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": b"x" * (3 << 20)})
    files = read(tmp_path).files
    assert len(files["a.yaml"]) == (1 << 20) + 1
    assert [finding.code for finding in load(files).errors] == ["PL112"]


def test_too_many_files_too_much_and_too_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {f"{number}.yaml": "x" for number in range(8)})
    monkeypatch.setattr(folder_module, "MAX_FILES", 5)
    assert said(tmp_path) == [("5.yaml", "the folder holds more than 5 files")]
    monkeypatch.setattr(folder_module, "MAX_FILES", 2000)
    monkeypatch.setattr(folder_module, "MAX_TOTAL", 7)
    assert [file for file, _ in said(tmp_path)] == ["7.yaml"]
    write(tmp_path, {"d/" * 20 + "a.yaml": "x"})
    assert any("deep" in message for _, message in said(tmp_path))


def test_a_name_that_is_no_text_is_reported(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.yaml", os.O_CREAT))
    write(tmp_path, {"a\nb.yaml": "x"})
    assert {message for _, message in said(tmp_path)} == {"the file's name is not UTF-8"}


def test_mounted_configuration_of_links_within_the_folder_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"..one/a.yaml": ALLOW})
    (tmp_path / "..data").symlink_to("..one")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    before = read(tmp_path)
    assert before.files == {"a.yaml": ALLOW.encode()}
    write(tmp_path, {"..two/a.yaml": DENY})
    (tmp_path / "..new").symlink_to("..two")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    assert Folder(tmp_path).state() != before.state
    assert read(tmp_path).files == {"a.yaml": DENY.encode()}


def test_state_is_what_read_says_until_something_changes(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": ALLOW, "b/c.yaml": DENY})
    (tmp_path / "out.yaml").symlink_to("/dev/zero")
    source = Folder(tmp_path)
    before = source.read().state
    assert source.state() == before
    write(tmp_path, {".a.yaml.swp": "x"})
    assert source.state() == before, "what is not read is no change"
    (tmp_path / "b" / "c.yaml").rename(tmp_path / "b" / "d.yaml")
    assert source.state() != before


@pytest.mark.parametrize("name", ["missing", "file"])
def test_no_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"file": "x"})
    source = Folder(tmp_path / name)
    with pytest.raises(Unsettled, match="folder"):
        source.read()
    assert isinstance(source.state(), str)


def test_a_lock_of_the_repository_around_it_is_seen(tmp_path: Path) -> None:
    repository(tmp_path, {"policies/a.yaml": ALLOW})
    source = Folder(tmp_path / "policies")
    before = source.state()
    for lock in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        place = tmp_path / ".git" / lock
        place.touch()
        assert source.read().lock == lock
        assert source.state() != before
        place.unlink()
    assert source.read().lock is None


def test_a_lock_of_a_linked_work_tree_is_seen(tmp_path: Path) -> None:
    write(tmp_path, {"real/worktrees/x/index.lock": "", "tree/policies/a.yaml": ALLOW})
    write(tmp_path, {"tree/.git": f"gitdir: {tmp_path}/real/worktrees/x\n"})
    assert Folder(tmp_path / "tree" / "policies").read().lock == "index.lock"


def test_the_commit_is_recorded_where_the_folder_is_as_it_says(tmp_path: Path) -> None:
    first = repository(tmp_path, {"policies/a.yaml": ALLOW, "other": "x"})
    source = Folder(tmp_path / "policies")
    assert source.commit() == first
    write(tmp_path, {"other": "y"})
    assert source.commit() == first, "the rest of the repository is no matter"
    write(tmp_path, {"policies/b.yaml": DENY})
    assert source.commit() is None
    assert source.commit() != commit(tmp_path)
    assert source.commit() is not None


def test_no_commit_outside_a_repository(tmp_path: Path) -> None:
    assert Folder(write(tmp_path, {"a.yaml": ALLOW})).commit() is None
