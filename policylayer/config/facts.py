"""What policy may read of a configured server. Must not know how the server is reached."""

from __future__ import annotations

from collections.abc import Mapping

from policylayer.config.model import Config, Server
from policylayer.core.call import ServerFacts
from policylayer.policy.known import Known


def server_facts(server: Server) -> ServerFacts:
    """One server's."""
    return ServerFacts(server.name, server.mode, server.cwd, server.trust_annotations, server.unwrap)


def known_of(config: Config) -> Known:
    """What is known of the servers when policies are loaded."""
    servers = config.servers
    return Known(
        servers=frozenset(server.name for server in servers),
        open=frozenset(server.name for server in servers if server.unwrap),
    )


def facts_of(config: Config) -> Mapping[str, ServerFacts]:
    """All servers', by name."""
    return {server.name: server_facts(server) for server in config.servers}
