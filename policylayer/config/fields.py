"""Reads the fields of one mapping, and says of each problem where it is; never stops at the first.

Texts have their `${VARIABLES}` put in here, so a message never shows a value, only what stands in the file. Must not
know which fields there are (`sections.py`, `servers.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from policylayer.config import values
from policylayer.config.codes import ConfigCode
from policylayer.policy import nodes, shapes
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, error, quote

T = TypeVar("T")
_VARIABLE: Final = re.compile(r"\$(\$?)\{([^{}]*)(\}|$)")

_MEANT: Final = dict.fromkeys(
    ("server", "upstream", "upstreams", "mcpServers"),
    "write `servers: {NAME: {url: http://…}}`, or `{command: [PROGRAM, ARGUMENT]}` for one to launch",
)
"""What is written at the top where servers are meant, and how they are."""


@dataclass(slots=True)
class Reading:
    """One reading of one file: what its fields are read with, and what has been found wrong so far."""

    folder: Path
    environment: Mapping[str, str]
    policies: bool = True
    """Whether the policies must be where the file says."""
    found: list[Diagnostic] = field(default_factory=list)

    def problem(self, code: str, span: Span, message: str, help: str = "") -> None:
        """Note an error."""
        self.found.append(error(code, span, message, help))

    def expand(self, text: str, span: Span) -> str | None:
        """`text` with its variables put in; None where one is not set."""
        complete = True

        def put(found: re.Match[str]) -> str:
            nonlocal complete
            escaped, name = found[1], found[2]
            if escaped:
                return found[0][1:]
            if not found[3]:
                complete = False
                self._broken(found[0], span, "has no closing brace", f"write `{found[0]}}}`")
            elif not values.is_variable(name):
                complete = False
                help = "write `${NAME}`; there are no defaults, and nothing else between the braces"
                self._broken(found[0], span, "is no variable's name", help)
            elif name not in self.environment:
                complete = False
                help = f"export {name}=… before starting, or write `$${{{name}}}` if the text itself is meant"
                self._unset(name, span, help)
            return self.environment.get(name, "")

        expanded = _VARIABLE.sub(put, text)
        return expanded if complete else None

    def variable(self, name: str, span: Span) -> str | None:
        """The value of a variable that is named where no text could stand; None where it is not set."""
        if not values.is_variable(name):
            help = "write the name alone, as in `POLICYLAYER_KEY`"
            self.problem(ConfigCode.UNSET_VARIABLE, span, f"{quote(name)} is no variable's name", help)
        elif name not in self.environment:
            self._unset(name, span, f"export {name}=… before starting")
        return self.environment.get(name)

    def put_in(self, node: nodes.Node) -> dict[str, str]:
        """The variables that are put into texts anywhere in a node, with their values."""
        if isinstance(node, nodes.Scalar):
            names = [found[2] for found in _VARIABLE.finditer(node.text) if not found[1]]
            return {name: self.environment[name] for name in names if name in self.environment}
        below: Iterable[nodes.Node] = ()
        if isinstance(node, nodes.Mapping):
            below = (value for _, value in node.pairs)
        elif isinstance(node, nodes.Sequence):
            below = node.items
        return {name: value for each in below for name, value in self.put_in(each).items()}

    def _broken(self, written: str, span: Span, why: str, help: str) -> None:
        help = f"{help}; `$${{` where the text itself is meant"
        self.problem(ConfigCode.UNSET_VARIABLE, span, f"{quote(written)} {why}", help)

    def _unset(self, name: str, span: Span, help: str) -> None:
        self.problem(ConfigCode.UNSET_VARIABLE, span, f"the environment variable {quote(name)} is not set", help)

    def text(self, node: nodes.Node, what: str, help: str = "") -> str | None:
        """A node that must be non-empty text, expanded; `help` is for what is something else."""
        if not isinstance(node, nodes.Scalar) or not isinstance(node.value, str):
            self.wrong(node, what, "text", help)
            return None
        expanded = self.expand(node.value, node.span)
        if expanded is not None and not expanded.strip():
            self.problem(Code.EMPTY_VALUE, node.span, f"{what} is empty")
            return None
        return expanded

    def wrong(self, node: nodes.Node, what: str, wanted: str, help: str = "") -> None:
        """Say that a node is of the wrong kind; an unreadable one has been reported."""
        if not isinstance(node, nodes.Broken):
            self.problem(Code.WRONG_KIND, node.span, f"{what} must be {wanted}, not {nodes.kind_of(node)}", help)


class Section:
    """The fields of one mapping. `what` names it in messages; unknown keys are reported at once."""

    def __init__(self, reading: Reading, node: nodes.Mapping, what: str, known: Iterable[str]) -> None:
        self.reading = reading
        self._node = node
        self.span = node.span
        self.what = what
        self._values = {key.text: value for key, value in node.pairs}
        known = tuple(known)
        for key, _ in node.pairs:
            if key.text not in known:
                message = f"unknown key {quote(key.text)} in {what}"
                help = _MEANT.get(key.text, "") if "servers" in known else ""
                help = help or did_you_mean(key.text, known) or f"known: {', '.join(map(quote, sorted(known)))}"
                reading.problem(Code.UNKNOWN_KEY, key.span, message, help)

    def has(self, key: str) -> bool:
        """Whether it is written."""
        return key in self._values

    def variables(self) -> dict[str, str]:
        """The variables that are put into its fields, with their values."""
        return self.reading.put_in(self._node)

    def where(self, key: str) -> Span:
        """Where a field's value stands, or the section."""
        return self._values[key].span if key in self._values else self.span

    def shown(self, key: str) -> str:
        """A field's value as it stands in the file, safe to print."""
        node = self._values.get(key)
        return quote(node.text) if isinstance(node, nodes.Scalar) else f"`{key}`"

    def text(self, key: str, help: str = "") -> str | None:
        """A text, or None where it is absent or bad."""
        node = self._values.get(key)
        return self.reading.text(node, f"`{key}` in {self.what}", help) if node is not None else None

    def parsed(self, key: str, parse: Callable[[str], T | None], code: str, wanted: str, default: T) -> T:
        """A text that `parse` understands."""
        text = self.text(key, f"write {wanted}")
        if text is None:
            return default
        value = parse(text)
        if value is None:
            self.reading.problem(code, self.where(key), f"{self.shown(key)} is not {wanted}")
            return default
        return value

    def duration(self, key: str, default: T, least: int = 1, most: int = 366 * 86400) -> int | T:
        """Seconds."""
        value = self.parsed(key, values.duration, Code.BAD_DURATION, "a duration like `30s`, `5m`, `1h` or `7d`", None)
        if value is None:
            return default
        if not least <= value <= most:
            message = f"`{key}` must be between {least}s and {most}s"
            self.reading.problem(Code.OUT_OF_RANGE, self.where(key), message)
            return default
        return value

    def size(self, key: str, default: T, least: int, most: int) -> int | T:
        """Bytes."""
        value = self.parsed(key, values.size, ConfigCode.BAD_SIZE, "a size like `512KiB` or `4MiB`", None)
        if value is None:
            return default
        if not least <= value <= most:
            message = f"`{key}` must be between {least} and {most} bytes"
            self.reading.problem(Code.OUT_OF_RANGE, self.where(key), message)
            return default
        return value

    def number(self, key: str, default: T, least: int, most: int) -> int | T:
        """A whole number."""
        node = self._values.get(key)
        if node is None:
            return default
        if not isinstance(node, nodes.Scalar) or type(node.value) is not int:
            self.reading.wrong(node, f"`{key}` in {self.what}", "a whole number")
            return default
        if not least <= node.value <= most:
            self.reading.problem(Code.OUT_OF_RANGE, node.span, f"`{key}` must be between {least} and {most}")
            return default
        return node.value

    def flag(self, key: str, default: bool) -> bool:
        """`true` or `false`."""
        node = self._values.get(key)
        if node is None:
            return default
        if not isinstance(node, nodes.Scalar) or type(node.value) is not bool:
            self.reading.wrong(node, f"`{key}` in {self.what}", "`true` or `false`")
            return default
        return node.value

    def choice(self, key: str, choices: tuple[T, ...], default: T) -> T:
        """One of some words."""
        text = self.text(key)
        if text is None:
            return default
        for choice in choices:
            if choice == text:
                return choice
        help = did_you_mean(text, map(str, choices))
        self.reading.problem(Code.NOT_A_CHOICE, self.where(key), f"{self.shown(key)} is not a choice of `{key}`", help)
        return default

    def texts(self, key: str) -> tuple[tuple[str, Span], ...]:
        """A list of texts with their places; a single text is refused, as it is everywhere."""
        node = self._values.get(key)
        if node is None:
            return ()
        if not isinstance(node, nodes.Sequence):
            listed = ", ".join(node.text.split()) if isinstance(node, nodes.Scalar) else ""
            self.reading.wrong(node, f"`{key}` in {self.what}", "a list", listed and f"write `{key}: [{listed}]`")
            return ()
        read = ((self.reading.text(item, f"an item of `{key}`"), item.span) for item in node.items)
        return tuple((text, span) for text, span in read if text is not None)

    def one_or_more(self, key: str) -> tuple[str, ...]:
        """One text, or a list of them."""
        if isinstance(self._values.get(key), nodes.Sequence):
            return tuple(text for text, _ in self.texts(key))
        text = self.text(key)
        return (text,) if text is not None else ()

    def parsed_list(self, key: str, parse: Callable[[str], T | None], code: str, wanted: str) -> tuple[T, ...]:
        """A list of texts that `parse` understands."""
        parsed = []
        for text, span in self.texts(key):
            value = parse(text)
            if value is None:
                self.reading.problem(code, span, f"this is not {wanted}")
            else:
                parsed.append(value)
        return tuple(parsed)

    def pairs(self, key: str) -> Iterator[tuple[nodes.Key, nodes.Node]]:
        """The entries of a mapping."""
        node = self._values.get(key)
        if isinstance(node, nodes.Mapping):
            yield from node.pairs
        elif node is not None:
            self.reading.wrong(node, f"`{key}` in {self.what}", "a mapping")

    def shaped(self, key: str, shape: shapes.Shape, default: T) -> T:
        """What a shape of the policy language reads; texts stand for themselves, without variables."""
        node = self._values.get(key)
        value = None if node is None else shape.read(node, shapes.Reading(node.span.file, self.reading.found))
        return default if value is None else value

    def section(self, key: str, known: Iterable[str]) -> Section:
        """A mapping within; an empty one where it is absent or bad."""
        node = self._values.get(key)
        what = f"`{key}`" if self.what == "the configuration" else f"`{key}` of {self.what}"
        if node is not None and not isinstance(node, nodes.Mapping):
            self.reading.wrong(node, what, "a mapping")
        mapping = node if isinstance(node, nodes.Mapping) else nodes.Mapping(self.where(key), ())
        return Section(self.reading, mapping, what, known)
