"""Pure: how a principal's name is written, where one is named to be given something or to be stopped.

Must not know who exists. What a policy writes may be a group or a glob besides (`policy/`); what is named here is one
caller, compared whole, so a name that no caller can have is a mistake.
"""

from __future__ import annotations

import re
from typing import Final

_PRINCIPAL: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}:(?!:)[!-)+-~]{1,200}")
WRITE: Final = "write it like `agent:dev` or `user:ada@example.com`"


def fault(name: str) -> tuple[str, str] | None:
    """Why this names no single principal, and what to write; None where it may be one."""
    if name.startswith("group:"):
        return "a group is no principal", "name one of its members"
    if "*" in name:
        return "a principal is named whole, not by a pattern", WRITE
    return None if _PRINCIPAL.fullmatch(name) else ("a principal is written as `kind:name`", WRITE)
