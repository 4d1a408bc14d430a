"""Pure: what servers ask, as a careless client reads it: whether that is what is judged.

Some clients find members whatever their case (Go's decoder does): beside `maxTokens` they read `MaxTokens`, and policy
would have judged the other. So a question is refused where a member, however deep, is written almost like one of the
protocol's, or like another beside it. What is data by its name (`_meta`, a tool's input) is nobody's protocol.

Must not know who may ask what (`proxy/server_requests.py`), nor the envelope around it (`envelope`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from policylayer.core.text import fold, folds

_PARAMS: Final = """
    _meta messages modelPreferences systemPrompt includeContext temperature maxTokens stopSequences metadata tools
    toolChoice task ttl mode message requestedSchema url elicitationId elicitations uri taskId status statusMessage
    inputRequests result error requestId reason progressToken progress total level logger data notifications
"""
"""Of questions, and of what servers tell."""

_CONTENT: Final = """
    role content type text mimeType annotations resource blob name title size description icons src sizes theme id
    input toolUseId structuredContent isError audience priority lastModified hints costPriority speedPriority
    intelligencePriority
"""
"""Of messages, their content, and preferences."""

_SCHEMAS: Final = """
    inputSchema outputSchema execution taskSupport properties required enum enumNames oneOf anyOf allOf items const
    default format pattern minimum maximum minLength maxLength minItems maxItems uniqueItems additionalProperties
    $schema $ref
"""
"""Of tools, and of schemas."""

_KNOWN: Final = frozenset((_PARAMS + _CONTENT + _SCHEMAS).split())
_FOLDED: Final = folds(_KNOWN)

_DATA: Final = frozenset(
    {"_meta", "metadata", "input", "structuredContent", "data", "default", "const", "enum", "examples"}
)
"""Members whose value is anybody's: not looked into."""

_NAMED: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Members whose own members are named by the server, and hold schemas."""

_ENTRY: Final = folds(("method", "params"))


def disguised(value: object) -> bool:
    """Whether a reader who ignores how names are written would read params of a question otherwise."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if type(each) is list:
            waiting.extend(each)
        elif type(each) is dict:
            if folded(each):
                return True
            for name, inner in each.items():
                if name in _NAMED and type(inner) is dict:
                    waiting.extend(inner.values())
                elif name not in _DATA:
                    waiting.append(inner)
    return False


def folded(members: Mapping[str, Any]) -> bool:
    """Whether one of these is written almost like one of the protocol's, or almost like another of these."""
    if members.keys() <= _KNOWN:
        return False
    others = [fold(name) for name in members if name not in _KNOWN]
    return len(set(others)) < len(others) or any(name in _FOLDED for name in others)


def folded_entry(names: Iterable[str]) -> bool:
    """Whether an entry of `inputRequests` has a member that is almost its method or its params."""
    return any(name not in _ENTRY.values() and fold(name) in _ENTRY for name in names)
