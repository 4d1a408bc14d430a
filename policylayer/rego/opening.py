"""An OPA server from what a configuration says of it; its client is an extra, and imported only here.

Must not know where configurations come from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from policylayer.clock import Clock
from policylayer.core.errors import ConfigError

if TYPE_CHECKING:
    from policylayer.rego.server import OpaServer


class Written(Protocol):
    """The section `opa`."""

    @property
    def url(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def token(self) -> str | None: ...

    @property
    def ca(self) -> Path | None: ...

    @property
    def deadline_ms(self) -> int: ...

    @property
    def push(self) -> bool: ...


def opa_server(written: Written | None, clock: Clock) -> OpaServer | None:
    """The server, not started yet; None where none is configured."""
    if written is None:
        return None
    try:
        from policylayer.rego.server import OpaServer, OpaSettings
    except ImportError:
        raise ConfigError("`opa` needs a client that is not installed", "pip install 'policylayer[opa]'") from None
    ca = str(written.ca) if written.ca else None
    seconds = written.deadline_ms / 1000
    return OpaServer(OpaSettings(written.url, written.path, written.token, ca, seconds, written.push), clock)
