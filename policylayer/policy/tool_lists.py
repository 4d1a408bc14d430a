"""Pure: lists of tools as they are recorded: one JSON file for each server, made to be read in a diff.

`{"server": "shop", "tools": […]}`, the tools as the protocol's `tools/list` has them; such a result as it came is read
too. What a server says of its tools is a claim. Must not know where files are, nor how a server is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from policylayer.core.call import Json
from policylayer.core.immutable import immutable
from policylayer.policy.ast import Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error, quote, warning
from policylayer.policy.known import TOOLS_SUFFIX
from policylayer.policy.tool_schema import Document, is_schema
from policylayer.policy.tool_words import listed

MAX_BYTES: Final = 16 << 20
KEPT: Final = ("name", "title", "description", "annotations", "inputSchema", "outputSchema", "execution")
"""What is recorded of a tool; icons and metadata are not."""


@immutable
class ToolList:
    """One server's tools by name, each as it was listed, and their input schemas as far as they can be read."""

    server: str
    tools: Mapping[str, Mapping[str, Json]]
    schemas: Mapping[str, Json]


def as_text(server: str, tools: Iterable[Mapping[str, Any]]) -> str:
    """The file of a server's tools; the same tools give the same text, in whatever order they were listed.

    ValueError where they cannot be written: nested too deeply, or text that is not Unicode.
    """
    try:
        kept = [{key: _sorted(tool[key]) for key in KEPT if tool.get(key) is not None} for tool in tools]
        kept.sort(key=lambda tool: str(tool["name"]))
        return orjson.dumps({"server": server, "tools": kept}, option=orjson.OPT_INDENT_2).decode() + "\n"
    except (orjson.JSONEncodeError, orjson.JSONDecodeError) as problem:
        raise ValueError(f"the tools cannot be written: {problem}") from None


def _sorted(value: Any) -> Any:
    """The same with every object's members in order."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def read(file: str, data: bytes, sink: list[Diagnostic]) -> ToolList | None:
    """The tools that a file lists; what is wrong with it is reported."""
    try:
        value = _parsed(file, data)
        server, tools = _found(file, value)
    except _Unreadable as problem:
        message = f"recorded tools cannot be read: {problem.why[:200]}"
        sink.append(error(Code.TOOLS_UNREADABLE, problem.span, message, "write it with `policylayer check --record`"))
        return None
    lines = _Lines(file, data)
    return ToolList(server, tools, {name: _schema(tool, lines, sink) for name, tool in tools.items()})


class _Unreadable(Exception):
    def __init__(self, span: Span, why: str) -> None:
        super().__init__(why)
        self.span = span
        self.why = why


def _parsed(file: str, data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise _Unreadable(Span(file, 1, 1), "the file is larger than 16 MiB")
    try:
        value = orjson.loads(data)
        orjson.dumps(value)  # What is nested deeper than can be written is not read either.
    except orjson.JSONDecodeError as problem:
        raise _Unreadable(Span(file, problem.lineno, problem.colno), f"not JSON: {problem.msg}") from None
    except orjson.JSONEncodeError:
        raise _Unreadable(Span(file, 1, 1), "it is nested too deeply") from None
    return value


def _found(file: str, value: Any) -> tuple[str, dict[str, Any]]:
    """The server, by its own word or the file's name, and its tools by name."""
    start = Span(file, 1, 1)
    result = value.get("result", value) if isinstance(value, dict) else None
    tools = result.get("tools") if isinstance(result, dict) else None
    if not isinstance(tools, list):
        raise _Unreadable(start, "there is no list `tools` in it")
    if not all(isinstance(tool, dict) and isinstance(tool.get("name"), str) and tool["name"] for tool in tools):
        raise _Unreadable(start, "every tool in it has a name, which is a text")
    server = value.get("server", file.rpartition("/")[2].removesuffix(TOOLS_SUFFIX).removesuffix(".json"))
    if not isinstance(server, str) or not server:
        raise _Unreadable(start, "`server` is a name")
    return server, {tool["name"]: tool for tool in tools}


def _schema(tool: Mapping[str, Any], lines: _Lines, sink: list[Diagnostic]) -> Json:
    schema: Json = tool.get("inputSchema")
    name = quote(tool["name"])
    if not is_schema(schema):
        message = f"the inputSchema of {name} is not a JSON Schema: its arguments are not checked"
        sink.append(warning(Code.BAD_INPUT_SCHEMA, lines.of(tool["name"]), message, "tell whoever makes the server"))
        return True
    elsewhere = Document(schema).leads_elsewhere()
    if elsewhere is not None:
        message = f"the inputSchema of {name} leads to {quote(elsewhere)}, which is not read: nothing is checked there"
        sink.append(warning(Code.BAD_INPUT_SCHEMA, lines.of(tool["name"]), message, "nothing is ever fetched"))
    return schema


class _Lines:
    """Where in a file a tool stands."""

    def __init__(self, file: str, data: bytes) -> None:
        self._file = file
        self._data = data

    def of(self, tool: str) -> Span:
        """The place of its name."""
        name = orjson.dumps(tool)
        at = next((found for form in (b'"name": ', b'"name":') if (found := self._data.find(form + name)) >= 0), 0)
        start = self._data.rfind(b"\n", 0, at) + 1
        column = len(self._data[start:at].decode("utf-8", "replace")) + 1
        return Span(self._file, self._data.count(b"\n", 0, at) + 1, column)


def difference(recorded: Mapping[str, Mapping[str, Json]], now: Mapping[str, Mapping[str, Json]]) -> str:
    """What a server lists otherwise than it was recorded, in words; empty where it is the same."""
    both = recorded.keys() & now.keys()
    changed = [name for name in sorted(both) if as_text("", [recorded[name]]) != as_text("", [now[name]])]
    parts = (("new", now.keys() - recorded.keys()), ("gone", recorded.keys() - now.keys()), ("changed", changed))
    return "; ".join(f"{what}: {listed(sorted(which))}" for what, which in parts if which)
