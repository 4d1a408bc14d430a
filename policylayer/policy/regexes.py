r"""Pure: RE2 expressions: linear time, `.` includes newline, captures off; and ASCII case folding by rewriting.

Case is folded in the expression, not by RE2's own flag, because that folds all of Unicode: `(?i)k` matches the Kelvin
sign. With `ignore_case` each literal letter and letter range is written in both cases and escapes stay as they are, so
the escapes that could spell letters (`\p`, `\P`, `\x`, `\Q`, `\C`, and octal ones, `\141`) are refused with it.

RE2 itself takes a class of exactly the two cases of a letter for a folded literal, and where such a literal is an
alternative it adds all that Unicode folds to it: `[yY]|[kK]` matches the Kelvin sign. `apart` keeps it from that.
"""

from __future__ import annotations

import re as _re
from collections.abc import Callable
from typing import Final

import re2

TextCheck = Callable[[str], bool]

MAX_LENGTH: Final = 10_000
_FLAGS: Final = _re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?[:)]")
_UNFOLDABLE: Final = frozenset("pPxQC")
_OCTAL: Final = frozenset("01234567")
_FUSED: Final = frozenset("kKsS\\")
_CONTROL: Final = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}


class BadRegex(ValueError):
    """Why an expression is refused and what to do; both are for its author."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


def compile_regex(pattern: str, whole: bool, ignore_case: bool = False) -> TextCheck:
    """A function that tells whether the expression matches the whole text, or is found anywhere in it."""
    if len(pattern) > MAX_LENGTH:
        raise BadRegex(f"the expression is longer than {MAX_LENGTH} characters")
    _refuse_case_flag(pattern)
    try:
        program = _compile(apart(fold(pattern) if ignore_case else pattern))
    except BadRegex:
        _compile(pattern)  # What is wrong is said of what was written, not of what was made of it.
        raise
    run = program.fullmatch if whole else program.search

    def check(text: str) -> bool:
        return run(text.encode("utf-8", "surrogatepass")) is not None

    return check


def _compile(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern.encode("utf-8"), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise BadRegex(f"not an RE2 expression: {_said(error)}") from None


def _said(error: Exception) -> str:
    detail = error.args[0] if error.args else ""
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else "not valid text"


def _refuse_case_flag(pattern: str) -> None:
    """`(?i)` in any spelling; text between backslash and character, or in a class, is no group."""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            position = _after_escape(pattern, position)
        elif char == "[":
            position = _after_class(pattern, position)
        else:
            flags = _FLAGS.match(pattern, position) if char == "(" else None
            if flags and "i" in (flags[1] or "") + (flags[2] or ""):
                raise BadRegex("`(?i)` is refused: it folds more than ASCII", "say `ignore_case: true`")
            position += 1


def _after_escape(pattern: str, position: int) -> int:
    if pattern.startswith("\\Q", position):
        end = pattern.find("\\E", position)
        return len(pattern) if end < 0 else end + 2
    if pattern.startswith(("\\p{", "\\P{", "\\x{"), position):
        end = pattern.find("}", position)
        return len(pattern) if end < 0 else end + 1
    return position + 2


def _after_class(pattern: str, position: int) -> int:
    position += 2 if pattern.startswith("[^", position) else 1
    first = True
    while position < len(pattern) and (first or pattern[position] != "]"):
        first = False
        if pattern.startswith("[:", position):
            end = pattern.find(":]", position + 2)
            position = position + 1 if end < 0 else end + 2
        else:
            position = _after_escape(pattern, position) if pattern[position] == "\\" else position + 1
    return position + 1


def apart(pattern: str) -> str:
    """The same expression; a class that may be `[kK]` or `[sS]` stands in a group that RE2 does not look into.

    These are the two ASCII letters to which Unicode folds others.
    """
    out: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        end = position + 1
        if char == "\\":
            end = _after_escape(pattern, position)
        elif char == "[":
            end = _after_class(pattern, position)
        piece = pattern[position:end]
        out.append(f"(?:{piece}{{1}})" if char == "[" and not _FUSED.isdisjoint(piece) else piece)
        position = end
    return "".join(out)


# --- folding ----------------------------------------------------------------------------------------------------------


def fold(pattern: str) -> str:
    """The expression with each literal letter and letter range in both cases."""
    out: list[str] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            end = _foldable_escape(pattern, position)
            if pattern[position + 1 : end] in _OCTAL:
                raise BadRegex("octal escapes are refused together with `ignore_case`", "write the letter itself")
            out.append(pattern[position:end])
        elif char == "[":
            end = _after_class(pattern, position)
            out.append(_fold_class(pattern[position:end]))
        elif char == "(":
            end = _after_group_opening(pattern, position)
            out.append(pattern[position:end])
        else:
            end = position + 1
            out.append(f"[{char.lower()}{char.upper()}]" if _is_letter(char) else char)
        position = end
    return "".join(out)


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _foldable_escape(pattern: str, position: int) -> int:
    escaped = pattern[position + 1 : position + 2]
    if escaped in _UNFOLDABLE and escaped:
        raise BadRegex(f"`\\{escaped}` is refused together with `ignore_case`")
    return position + 2


def _after_group_opening(pattern: str, position: int) -> int:
    """Flags and names of groups are no literals."""
    found = _re.compile(r"\(\?P?<[^>]*>|\(\?[a-zA-Z-]*[:)]|\(").match(pattern, position)
    return found.end() if found else position + 1


def _fold_class(text: str) -> str:
    """A class with the other case of its letters and ranges added before its end."""
    position = 2 if text.startswith("[^") else 1
    added: list[str] = []
    first = position
    while position < len(text) - 1 or (position == first and position < len(text)):
        if text.startswith("[:", position) and ":]" in text[position + 2 :]:
            position = text.index(":]", position + 2) + 2
            continue
        low, position = _class_char(text, position)
        high = low
        if text.startswith("-", position) and position < len(text) - 2:
            high, position = _class_char(text, position + 1)
        if low is not None and high is not None:
            added += _other_case(low, high)
    return text[:-1] + "".join(added) + text[-1:]


def _class_char(text: str, position: int) -> tuple[int | None, int]:
    """The code point that stands here (None: a class such as `\\d`), and where the next begins."""
    if text[position] != "\\":
        return ord(text[position]), position + 1
    end = _foldable_escape(text, position)
    octal = _re.compile(r"\\[0-7]{1,3}").match(text, position)
    if octal:
        return int(octal[0][1:], 8), octal.end()
    escaped = text[position + 1 : end]
    if escaped in _CONTROL:
        return _CONTROL[escaped], end
    return (None if escaped.isalnum() or not escaped else ord(escaped)), end


def _other_case(low: int, high: int) -> list[str]:
    added = []
    for first, last, shift in ((65, 90, 32), (97, 122, -32)):
        start, end = max(low, first), min(high, last)
        if start <= end:
            added.append(f"{chr(start + shift)}-{chr(end + shift)}")
    return added
