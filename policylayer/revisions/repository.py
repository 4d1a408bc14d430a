"""A branch of a git repository: objects are read, not the work tree; and what git says of a folder on disk.

Calls the `git` program with a time limit and without hooks, filters, prompts, replaced objects or fetching. A commit
never changes, so one read is a whole state. Must not know what the files mean.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote, visible
from policylayer.policy.encoding import MAX_BYTES
from policylayer.policy.load import kind_of
from policylayer.revisions.snapshot import Snapshot, Unsettled

SECONDS: Final = 10
MAX_FILES: Final = 2000
_LINK, _SUBMODULE = "120000", "160000"


class Repository:
    """`git:PATH@REF`, or below one folder of it."""

    def __init__(self, path: Path, ref: str, below: str = "") -> None:
        self._path = path
        self._ref = ref
        self._below = below

    def read(self) -> Snapshot:
        """The files of the commit that the ref names now."""
        commit = self._commit()
        sink: list[Diagnostic] = []
        wanted = self._tree(commit, sink)
        contents = self._contents([blob for _, blob in wanted])
        files = {path: contents[blob] for path, blob in wanted}
        return Snapshot(files, tuple(sink), commit, commit=commit)

    def state(self) -> object:
        """The commit that the ref names now."""
        try:
            return self._commit()
        except Unsettled as problem:
            return problem.message

    def commit(self) -> str | None:
        """The commit that the ref names now."""
        state = self.state()
        return state if isinstance(state, str) and len(state) in (40, 64) else None

    def _commit(self) -> str:
        if not self._ref or self._ref.startswith("-"):
            raise Unsettled("the source names no branch", "write git:REPOSITORY@BRANCH")
        found = _git(self._path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{self._ref}^{{commit}}")
        if found is None:
            message = f"{quote(str(self._path))} has no commit that {quote(self._ref)} names"
            raise Unsettled(message, "check the repository's path and the branch")
        return found.decode().strip()

    def _tree(self, commit: str, sink: list[Diagnostic]) -> list[tuple[str, str]]:
        """The paths to read, each with its blob."""
        root = f"{commit}:{self._below}" if self._below else commit
        listed = _git(self._path, "ls-tree", "-r", "-z", "-l", "--full-tree", root)
        if listed is None:
            message = f"there is no folder {quote(self._below)} in {quote(self._ref)}"
            raise Unsettled(message, "check the folder after the colon")
        found: list[tuple[str, str]] = []
        for line in listed.split(b"\0")[:-1]:
            head, _, name = line.partition(b"\t")
            mode, _, blob, size = head.decode().split()
            path = name.decode("utf-8", "surrogateescape")
            if kind_of(path) in ("ignored", "unknown"):
                continue
            problem = _problem(mode, size, path)
            if len(found) >= MAX_FILES:
                problem = f"the branch holds more than {MAX_FILES} files"
            if problem:
                sink.append(error(Code.UNREADABLE, Span(visible(path), 1, 1), problem, "only regular files are read"))
            else:
                found.append((path, blob))
            if len(found) >= MAX_FILES and problem:
                break
        return found

    def _contents(self, blobs: list[str]) -> dict[str, bytes]:
        asked = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs)).encode()
        answer = _git(self._path, "cat-file", "--batch", asked=asked)
        if answer is None:
            raise Unsettled("git could not read the branch's files", "run `git fsck`")
        contents: dict[str, bytes] = {}
        position = 0
        while position < len(answer):
            end = answer.index(b"\n", position)
            blob, kind, size = answer[position:end].decode().split()
            if kind != "blob":
                raise Unsettled("git could not read the branch's files", "run `git fsck`")
            contents[blob] = answer[end + 1 : end + 1 + int(size)]
            position = end + 2 + int(size)
        return contents


def _problem(mode: str, size: str, path: str) -> str | None:
    if mode in (_LINK, _SUBMODULE):
        return f"this is {'a link' if mode == _LINK else 'a submodule'}, not a file"
    if int(size) > MAX_BYTES:
        return "the file is larger than 1 MiB"
    return None if path.isprintable() else "the file's name is not UTF-8"


def _git(where: Path, *arguments: str, asked: bytes = b"") -> bytes | None:
    """What git prints, or None where it fails, hangs, or is not installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
    command = ["git", "-C", str(where), "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(
            command,
            input=asked,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={**kept, **quiet, "GIT_NO_LAZY_FETCH": "1"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


# --- what git says of a folder on disk --------------------------------------------------------------------------------


NOTHING_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def git_folder(folder: Path) -> Path | None:
    """The git directory that a folder's work tree belongs to, or None. The folder's path is absolute.

    Raises `Unsettled` where that cannot be seen: it may be a repository that git is at work in.
    """
    # Texts, not paths: this is done every second, and mostly finds nothing.
    above, below = str(folder), ""
    while above != below:
        place = os.path.join(above, ".git")
        try:
            mode = os.stat(place).st_mode
        except OSError as problem:
            if problem.errno not in NOTHING_THERE:
                raise closed(above, problem) from None
            mode = 0
        if stat.S_ISDIR(mode):
            return Path(place)
        if stat.S_ISREG(mode):
            return _linked(Path(place))
        above, below = os.path.dirname(above), above
    return None


def _linked(place: Path) -> Path | None:
    """The git directory that a file in its place names, as it does in a work tree beside another."""
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            text = file.read(4096).strip()
        linked = (place.parent / text.removeprefix("gitdir:").strip()).resolve()
        return linked if text.startswith("gitdir:") and linked.is_dir() else None
    except OSError as problem:
        raise closed(str(place), problem) from None


def closed(place: str, problem: OSError) -> Unsettled:
    """What to say of a folder, or a file, that cannot be looked into."""
    why = (problem.strerror or "failed").lower()
    help = "give the user who runs this the right to read it (of a folder also to enter it), or run as its owner"
    return Unsettled(f"{quote(place, 400)} cannot be looked into: {why}", help)


def work_tree(folder: Path) -> Path | None:
    """The top of the work tree that a folder is in, or None."""
    return next((above for above in (folder, *folder.parents) if os.path.exists(above / ".git")), None)


def held_lock(git: Path | None) -> str | None:
    """The name of a lock that says git is at work in the repository, or None."""
    if git is None:
        return None
    try:
        names = sorted(entry.name for entry in os.scandir(git) if entry.name.endswith(".lock"))
        names += sorted(str(path.relative_to(git)) for path in (git / "refs" / "heads").rglob("*.lock"))
    except OSError:
        return None
    return names[0] if names else None


def clean_commit(folder: Path) -> str | None:
    """The commit checked out around a folder, if the folder holds exactly what it says."""
    try:
        if git_folder(folder.resolve()) is None:
            return None
    except Unsettled:
        return None
    changes = _git(folder, "status", "--porcelain", "-z", "--untracked-files=all", "--", ".")
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    return commit.decode().strip() if commit and changes == b"" else None
