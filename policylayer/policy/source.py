"""Pure: strict YAML with positions: JSON's values written as YAML, and nothing else that YAML can do.

Reads the C parser's events, never PyYAML's constructors: duplicates, anchors, aliases, tags, several documents and
values that YAML readers disagree on are refused. Never raises; all problems of a file are collected, and where the
parser stops at a sign that merely lacks quotes, it is told over the sign and reads on.
Bytes become text in `encoding`, plain values get their type in `scalars`, and the tree goes to `shapes` and `parse_*`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote
from policylayer.policy.encoding import place, read_text
from policylayer.policy.nodes import Broken, Key, Mapping, Node, Scalar, Sequence
from policylayer.policy.scalars import Trap, plain

MAX_DEPTH: Final = 72
MAX_NODES: Final = 50_000
_REPAIR_BUDGET: Final = 1 << 20
"""How many characters may be read again after signs that lack quotes."""

_WORD: Final = re.compile(r"[^\s,\]}]+")

_SAID: Final = {
    "did not find expected node content": ("a key or a value is missing here", "write it, or remove the sign"),
    "found unknown escape character": ("there is no such escape", "in double quotes write a backslash twice"),
    "mapping values are not allowed in this context": (
        "`: ` stands where no key can be",
        "put text that contains `: ` in quotes, or check the indentation",
    ),
    "did not find expected ',' or ']'": ("this list is not closed where it should be", "close it with `]`"),
    "did not find expected ',' or '}'": ("this mapping is not closed where it should be", "close it with `}`"),
    "could not find expected ':'": ("`:` is missing after this key", "write `key: value`"),
    "did not find expected key": ("expected a key here", "check the indentation and the quotes"),
    "did not find expected '-' indicator": ("expected `- ` here", "check the indentation"),
    "found unexpected end of stream": ("a quoted text is not closed", "close the quotes"),
    "block sequence entries are not allowed in this context": ("`- ` cannot stand here", "check the indentation"),
}


class _Stop(Exception):
    """A cap was reached, or a second document began: nothing after it is read."""


class _Unquoted(Exception):
    """The parser stopped at a sign that lacks quotes, at this index of the text."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


def read(file: str, data: bytes, sink: list[Diagnostic]) -> Node | None:
    """The tree of a file, or None where it could not be read to its end; what is wrong goes to `sink`."""
    text = read_text(file, data, sink)
    if text is None:
        return None
    text = _without_directives(file, text, sink)
    unquoted: set[tuple[int, int]] = set()
    budget = _REPAIR_BUDGET
    while True:
        reader = _Reader(file, text, unquoted)
        try:
            node = reader.run()
        except _Unquoted as stop:
            spot = place(file, text, stop.index)
            sink.append(_unquoted(spot, _word(text, stop.index)))
            unquoted.add((spot.line, spot.column))
            text = text[: stop.index] + "_" + text[stop.index + 1 :]
            budget -= len(text)
            if budget > 0:
                continue
            node = None
        sink.extend(reader.sink)
        return node


def _without_directives(file: str, text: str, sink: list[Diagnostic]) -> str:
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("%"):
            sink.append(
                error(Code.DOCUMENTS, Span(file, number + 1, 1), "YAML directives are not allowed", "remove it")
            )
            lines[number] = "#" + line[1:]
        elif line.strip() and not line.startswith("#"):
            break
    return "\n".join(lines)


def _unquoted(span: Span, value: str) -> Diagnostic:
    sign = value[:1]
    means = {"*": "begins a YAML alias", "!": "begins a YAML tag"}
    named = "backtick" if sign == "`" else quote(sign)
    message = f"an unquoted {named} {means.get(sign, 'cannot begin a value')}"
    return error(Code.UNQUOTED_SIGN, span, message, f'put it in quotes: "{value}"')


def _word(text: str, index: int) -> str:
    found = _WORD.match(text, index)
    return found[0][:40] if found else text[index : index + 1]


class _Frame:
    """A collection being read."""

    __slots__ = ("broken", "items", "key", "seen", "skip", "span")

    def __init__(self, span: Span, is_mapping: bool, broken: bool) -> None:
        self.span = span
        self.items: list[Any] = []
        self.seen: dict[str, int] | None = {} if is_mapping else None
        self.key: Key | None = None
        self.skip = False
        self.broken = broken

    def node(self) -> Node:
        if self.broken:
            return Broken(self.span)
        if self.seen is None:
            return Sequence(self.span, tuple(self.items))
        return Mapping(self.span, tuple(self.items))

    @property
    def wants_key(self) -> bool:
        return self.seen is not None and self.key is None and not self.skip


class _Reader:
    """One pass over the events of a text."""

    def __init__(self, file: str, text: str, unquoted: set[tuple[int, int]]) -> None:
        self.file = file
        self.text = text
        self.unquoted = unquoted
        self.sink: list[Diagnostic] = []
        self.stack: list[_Frame] = []
        self.root: Node | None = None
        self.anchors: set[str] = set()
        self.nodes = 0
        self.documents = 0
        self.tabs = "\t" in text
        self.texts: list[tuple[int, int]] = []

    def run(self) -> Node | None:
        parser = yaml.CLoader(self.text)
        try:
            while parser.check_event():
                self.take(parser.get_event())
        except yaml.MarkedYAMLError as failure:
            self.failed(failure)
            self.root = None
        except _Stop:
            self.root = None
        except yaml.YAMLError:
            self.sink.append(error(Code.SYNTAX, Span(self.file, 1, 1), "this is not YAML"))
            self.root = None
        else:
            self.finish()
        return self.root

    def finish(self) -> None:
        if self.documents == 0:
            self.report(Code.EMPTY_FILE, Span(self.file, 1, 1), "the file is empty", "write it, or remove the file")
        if self.tabs:
            self.report_tabs()

    def report(self, code: Code, span: Span, message: str, help_: str = "") -> None:
        self.sink.append(error(code, span, message, help_))

    def span(self, mark: Any) -> Span:
        return Span(self.file, mark.line + 1, mark.column + 1)

    # --- events ---

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self.scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self.begin(event, kind is yaml.MappingStartEvent)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self.add(self.stack.pop().node())
        elif kind is yaml.AliasEvent:
            self.alias(event)
        elif kind is yaml.DocumentStartEvent:
            self.document(event)

    def document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.report(
                Code.DOCUMENTS, self.span(event.start_mark), "a second document begins here", "use one file for each"
            )
            raise _Stop

    def begin(self, event: Any, is_mapping: bool) -> None:
        span = self.span(event.start_mark)
        self.count(span)
        if len(self.stack) >= MAX_DEPTH:
            self.report(Code.TOO_LARGE, span, f"nested more than {MAX_DEPTH} deep", "write it flatter")
            raise _Stop
        marked = self.refuse_marks(event, span)
        self.stack.append(_Frame(span, is_mapping, marked))

    def scalar(self, event: Any) -> None:
        span = self.span(event.start_mark)
        self.count(span)
        marked = self.refuse_marks(event, span)
        if event.style:
            if self.tabs:
                self.texts.append((event.start_mark.index, event.end_mark.index))
            self.add(Broken(span) if marked else Scalar(span, event.value, event.value, True))
            return
        if marked or (span.line, span.column) in self.unquoted:
            self.add(Broken(span))
            return
        value = plain(event.value)
        if not isinstance(value, Trap):
            self.add(Scalar(span, value, event.value, False))
            return
        if self.stack and self.stack[-1].wants_key and value.code is Code.EMPTY_VALUE:
            value = Trap(Code.BAD_KEY, "a key is missing here", "write `key: value`")
        self.report(value.code, span, value.message, value.help)
        self.add(Broken(span))

    def alias(self, event: Any) -> None:
        span = self.span(event.start_mark)
        self.count(span)
        if event.anchor in self.anchors:
            self.report(Code.ALIAS, span, "anchors and aliases are not allowed", "write the value out")
        else:
            self.sink.append(_unquoted(span, _word(self.text, event.start_mark.index)))
        self.add(Broken(span))

    def refuse_marks(self, event: Any, span: Span) -> bool:
        """Report an anchor or a tag; true where the value is not to be read."""
        if event.anchor is not None:
            self.anchors.add(event.anchor)
            self.report(Code.ALIAS, span, "anchors and aliases are not allowed", "write the value out where it is used")
        if event.tag is None:
            return False
        if event.tag.startswith("tag:"):
            self.report(Code.TAG, span, "YAML tags are not allowed", "quote the value if it is text")
        else:
            self.sink.append(_unquoted(span, _word(self.text, event.start_mark.index)))
        return True

    def count(self, span: Span) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.report(Code.TOO_LARGE, span, f"the file has more than {MAX_NODES} values", "split it")
            raise _Stop

    # --- the tree ---

    def add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if frame.seen is None:
            frame.items.append(node)
        elif frame.skip:
            frame.skip = False
        elif frame.key is None:
            self.add_key(frame, node)
        else:
            frame.items.append((frame.key, node))
            frame.key = None

    def add_key(self, frame: _Frame, node: Node) -> None:
        assert frame.seen is not None
        frame.skip = True
        if isinstance(node, Broken):
            return
        if not isinstance(node, Scalar):
            self.report(Code.BAD_KEY, node.span, "a key must be text", "write `key: value`")
        elif not isinstance(node.value, str):
            self.report(
                Code.BAD_KEY, node.span, f"{quote(node.text)} is no text, so no key", f'quote it: "{node.text}"'
            )
        elif node.text in frame.seen:
            first = frame.seen[node.text]
            help_ = f"it is first on line {first}; remove one of them"
            self.report(Code.DUPLICATE_KEY, node.span, f"the key {quote(node.text)} is written twice", help_)
        else:
            frame.seen[node.text] = node.span.line
            frame.key = Key(node.span, node.text)
            frame.skip = False

    # --- what the parser refuses ---

    def failed(self, failure: yaml.MarkedYAMLError) -> None:
        """Say what the parser stopped at, or raise `_Unquoted` where quotes are all that is missing."""
        problem, mark = str(failure.problem or ""), failure.problem_mark or failure.context_mark
        if mark is None:
            self.report(Code.SYNTAX, Span(self.file, 1, 1), "this is not YAML")
            return
        context = failure.context_mark
        if context is not None and str(failure.context) in ("while scanning an alias", "while scanning a tag"):
            raise _Unquoted(context.index)
        if problem == "found undefined tag handle":
            raise _Unquoted(mark.index)
        sign = self.text[mark.index : mark.index + 1]
        if problem == "found character that cannot start any token":
            if sign in ("@", "`", "%"):
                raise _Unquoted(mark.index)
            if sign == "\t":
                self.report(Code.TAB, self.span(mark), "a tab cannot stand here", "use spaces")
                return
        said, help_ = _SAID.get(problem, (f"not YAML: {problem}", ""))
        if problem == "found unexpected end of stream" and context is not None:
            mark = context
        self.report(Code.SYNTAX, self.span(mark), said, help_)

    def report_tabs(self) -> None:
        """Tabs belong in quoted texts and comments only."""
        index = self.text.find("\t")
        while index >= 0:
            if not any(start <= index < end for start, end in self.texts) and not self.in_comment(index):
                self.report(Code.TAB, place(self.file, self.text, index), "a tab between values", "use spaces")
                return
            index = self.text.find("\t", index + 1)

    def in_comment(self, index: int) -> bool:
        start = self.text.rfind("\n", 0, index) + 1
        line = self.text[start:index]
        for position, sign in enumerate(line):
            opens = sign == "#" and (position == 0 or line[position - 1] in " \t")
            if opens and not any(first <= start + position < last for first, last in self.texts):
                return True
        return False
