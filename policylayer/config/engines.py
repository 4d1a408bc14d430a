"""The sections `rego` (the embedded engine) and `opa` (an OPA server): how long they may take, where the server is.

Must not know either engine; `app.py` turns these values into their settings.
"""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import urlsplit

from policylayer.config.codes import ConfigCode
from policylayer.config.fields import Section
from policylayer.config.model import Opa, Rego
from policylayer.policy.codes import Code

MIB: Final = 1024 * 1024
_DECISION: Final = "policylayer/decision"
_PATH: Final = re.compile(r"[A-Za-z0-9_]+(?:/[A-Za-z0-9_]+)*")


def read_rego(top: Section) -> Rego:
    """`rego: {workers, deadline_ms, memory}`: the embedded engine's processes."""
    section = top.section("rego", ("workers", "deadline_ms", "memory"))
    default = Rego()
    return Rego(
        workers=section.number("workers", default.workers, 1, 64),
        deadline_ms=section.number("deadline_ms", default.deadline_ms, 1, 10_000),
        memory=section.size("memory", default.memory, 64 * MIB, 8192 * MIB),
    )


def read_opa(top: Section) -> Opa | None:
    """`opa: {url, path, token, ca, deadline_ms, push}`: a server that is asked beside the files."""
    if not top.has("opa"):
        return None
    section = top.section("opa", ("url", "path", "token", "ca", "deadline_ms", "push"))
    reading = section.reading
    url = section.parsed("url", _url, ConfigCode.BAD_URL, "a URL like `http://127.0.0.1:8181`, without path", None)
    if not section.has("url"):
        reading.problem(Code.MISSING_KEY, section.span, "`opa` has no `url`")
    ca = section.text("ca")
    file = (reading.folder / ca).resolve() if ca else None
    if file is not None and not os.path.isfile(file):
        reading.problem(ConfigCode.NO_SUCH_FILE, section.where("ca"), f"there is no file {section.shown('ca')}")
    path = section.parsed("path", _path, Code.BAD_OPERAND, f"a path like `{_DECISION}`", _DECISION)
    push = section.flag("push", False)
    if push and path != _DECISION:
        what = f"with `push: true` the decision is `{_DECISION}`, as in the files: not {section.shown('path')}"
        reading.problem(Code.BAD_OPERAND, section.where("path"), what)
    return Opa(
        url=url or "",
        path=path,
        token=section.text("token"),
        ca=file,
        deadline_ms=section.number("deadline_ms", 250, 1, 10_000),
        push=push,
    )


def _url(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    usable = parts.scheme in ("http", "https") and parts.hostname and bare and (port is None or port > 0)
    return text.rstrip("/") if usable else None


def _path(text: str) -> str | None:
    return text if _PATH.fullmatch(text) else None
