"""Pure: the exceptions of the shell, as a tree. Pure functions return rejections and diagnostics instead of raising.

    PolicyLayerError
    +-- ConfigError          the configuration does not load (carries all diagnostics)
    +-- PolicyError          the policy set does not load, or its tests fail
    +-- IdentityError        no or bad credential
    +-- AuditUnavailable     a row cannot be made durable
    +-- ApprovalError        a vote or a transition that is not allowed
    +-- UpstreamError        the server failed
        +-- NotSent          no byte of the call reached it
        +-- Lost             it was sent, and no (whole) answer came
        +-- TimedOut         it was sent, and the deadline passed
        +-- ProtocolFault    it answered something that is not MCP
            +-- TooLarge     it answered with more than we take: our limit, and no failure of its

Each class has a stable `code`, which the API and the logs use. What each becomes on the wire is a table in
`wire/replies.py`; messages are one sentence, lower case, without a full stop; `help` is the fix.
"""

from __future__ import annotations

from typing import ClassVar, Final


class PolicyLayerError(Exception):
    """The root. `message` says what and where, `help` what to do."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, help: str = "") -> None:
        if type(self) is PolicyLayerError:
            raise TypeError("raise a subclass of PolicyLayerError")
        super().__init__(message)
        self.message = message
        self.help = help


class ConfigError(PolicyLayerError):
    """The configuration does not load."""

    code = "config"


class PolicyError(PolicyLayerError):
    """The policy set does not load, or its tests fail."""

    code = "policy"


class IdentityError(PolicyLayerError):
    """No or bad credential."""

    code = "identity"


class AuditUnavailable(PolicyLayerError):
    """A row cannot be made durable."""

    code = "audit_unavailable"


UNKNOWN: Final = "`policylayer approvals list --all` lists them, with their ids"
"""Where an approval is named that there is not."""

WAIVERS: Final = "`policylayer approvals waivers` lists them, with their ids"
"""Where one is to choose among waivers, or names one that there is not."""


REACH: Final = "is the server running, and are host, port, user and password in `database` right?"
"""Where a database server does not answer, or not as one."""


def rights(role: str | None) -> str:
    """What to do where a role may not do there what the proxy does."""
    return f"as the tables' owner: `policylayer migrate -c OWNER.yaml --role {role or 'ROLE'}`"


class ApprovalError(PolicyLayerError):
    """A vote or transition that is not allowed.

    `reason` is `self_approval`, `not_an_approver`, `not_found`, `state`, `note_required`, or `waiver` where one cannot
    be given; `state` the approval's.
    """

    code = "approval"

    def __init__(self, reason: str, message: str, help: str = "", state: str | None = None) -> None:
        super().__init__(message, help)
        self.reason = reason
        self.state = state


class UpstreamError(PolicyLayerError):
    """The server failed."""

    code = "upstream"


class NotSent(UpstreamError):
    """No byte of the call reached the server."""

    code = "upstream_not_sent"


class Lost(UpstreamError):
    """The call was sent, and no whole answer came."""

    code = "upstream_lost"


class TimedOut(UpstreamError):
    """The call was sent, and its deadline passed."""

    code = "upstream_timed_out"


class ProtocolFault(UpstreamError):
    """The server answered something that is not MCP, or more than is allowed."""

    code = "upstream_protocol"


class TooLarge(ProtocolFault):
    """The server answered, with more than is allowed or than its client reads: nothing is wrong with the server."""

    code = "upstream_too_large"


class Overrun(Lost, TooLarge):
    """The process that the call was sent to was ended, since it answered something with more than is allowed."""
