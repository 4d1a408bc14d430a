"""What the decision log needs to know of a call besides the command to record it, and how much of it is kept.

Made once a call by `proxy/`. Must not know the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Final

from policylayer.core.call import Call, Caller, Json
from policylayer.core.commands import Waived
from policylayer.core.decision import Inner
from policylayer.core.immutable import immutable
from policylayer.core.redact import Mode, Path
from policylayer.policy.names import is_glob, matcher


@immutable
class CallContext:
    """One call, as its rows name it.

    `session` is the handshake session's or stream's id as we minted it, `client` the client's own claim of its name.
    `labels` are those the grant carried when it was decided, `approved` the hold rules that were satisfied then, and
    `annotations` the tool's, where policy may believe them: what a replay of the decision has to be told. `waived` are
    those of `approved` that no approver was asked about. `reads` is what the policy's rules read of such calls, for the
    mode that keeps just that.
    """

    call: Call
    caller: Caller
    session: str | None = None
    client: str | None = None
    ip: str | None = None
    labels: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    waived: tuple[Waived, ...] = ()
    annotations: Mapping[str, Json] | None = None
    reads: frozenset[Path] | None = None


RESERVE: Final[tuple[Mode, ...]] = ("none", "digest", "read", "redacted", "full")
"""The modes, the one that keeps least first."""

ITEMS: Final = frozenset({"prompts/get", "resources/read", "resources/subscribe", "completion/complete"})
"""Methods with contents of their own. What else there is (tasks, what a server asks back) may belong to any tool."""


class ToolModes:
    """The modes of one server's tools, by name or glob: a name beats globs, of globs the first written counts.

    `metas` are its tools that call others, whose arguments hold those of others.
    """

    __slots__ = ("_globs", "_least", "_metas", "_names", "_own")

    def __init__(self, own: Mode, tools: Sequence[tuple[str, Mode]], metas: Iterable[str] = ()) -> None:
        self._own = own
        self._metas = frozenset(metas)
        self._names = {name: mode for name, mode in tools if not is_glob(name)}
        self._globs = tuple((matcher(name), mode) for name, mode in tools if is_glob(name))
        self._least = min((own, *(mode for _, mode in tools)), key=RESERVE.index)

    def mode_of(self, method: str, target: str | None, inner: Sequence[str] = ()) -> Mode:
        """The mode of one call, and of those inside it. What may belong to any of the tools, or to tools that nobody
        knows, is kept like that of which least is kept."""
        if method != "tools/call":
            return self._own if method in ITEMS else self._least
        if target in self._metas and not inner:
            return self._least
        return min((self._of(name) for name in (target or "", *inner)), key=RESERVE.index)

    def _of(self, name: str) -> Mode:
        if (exact := self._names.get(name)) is not None:
            return exact
        return next((mode for matches, mode in self._globs if matches(name)), self._own)


@immutable
class Keeping:
    """How much of arguments is kept: `mode`, or a server's own, or its tool's. `secret_keys` are more keys to mask."""

    mode: Mode = "redacted"
    servers: Mapping[str, Mode] = field(default_factory=dict)
    secret_keys: tuple[str, ...] = ()
    tools: Mapping[str, ToolModes] = field(default_factory=dict)

    def mode_of(self, call: Call, inner: Sequence[Inner] = ()) -> Mode:
        """The mode for one call, with those inside it."""
        if (tools := self.tools.get(call.server)) is not None:
            return tools.mode_of(call.method, call.target, [each.target for each in inner])
        return self.servers.get(call.server, self.mode)
