"""Pure: resource URIs in a normal form, over which `resources` globs and the path `target` are read.

`scheme://host[:port]/path[?query]`: scheme and host in lower case, the path read as `paths` reads file paths. A path
that may be read in several ways yields several URIs, and who asks must get one answer from all. Anything else (opaque
URIs, userinfo, fragments, braces, `file:` with a host or a query) is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy import addresses, globs, urls
from policylayer.policy.paths import readings as path_readings
from policylayer.policy.percent import is_broken

METHODS: Final = frozenset(("resources/read", "resources/subscribe", "subscriptions/listen"))
"""The methods whose target is a resource: reading it, and both eras' ways of subscribing to it."""

_URI: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\\@%{}]*)(/[^?#{}]*)?(\?[^#{}]*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"([A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?", re.ASCII)
_TEMPLATE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/{]*/)?")
_PATTERN: Final = re.compile(r"([^/:]*://[^/]*)(.*)", re.DOTALL)


def readings(uri: str) -> tuple[str, ...] | None:
    """The normal forms that `uri` may be read as; None where it cannot be read."""
    found = _URI.fullmatch(uri)
    if found is None or is_broken(uri) or urls.has_blank_or_control(uri):
        return None
    scheme = found[1].lower()
    authority = _authority(scheme, uri, found[2])
    if authority is None or (scheme == "file" and (authority or not found[3] or found[4])):
        return None
    paths = path_readings(found[3] or "/", None)
    if paths is None:
        return None
    root = "/" if scheme == "file" else ""
    return tuple(f"{scheme}://{authority}{root if path == '/' else path}{found[4] or ''}" for path in paths)


def _authority(scheme: str, uri: str, text: str) -> str | None:
    """Host and port in their normal form; for web schemes as `urls` reads them, without the scheme's own port."""
    if scheme in urls.PORTS:
        url = urls.parse(uri)
        if url is None:
            return None
        host = f"[{url.host}]" if ":" in url.host else url.host
        return host if url.port == urls.PORTS[scheme] else f"{host}:{url.port}"
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host = found[1].lower()
    if host.startswith("["):
        address = addresses.read(host[1:-1])
        if address is None:
            return None
        host = f"[{address}]"
    return f"{host}:{found[2]}" if found[2] else host


@immutable
class Pattern:
    """A compiled glob over normal forms; `literal` is what every match begins with."""

    matches: Callable[[str], bool]
    literal: str

    def may_match_expansion(self, template: str) -> bool:
        """Whether a URI that the template expands to may match, as far as its scheme and host tell."""
        found = _TEMPLATE.match(template)
        if found is None:
            return True
        known = f"{found[1].lower()}://"
        if found[2] is not None:
            normal = readings(f"{known}{found[2]}x")
            known = known if normal is None else normal[0][:-1]
        shared = min(len(known), len(self.literal))
        return known[:shared] == self.literal[:shared]


def normal_pattern(text: str) -> str:
    """A glob with its scheme and host in lower case, and without a final `/`."""
    found = _PATTERN.fullmatch(text)
    if found:
        text = found[1].lower() + found[2]
    return text[:-1] if text.endswith("/") and text != "file:///" else text


def pattern(text: str) -> Pattern:
    """The pattern of a glob, whose scheme and host may be in any case; `resource_patterns` tells if it can match."""
    text = normal_pattern(text)
    if "*" not in text:
        found_readings = readings(text)
        text = found_readings[0] if found_readings and len(found_readings) == 1 else text
    return Pattern(globs.glob(text), text.partition("*")[0])
