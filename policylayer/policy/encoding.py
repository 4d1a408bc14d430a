"""Pure: bytes to the text of a policy file, or why they are none: encoding, control characters, tabs, size.

The first rung of `source`, which reads YAML from what this returns. Must not know YAML's grammar, except that quoted
texts and comments may hold tabs.
"""

from __future__ import annotations

import re
from typing import Final

from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, warning

MAX_BYTES: Final = 1 << 20
_REPORTED: Final = 10
"""How many places of one kind are listed before the rest is left out."""

_MARKS: Final = (
    (b"\xef\xbb\xbf", "a byte order mark"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_CONTROL: Final = re.compile(r"\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_DIRECTION: Final = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INDENT: Final = re.compile(r"^[ ]*\t[ \t]*", re.MULTILINE)


def read_text(file: str, data: bytes, sink: list[Diagnostic]) -> str | None:
    """The file's text, tabs in indentation replaced by spaces (and reported), or None."""
    start = Span(file, 1, 1)
    if len(data) > MAX_BYTES:
        sink.append(error(Code.TOO_LARGE, start, "the file is larger than 1 MiB", "split it"))
        return None
    for mark, name in _MARKS:
        if data.startswith(mark):
            sink.append(error(Code.ENCODING, start, f"the file begins with {name}", "save it as plain UTF-8"))
            return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as failure:
        before = data[: failure.start].decode("utf-8")
        sink.append(error(Code.ENCODING, place(file, before, len(before)), "not UTF-8 text", "save it as plain UTF-8"))
        return None
    if _report_controls(file, text, sink):
        return None
    _report_directions(file, text, sink)
    return _without_tabs(file, text, sink)


def place(file: str, text: str, index: int) -> Span:
    """The line and column of a character."""
    line_start = text.rfind("\n", 0, index) + 1
    return Span(file, text.count("\n", 0, index) + 1, index - line_start + 1)


def _report_controls(file: str, text: str, sink: list[Diagnostic]) -> bool:
    found = [match for match, _ in zip(_CONTROL.finditer(text), range(_REPORTED), strict=False)]
    for match in found:
        message = f"the character U+{ord(match[0]):04X} is not allowed in a policy file"
        help_ = 'write it as an escape in double quotes, such as "\\u0000"'
        sink.append(error(Code.CONTROL_CHARACTER, place(file, text, match.start()), message, help_))
    return bool(found)


def _report_directions(file: str, text: str, sink: list[Diagnostic]) -> None:
    if text.isascii():
        return
    for match, _ in zip(_DIRECTION.finditer(text), range(_REPORTED), strict=False):
        message = f"the invisible character U+{ord(match[0]):04X} can make this line read otherwise than it is"
        help_ = 'write it as an escape in double quotes, such as "\\u202e", or remove it'
        sink.append(warning(Code.HIDDEN_DIRECTION, place(file, text, match.start()), message, help_))


def _without_tabs(file: str, text: str, sink: list[Diagnostic]) -> str:
    if "\t" not in text:
        return text
    for match, _ in zip(_INDENT.finditer(text), range(_REPORTED), strict=False):
        tab = text.index("\t", match.start())
        sink.append(error(Code.TAB, place(file, text, tab), "a tab in the indentation", "indent with spaces"))
    return _INDENT.sub(lambda match: " " * len(match[0]), text)
