"""A folder of policy files: read whole, below one resolved path, without following anything out of it.

Links out of the folder, pipes, devices, files that are too large or that anybody may write are reported, never read and
never waited for. Links to files within the folder are followed: mounted configuration is made of them. Must not know
what the files mean; the git locks around a folder are `repository.py`'s.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote, visible
from policylayer.policy.encoding import MAX_BYTES
from policylayer.policy.load import kind_of
from policylayer.revisions.repository import clean_commit, closed, git_folder, held_lock
from policylayer.revisions.snapshot import Snapshot, Unsettled

MAX_FILES: Final = 2000
MAX_DEPTH: Final = 16
MAX_TOTAL: Final = 64 * MAX_BYTES
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)

_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


class Folder:
    """A folder on disk; it may itself be a link, which is resolved anew for each read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Snapshot:
        """One full read."""
        root = self._root()
        walk = _Walk(root)
        git = git_folder(root)
        lock = held_lock(git)
        walk.folder("", 0)
        state = (str(root), tuple(sorted(walk.marks)), lock)
        return Snapshot(walk.files, tuple(walk.sink), state, walk.changed_ns // 1000, lock or held_lock(git))

    def state(self) -> object:
        """Names, sizes and times of everything, and a lock where one is held."""
        try:
            root = self._root()
            walk = _Walk(root, contents=False)
            walk.folder("", 0)
            return str(root), tuple(sorted(walk.marks)), held_lock(git_folder(root))
        except Unsettled as problem:
            return problem.message

    def commit(self) -> str | None:
        """The commit checked out, if the folder is as it says."""
        return clean_commit(self._path)

    def _root(self) -> Path:
        try:
            root = self._path.resolve(strict=True)
            is_folder = root.is_dir()
        except PermissionError as problem:
            raise closed(str(self._path), problem) from None
        except (OSError, RuntimeError):
            raise Unsettled(
                f"there is no folder {quote(str(self._path))}",
                "is this the right place? Name another, or let `policylayer init` write a first one",
            ) from None
        if not is_folder:
            raise Unsettled(f"{quote(str(self._path))} is not a folder", "name a folder of policy files")
        return root


@dataclass(slots=True)
class _Walk:
    """One walk over a folder. `marks` are what `state` compares."""

    root: Path
    contents: bool = True
    files: dict[str, bytes] = field(default_factory=dict)
    sink: list[Diagnostic] = field(default_factory=list)
    marks: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    changed_ns: int = 0
    total: int = 0

    def folder(self, below: str, depth: int) -> None:
        """Everything in a folder, in order; what begins with a dot is not looked at."""
        if depth > MAX_DEPTH:
            self.report(below, f"folders are nested more than {MAX_DEPTH} deep")
            return
        try:
            with os.scandir(self.root / below) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            self.changed(os.stat(self.root / below))
        except OSError as problem:
            self.marks.append((below + "/", 0, 0, 0, 0))
            self.report(below or ".", f"the folder cannot be read: {_why(problem)}")
            return
        for entry in found:
            if not entry.name.startswith("."):
                self.entry(entry, f"{below}/{entry.name}" if below else entry.name, depth)

    def entry(self, entry: os.DirEntry[str], path: str, depth: int) -> None:
        """One entry of a folder."""
        if not _is_text(path):
            self.report(path, "the file's name is not UTF-8")
        elif entry.is_dir(follow_symlinks=False):
            if kind_of(path) in ("ignored", "unknown"):
                self.folder(path, depth + 1)
            else:
                self.report(path, "this is a folder, not a file", "a folder's name does not end like a file's")
        elif kind_of(path) != "ignored":
            if len(self.marks) >= MAX_FILES:
                if len(self.marks) == MAX_FILES:
                    self.report(path, f"the folder holds more than {MAX_FILES} files")
                    self.marks.append((path, 0, 0, 0, 0))
                return
            self.file(path)

    def file(self, path: str) -> None:
        """One file, through a link within the folder if it is one."""
        try:
            # A text, not a path: this is done for every file, twice a second.
            found = os.lstat(f"{self.root}/{path}")
            self.mark(path, found)
            if not (self.contents or stat.S_ISLNK(found.st_mode)):
                return
            place = self.root / path
            if stat.S_ISLNK(found.st_mode):
                place = place.resolve(strict=True)
                if not place.is_relative_to(self.root):
                    self.report(path, "a link out of the folder is not followed", "copy the file")
                    return
                found = os.stat(place, follow_symlinks=False)
                self.mark(path, found)
            if self.contents and self.permitted(path, found):
                self.files[path] = b"" if kind_of(path) == "unknown" else self.bytes_of(place, path)
        except (OSError, RuntimeError) as problem:
            self.report(path, f"the file cannot be read: {_why(problem)}")

    def permitted(self, path: str, found: os.stat_result) -> bool:
        """Whether a file is one that may be read; reported where not."""
        if not stat.S_ISREG(found.st_mode):
            kind = next((name for check, name in _KINDS if check(found.st_mode)), "no file")
            self.report(path, f"this is {kind}, not a file", "only regular files are read")
            return False
        if found.st_mode & stat.S_IWOTH:
            self.report(path, "anybody on this machine may write this file", "chmod o-w")
            return False
        return True

    def bytes_of(self, place: Path, path: str) -> bytes:
        """A file's content, or so much of it that it is seen to be too large."""
        descriptor = os.open(place, _OPEN)
        with open(descriptor, "rb", closefd=True) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it is not a file any more")
            content = file.read(MAX_BYTES + 1)
        self.total += len(content)
        if self.total > MAX_TOTAL:
            self.report(path, f"the folder holds more than {MAX_TOTAL >> 20} MiB")
            return b""
        return content

    def mark(self, path: str, found: os.stat_result) -> None:
        """Remember what tells this state of an entry from another."""
        self.marks.append((path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        self.changed(found)

    def changed(self, found: os.stat_result) -> None:
        """Remember when the newest change was made; a folder's own time tells of what was removed."""
        self.changed_ns = max(self.changed_ns, found.st_ctime_ns)

    def report(self, path: str, message: str, help: str = "") -> None:
        """Say that something could not be read."""
        self.sink.append(error(Code.UNREADABLE, Span(visible(path), 1, 1), message, help))


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return path.isprintable()


def _why(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) else None) or "a link that leads nowhere"
