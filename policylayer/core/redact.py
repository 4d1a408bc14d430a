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
from policylayer.core.secret_shapes import decoded, is_secret_key, mask_spans, names_secret, plain, squeeze

Mode: TypeAlias = Literal["none", "digest", "read", "redacted", "full"]
Mark: TypeAlias = Callable[[Json], str]
Path: TypeAlias = tuple[str, ...]

NESTING: Final = 4
"""How many texts within texts (JSON in a string, base64) are opened."""

LISTED: Final = 100
"""How many masked places are named."""


@immutable
class Sizes:
    """Characters that one string, and the whole text, may have; longer ones are masked."""

    value: int = 4096
    whole: int = 65_536


FULL: Final = Sizes(value=4 << 20, whole=4 << 20)


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
        except Exception as error:
            return View("digest", why=f"not redactable: {type(error).__name__}")

    def _view(
        self, mode: Mode, arguments: Mapping[str, Json], paths: tuple[str, ...], reads: Iterable[Path] | None, root: str
    ) -> View:
        if mode == "full":
            return _bounded(mode, arguments, (), FULL.whole)
        if mode == "read":
            arguments = pick(arguments, [path[1:] for path in reads or () if path[:1] == (root,)])
        chosen = tuple(path[1:] for path in map(parse_path, paths) if path[:1] == (root,))
        if not chosen and not self._has_secret_key(arguments):
            text = orjson.dumps(arguments)
            # Most calls hold nothing to mask, which one look at the text can tell.
            if len(text) <= self.sizes.value and plain(text):
                return View(mode, text.decode())
        walk = _Walk(self)
        walked = walk.value(dict(arguments), "", chosen)
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
    """One pass over the arguments, which copies what it changes."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.masked: list[str] = []
        self.nesting = 0

    def value(self, value: Json, at: str, paths: tuple[Path, ...]) -> Json:
        """The value as it may be kept; `paths` are what is left of the policy's, from here."""
        if any(path == () for path in paths):
            return self._mask(value, at)
        if isinstance(value, dict):
            return {key: self._member(key, item, f"{at}/{_escape(key)}", paths) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, f"{at}/{i}", below(paths, str(i))) for i, item in enumerate(value)]
        if any(path == ("**",) for path in paths):
            return self._mask(value, at)
        return self._string(value, at, paths) if isinstance(value, str) else value

    def _member(self, key: str, value: Json, at: str, paths: tuple[Path, ...]) -> Json:
        if is_secret_key(key, value, self._redactor.secret_keys):
            return self._mask(value, at)
        return self.value(value, at, below(paths, key))

    def _string(self, text: str, at: str, paths: tuple[Path, ...] = ()) -> str:
        if len(text) > self._redactor.sizes.value:
            self._note(at)
            return f"[cut:{self._redactor.mark(text)}:{len(text)}]"
        inner = self._json(text, at, paths)
        if inner is not None:
            return inner
        masked = mask_spans(text, self._marker)
        if masked is not None:
            self._note(at)
            return masked
        hidden = decoded(text)
        return self._mask(text, at) if hidden is not None and self._holds_secret(hidden) else text

    def _json(self, text: str, at: str, paths: tuple[Path, ...]) -> str | None:
        """A text that is a JSON object or array, with what is in it masked; None where nothing was, or it is none.

        The policy's paths go on into it: a meta-tool may take arguments so.
        """
        if self.nesting >= NESTING or text.lstrip()[:1] not in ("{", "["):
            return None
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        self.nesting += 1
        before = len(self.masked)
        walked = self.value(parsed, at, paths)
        self.nesting -= 1
        return orjson.dumps(walked).decode() if len(self.masked) > before else None

    def _holds_secret(self, text: str) -> bool:
        if self.nesting >= NESTING:
            return True
        self.nesting += 1
        before = len(self.masked)
        found = self._string(text, "") != text
        self.nesting -= 1
        del self.masked[before:]
        return found

    def _mask(self, value: Json, at: str) -> str:
        self._note(at)
        return self._marker(value)

    def _marker(self, value: Json) -> str:
        return f"[redacted:{self._redactor.mark(value)}]"

    def _note(self, at: str) -> None:
        if len(self.masked) < LISTED:
            self.masked.append(at)
        elif len(self.masked) == LISTED:
            self.masked.append("…")


def below(paths: tuple[Path, ...], step: str) -> tuple[Path, ...]:
    """What is left of each path after one step; `*` is one step, `**` any number."""
    left: list[Path] = []
    for path in paths:
        if path[0] == "**":
            left.append(path)
            left.extend(below((path[1:],), step) if len(path) > 1 else ())
        elif path[0] in ("*", step):
            left.append(path[1:])
    return tuple(left)


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
    if not isinstance(text, str) or text.lstrip()[:1] != "{":
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
