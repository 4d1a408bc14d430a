"""What the decision log needs to know of a call besides the command to record it.

Made once a call by `proxy/`. Must not know the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from policylayer.core.call import Call, Caller, Json
from policylayer.core.immutable import immutable
from policylayer.core.redact import Mode, Path


@immutable
class CallContext:
    """One call, as its rows name it.

    `session` is the handshake session's or stream's id as we minted it, `client` the client's own claim of its name.
    `labels` are those the grant carried when it was decided, `approved` the hold rules that were satisfied then, and
    `annotations` the tool's, where policy may believe them: what a replay of the decision has to be told. `reads` is
    what the policy's rules read of such calls, for the mode that keeps just that.
    """

    call: Call
    caller: Caller
    session: str | None = None
    client: str | None = None
    ip: str | None = None
    labels: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    annotations: Mapping[str, Json] | None = None
    reads: frozenset[Path] | None = None


@immutable
class Keeping:
    """How much of arguments is kept: `mode`, or a server's own; `secret_keys` are further keys to mask."""

    mode: Mode = "redacted"
    servers: Mapping[str, Mode] = field(default_factory=dict)
    secret_keys: tuple[str, ...] = ()

    def mode_of(self, server: str) -> Mode:
        """The mode for one server."""
        return self.servers.get(server, self.mode)
