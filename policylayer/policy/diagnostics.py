"""Pure: what is wrong with a policy folder, said so that it can be fixed: place, message, help.

Must not know what is being checked; the codes are in `codes`. A message is one sentence in lower case without a full
stop, names from the file stand in backticks, and the fix goes into `help`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from policylayer.core.immutable import immutable
from policylayer.core.text import shows
from policylayer.policy.ast import Span

Severity = Literal["error", "warning"]

WIDTH: Final = 120
"""How much of a long source line is shown."""

_TOKEN: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:''|[^'])*'|(?:(?!: |:$)[^\s,\]}])+")


@immutable
class Diagnostic:
    """One finding. `file` is relative to the policy folder; line and column count from 1."""

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    help: str = ""

    @property
    def is_error(self) -> bool:
        """Whether it keeps the set from being loaded."""
        return self.severity == "error"


def error(code: str, span: Span, message: str, help: str = "") -> Diagnostic:
    """An error at `span`."""
    return Diagnostic(span.file, span.line, span.column, "error", str(code), message, help)


def warning(code: str, span: Span, message: str, help: str = "") -> Diagnostic:
    """A warning at `span`."""
    return Diagnostic(span.file, span.line, span.column, "warning", str(code), message, help)


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file and place, each once."""
    unique = dict.fromkeys(diagnostics)
    return tuple(sorted(unique, key=lambda d: (d.file, d.line, d.column, d.code, d.message)))


def quote(text: str, limit: int = 60) -> str:
    """A name from a file, in backticks, safe to print."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return f"`{visible(shown).replace('`', chr(39))}`"


def visible(text: str) -> str:
    """`text` with control and invisible characters written out, so that a terminal shows it as it is."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if shows(char) else _written_out(ord(char)) for char in text)


def _written_out(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a misspelt one is likely to be."""
    near = difflib.get_close_matches(word[:80], sorted(set(known)), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A help line for a misspelt word, or the short list of what is known."""
    choices = sorted(set(known))
    near = nearest(word, choices)
    if near is not None:
        return f"did you mean {quote(near)}?"
    if 0 < len(choices) <= 16:
        return "known: " + ", ".join(quote(choice) for choice in choices)
    return ""


def render(diagnostics: Iterable[Diagnostic], sources: Mapping[str, bytes]) -> str:
    """The findings with their source lines and carets, for people."""
    lines: dict[str, list[str]] = {}
    shown = []
    for finding in diagnostics:
        if finding.file not in lines:
            text = sources.get(finding.file, b"").decode("utf-8", "replace")
            lines[finding.file] = re.split(r"\r\n|\n|\r", text)
        shown.append(_one(finding, lines[finding.file]))
    return "\n".join(shown)


def as_json(finding: Diagnostic) -> dict[str, str | int]:
    """The form of `check --json`."""
    return {
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "help": finding.help,
    }


def _one(finding: Diagnostic, lines: list[str]) -> str:
    place = f"{visible(finding.file)}:{finding.line}:{finding.column}"
    head = f"{place}: {finding.severity}[{finding.code}]: {visible(finding.message)}"
    help_ = visible(f"help: {finding.help}") if finding.help else ""
    line = lines[finding.line - 1] if 0 < finding.line <= len(lines) else ""
    if not line.strip():
        return f"{head}\n      {help_}\n" if help_ else f"{head}\n"
    before, caret, after = _window(line, finding.column - 1)
    pointer = " " * len(before) + "^" * max(1, len(caret))
    number = f"{finding.line:>5} | "
    return f"{head}\n{number}{before}{caret}{after}\n      | {pointer} {help_}".rstrip() + "\n"


def token_end(line: str, column: int) -> int:
    """Where the word or quoted text ends that begins at an index."""
    found = _TOKEN.match(line, column)
    return found.end() if found else min(column + 1, len(line))


def _window(line: str, column: int) -> tuple[str, str, str]:
    """The line cut before and after what is pointed at, each part made printable and long lines shortened."""
    end = token_end(line, column)
    before, caret, after = line[:column], line[column:end], line[end:]
    if len(line) > WIDTH:
        before = before if len(before) <= WIDTH // 2 else "…" + before[-WIDTH // 2 :]
        caret = caret if len(caret) <= WIDTH // 2 else caret[: WIDTH // 2] + "…"
        after = after if len(after) <= WIDTH // 4 else after[: WIDTH // 4] + "…"
    return visible(before.replace("\t", " ")), visible(caret), visible(after.replace("\t", " "))
