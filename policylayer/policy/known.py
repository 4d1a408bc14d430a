"""Pure: what else is known when a policy set is loaded: the configured servers, the methods of the protocol, tools.

Given to `load` by whoever knows it; None: not known, so nothing is said about it. Must not know where it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from policylayer.core.call import Json
from policylayer.core.immutable import immutable

TOOLS_FOLDER: Final = "tools"
TOOLS_SUFFIX: Final = ".tools.json"
"""A server's tools are recorded in `tools/SERVER.tools.json` (`tool_lists`)."""


@immutable
class Known:
    """`tools` maps server to tool to its input schema, as last listed; `True` stands for one that cannot be read.

    `open` are servers with tools that call others, which need not be listed.
    """

    servers: frozenset[str] | None = None
    open: frozenset[str] = frozenset()
    methods: frozenset[str] | None = None
    tools: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
