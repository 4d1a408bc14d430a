"""The input document: what a policy in Rego is told of a question. The same for the embedded engine and an OPA server.

Every field is described in docs/rego.md; `version` changes when one changes its meaning. AuthZEN's subject, action,
resource and context can be derived from it: `principal`, `method`, `server` + `target`, and the rest.
Must not know an engine. Answers are read in `results.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from policylayer.core.call import Question, Subject

VERSION = 1

Describe = Callable[[Subject, datetime], Mapping[str, Any]]
"""What the directory knows of a subject at a time: `{id, kind, groups, owner, attributes}`."""


def document(question: Question, describe: Describe, phase: Literal["call", "list"] = "call") -> dict[str, Any]:
    """The document for one question; `args` and `input` are left out while a list is being filtered."""
    call = question.call
    made: dict[str, Any] = {
        "version": VERSION,
        "phase": phase,
        "principal": dict(describe(question.subject, question.now)),
        "server": call.server,
        "method": call.method,
        "session": {"labels": sorted(question.labels)},
        "request": {"protocol": call.protocol},
        "time": question.now.isoformat(),
    }
    optional = {"ip": question.ip, "client": question.client}
    made["request"].update({key: value for key, value in optional.items() if value is not None})
    if call.target is not None:
        made["target"] = call.target
    if question.on_behalf_of is not None:
        made["for"] = dict(describe(question.on_behalf_of, question.now))
    if question.annotations is not None:
        made["annotations"] = dict(question.annotations)
    if phase == "call":
        made["args"] = dict(call.arguments)
        made["input"] = dict(call.input)
    return made
