"""Pure: what the decision log keeps of a call's arguments: bounded, on one line, secrets masked before all else.

Each masked value becomes a marker with a keyed digest of it: equal values have equal markers, so that an auditor can
look for a value that the log does not hold. Where markers stand is said beside the text, so that an argument that looks
like one is not taken for it. Must not know keys (`mark` is handed in), rows, or what the policy's paths are for;
what looks like a secret is in `secret_shapes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import orjson

from policylayer.core.call import Json
from policylayer.core.immutable import immutable
from policylayer.core.secret_shapes import (
    decoded,
    is_secret_key,
    mask_spans,
    names_secret,
    plain,
    plain_key,
    squeeze,
)

Mode: TypeAlias = Literal["none", "digest", "read", "redacted", "full"]
Mark: TypeAlias = Callable[[Json], str]
Path: TypeAlias = tuple[str, ...]

NESTING: Final = 4
"""How many texts within texts (JSON in a string, base64) are opened."""

LISTED: Final = 100
"""How many masked places are named."""

POINTER: Final = 512
"""Characters that the name of a place may have."""

MORE: Final = "…"
"""Stands for the places that are not named."""


@immutable
class Sizes:
    """Characters that one string, and the whole text, may have; longer ones are masked.

    `work` bounds looking: about twice the characters that may be kept, since what stands in texts is looked at again.
    Beyond it a denied call would cost its sender nothing and everybody else seconds.
    """

    value: int = 4096
    whole: int = 65_536
    work: int = 131_072


FULL: Final = Sizes(value=4 << 20, whole=4 << 20)


A_VALUE: Final = 4
"""What looking at one value costs, in steps of which there are `Sizes.work`."""

A_TEXT: Final = 16
"""What looking at one text or key costs besides, and besides its characters."""

A_MARK: Final = 64
"""What one more marker costs: a keyed digest, and naming the place."""

OPENED: Final = 65_536
"""Characters of a text that is opened to pick what rules read in it; a longer one is kept, and so masked, whole."""


class TooMuchError(Exception):
    """The arguments take more work to look through than a record is worth; nothing of them may be kept."""


@immutable
class View:
    """What is kept. `mode` is how it came out: `digest` where nothing of the arguments may be kept.

    `masked` are JSON pointers of what was masked; `why` says why less was kept than configured.
    """

    mode: Mode
    text: str | None = None
    masked: tuple[str, ...] = ()
    why: str | None = None


@immutable
class Redactor:
    """Makes views. `secret_keys` are further names of keys whose values are masked."""

    mark: Mark
    secret_keys: frozenset[str] = frozenset()
    sizes: Sizes = field(default_factory=Sizes)

    @classmethod
    def of(cls, mark: Mark, secret_keys: Iterable[str] = ()) -> Redactor:
        """A redactor for these further names, written as people write them."""
        return cls(mark, frozenset(squeeze(name) for name in secret_keys))

    def view(
        self,
        mode: Mode,
        arguments: Mapping[str, Json],
        *,
        paths: tuple[str, ...] = (),
        reads: Iterable[Path] | None = None,
        root: str = "args",
    ) -> View:
        """What to keep of `arguments`. `paths` are the policy's `redact`, `reads` what its rules read (`read` mode);
        both begin with `root`. Whatever goes wrong, nothing unmasked is kept."""
        if mode in ("none", "digest"):
            return View(mode)
        try:
            return self._view(mode, arguments, paths, reads, root)
        except TooMuchError:
            return View("digest", why="too much to look through")
        except Exception as error:
            return View("digest", why=f"not redactable: {type(error).__name__}")

    def address(self, text: str) -> str:
        """A resource's address as it may be kept: it may hold a password, or a token."""
        try:
            return text if plain(text.encode()) else _Walk(self).text(text)
        except Exception:
            return f"[redacted:{self.mark(text)}]"

    def _view(
        self, mode: Mode, arguments: Mapping[str, Json], paths: tuple[str, ...], reads: Iterable[Path] | None, root: str
    ) -> View:
        if mode == "full":
            return _bounded(mode, arguments, (), FULL.whole)
        if mode == "read":
            arguments = pick(arguments, [path[1:] for path in reads or () if path[:1] == (root,)])
        chosen = tuple(path[1:] for path in map(parse_path, paths) if path[:1] == (root,))
        if not chosen:
            text = orjson.dumps(arguments)
            # Most calls hold nothing to mask, which one look at the text can tell; long texts are only walked.
            if len(text) <= self.sizes.value and plain(text) and not self._has_secret_key(arguments):
                return View(mode, text.decode())
        walk = _Walk(self)
        walked = walk.value(dict(arguments), chosen)
        return _bounded(mode, walked, tuple(walk.masked), self.sizes.whole)

    def _has_secret_key(self, value: Mapping[str, Json]) -> bool:
        """Whether any key in here, at any depth, names a secret."""
        extra = self.secret_keys
        stack: list[Json] = [dict(value)]
        while stack:
            item = stack.pop()
            if isinstance(item, dict):
                for key, below in item.items():
                    if names_secret(key, extra) and is_secret_key(key, below, extra):
                        return True
                    kind = type(below)
                    if kind is dict or kind is list:
                        stack.append(below)
            elif isinstance(item, list):
                stack.extend(below for below in item if isinstance(below, dict | list))
        return False


def _bounded(mode: Mode, value: object, masked: tuple[str, ...], whole: int) -> View:
    text = orjson.dumps(value).decode()
    if len(text) > whole:
        return View("digest", why=f"too large: {len(text)} characters")
    return View(mode, text, masked)


class _Walk:
    """One pass over the arguments, which copies what it changes, and gives up where it takes too much work."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._left = redactor.sizes.work
        self._at: list[str] = []
        self._changes = 0
        self._nesting = 0
        self.masked: list[str] = []

    def text(self, text: str) -> str:
        """A text that stands alone, as it may be kept."""
        return self._string(text)

    def value(self, value: Json, paths: tuple[Path, ...]) -> Json:
        """The value as it may be kept; `paths` are what is left of the policy's, from here."""
        self._spend(A_VALUE)
        if () in paths:
            return self._mask(value)
        if isinstance(value, dict):
            return dict(self._member(key, item, paths) for key, item in value.items())
        if isinstance(value, list):
            return [self._step(str(i), item, below(paths, str(i))) for i, item in enumerate(value)]
        if ("**",) in paths:
            return self._mask(value)
        return self._string(value, paths) if isinstance(value, str) else value

    def _step(self, name: str, value: Json, paths: tuple[Path, ...]) -> Json:
        self._at.append(name)
        kept = self.value(value, paths)
        self._at.pop()
        return kept

    def _member(self, key: str, value: Json, paths: tuple[Path, ...]) -> tuple[str, Json]:
        """A member as it may be kept, under its name as that may be. What is too long to be a name hides what is
        under it."""
        self._spend(A_TEXT + len(key))
        name = self._name(key)
        if len(key) <= self._redactor.sizes.value and not is_secret_key(key, value, self._redactor.secret_keys):
            return name, self._step(_escape(name), value, below(paths, key))
        self._at.append(_escape(name))
        kept = self._mask(value)
        self._at.pop()
        return name, kept

    def _name(self, key: str) -> str:
        """A key as it may be kept: a secret gains nothing by standing before the colon.

        Where a name is not what it was, the whole object is not.
        """
        if plain_key(key):
            return key
        name = self._string(key)
        if name != key:
            self._note()
        return name

    def _string(self, text: str, paths: tuple[Path, ...] = ()) -> str:
        self._spend(A_TEXT)
        if len(text) > self._redactor.sizes.value:
            self._spend(A_MARK)
            self._note()
            return f"[cut:{self._redactor.mark(text)}:{len(text)}]"
        self._spend(len(text))
        inner = self._json(text, paths)
        if inner is not None:
            return inner
        masked = mask_spans(text, self._marker)
        if masked is not None:
            self._note()
            return masked
        hidden = decoded(text)
        return self._mask(text) if hidden is not None and self._holds_secret(hidden) else text

    def _json(self, text: str, paths: tuple[Path, ...]) -> str | None:
        """A text that is a JSON object or array, with what is in it masked; None where nothing was, or it is none.

        The policy's paths go on into it: a meta-tool may take arguments so.
        """
        if self._nesting >= NESTING or text.lstrip()[:1] not in ("{", "["):
            return None
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        self._nesting += 1
        before = self._changes
        walked = self.value(parsed, paths)
        self._nesting -= 1
        return orjson.dumps(walked).decode() if self._changes > before else None

    def _holds_secret(self, text: str) -> bool:
        if self._nesting >= NESTING:
            return True
        self._nesting += 1
        before = len(self.masked)
        found = self._string(text) != text
        self._nesting -= 1
        del self.masked[before:]
        return found

    def _mask(self, value: Json) -> str:
        self._note()
        return self._marker(value)

    def _marker(self, value: Json) -> str:
        self._spend(A_MARK)
        return f"[redacted:{self._redactor.mark(value)}]"

    def _note(self) -> None:
        """Say that what is here is not what it was. What has no short name is one of the places that are not named."""
        self._changes += 1
        at = "".join(f"/{step}" for step in self._at)
        self._spend(len(at))
        if self.masked[-1:] == [at]:
            return
        if len(self.masked) < LISTED and len(at) <= POINTER:
            self.masked.append(at)
        elif self.masked[-1:] != [MORE]:
            self.masked.append(MORE)

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise TooMuchError


def below(paths: tuple[Path, ...], step: str) -> tuple[Path, ...]:
    """What is left of each path after one step; `*` is one step, `**` any number."""
    left: list[Path] = []
    for path in paths:
        if path[0] == "**":
            left.append(path)
            left.extend(below((path[1:],), step) if len(path) > 1 else ())
        elif path[0] in ("*", step):
            left.append(path[1:])
    # Two ways to one place would be four at the next: a deep value would take all there are.
    return tuple(dict.fromkeys(left)) if len(left) > 1 else tuple(left)


def pick(arguments: Mapping[str, Json], paths: Iterable[Path]) -> dict[str, Json]:
    """Only what these paths lead to, in its place; a path that leads to nothing adds nothing."""
    kept: dict[str, Json] = {}
    for path in sorted(paths):
        if not path:
            return dict(arguments)
        _copy(arguments, kept, path)
    return kept


def _copy(source: Mapping[str, Json], kept: dict[str, Json], path: Path) -> None:
    key, rest = path[0], path[1:]
    if key not in source:
        return
    value = source[key]
    opened = _opened(value) if rest and isinstance(value, str) else None
    if opened is not None:
        if kept.get(key) == value:
            return
        before = _opened(kept.get(key)) or {}
        _copy(opened, before, rest)
        kept[key] = orjson.dumps(before).decode()
        return
    # A path through what is no object is a wrong type to the rule that reads it: it is kept as far as it goes.
    if not rest or not isinstance(value, dict):
        kept[key] = value
        return
    below = kept.setdefault(key, {})
    if isinstance(below, dict) and below is not value:
        _copy(value, below, rest)


def _opened(text: object) -> dict[str, Json] | None:
    """The object that a text is as JSON, which is no wrong type to a rule about a call inside a call."""
    if not isinstance(text, str) or len(text) > OPENED or text.lstrip()[:1] != "{":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


@lru_cache(maxsize=1024)
def parse_path(text: str) -> Path:
    """A redact path cut at its dots; parts in double quotes hold any character. Any number of steps twice is once."""
    parts: list[str] = []
    rest = text
    while rest:
        if rest.startswith('"'):
            part, _, rest = rest[1:].partition('"')
            rest = rest.removeprefix(".")
        else:
            part, _, rest = rest.partition(".")
        if part != "**" or parts[-1:] != ["**"]:
            parts.append(part)
    return tuple(parts)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
