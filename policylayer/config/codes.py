"""The codes of configuration problems beside those that every strict YAML file shares (`policy/codes.py`).

Must not know where a code is raised. Codes are never reused.
"""

from __future__ import annotations

from enum import StrEnum


class ConfigCode(StrEnum):
    """PL20x the file's own."""

    UNREADABLE = "PL200"
    UNSET_VARIABLE = "PL201"
    BAD_ADDRESS = "PL202"
    EXPOSED = "PL203"
    BAD_URL = "PL204"
    LOCAL_PRINCIPAL = "PL205"
    SAME_NAME = "PL206"
    NO_SUCH_FILE = "PL207"
    BAD_HEADER = "PL208"
    BAD_SIZE = "PL209"
    BAD_DATABASE = "PL210"
    BAD_HOST = "PL211"
