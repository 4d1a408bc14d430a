"""Which Host and Origin a request may name: the guard against DNS rebinding and foreign web pages.

The proxy never builds a URL from either; they are only compared, whole, with what the configuration lists. Must not
know what is asked for. `admission.py` asks this before anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from policylayer.core.immutable import immutable

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_AUTHORITY: Final = re.compile(r"([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_ORIGIN: Final = re.compile(r"(https?)://(.+)")
_PORTS: Final = {"http": "80", "https": "443"}


@immutable
class Hosts:
    """What is allowed. A host without a port stands for that name at any port; origins are exact.

    Pages of the Host that a request names are our own where their scheme is one that we are reached by: `near` by
    loopback names, which no front serves, and `far` by all others.
    """

    names: frozenset[str]
    authorities: frozenset[tuple[str, str]]
    origins: frozenset[tuple[str, str, str]]
    near: frozenset[str]
    far: frozenset[str]

    @classmethod
    def of(
        cls,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        public_url: str | None = None,
        loopback: bool = False,
        tls: bool = False,
        fronted: bool = False,
    ) -> Hosts:
        """From the configuration: `hosts` and `origins` as written, and what `public_url` and the listener add.

        `tls`: the listener's own; `fronted`: a proxy in front may end it, and only `public_url` says whether it does.
        """
        names = set(LOOPBACK) if loopback else set()
        authorities: set[tuple[str, str]] = set()
        known = {found for found in map(origin_of, origins) if found is not None}
        public = origin_of("/".join(public_url.split("/")[:3])) if public_url else None
        if public is not None:
            known.add(public)
            authorities.add(public[1:])
            if public[2] == _PORTS[public[0]]:
                authorities.add((public[1], ""))
        for name, port in filter(None, map(authority_of, hosts)):
            if port:
                authorities.add((name, port))
            else:
                names.add(name)
        near = frozenset({"https" if tls else "http"})
        far = frozenset({public[0]}) if public is not None else frozenset(_PORTS) if fronted else near
        return cls(frozenset(names), frozenset(authorities), frozenset(known), near, far)

    def host_allowed(self, host: str | None) -> bool:
        """Whether a request may name this Host."""
        found = authority_of(host) if host else None
        return found is not None and (found[0] in self.names or found in self.authorities)

    def origin_allowed(self, origin: str, host: str | None) -> bool:
        """Whether a page of this Origin may ask; one that the (allowed) Host itself names is our own."""
        found = origin_of(origin)
        if found is None:
            return False
        return found in self.origins or self._own(found, authority_of(host) if host else None)

    def _own(self, origin: tuple[str, str, str], host: tuple[str, str] | None) -> bool:
        if host is None or origin[0] not in (self.near if host[0] in LOOPBACK else self.far):
            return False
        return (host[0], host[1] or _PORTS[origin[0]]) == origin[1:]


def authority_of(text: str) -> tuple[str, str] | None:
    """Name and port (or empty) of a Host value, or None where it is none."""
    found = _AUTHORITY.fullmatch(text.lower())
    return (found[1], found[2] or "") if found else None


def origin_of(text: str) -> tuple[str, str, str] | None:
    """Scheme, name and port of an Origin (or of a URL with nothing after it but a slash), or None."""
    found = _ORIGIN.fullmatch(text.lower())
    authority = authority_of(found[2].removesuffix("/")) if found else None
    if found is None or authority is None:
        return None
    return found[1], authority[0], authority[1] or _PORTS[found[1]]
