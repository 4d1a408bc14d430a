"""Pure: http, https, ws and wss URLs, parsed once and strictly; host patterns and URL globs over the parts.

A URL that two programs could take apart differently is not read: userinfo, odd forms of IPv4, hosts beyond ASCII,
broken escapes, white space, backslashes before the path. Agreement between readings of the path is asked here too.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy import addresses, globs
from policylayer.policy.percent import decode, is_broken
from policylayer.policy.regexes import TextCheck

PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_URL: Final = re.compile(r"([A-Za-z]+)://([^/?#\\]*)(/[^?#]*)?(\?[^#]*)?(#.*)?", re.DOTALL)
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:@]*)(?::([0-9]*))?")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMERIC: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cs", "Zs", "Zl", "Zp"))


@immutable
class Url:
    """A URL taken apart. `host` in lower case, IPv6 without brackets; `path` begins with `/`; `query` without `?`."""

    scheme: str
    host: str
    port: int
    path: str
    query: str | None


def parse(text: str) -> Url | None:
    """The URL, or None where it is not one of ours or could be read in two ways."""
    found = _URL.fullmatch(text)
    if found is None or is_broken(text) or has_blank_or_control(text):
        return None
    scheme = found[1].lower()
    authority = _AUTHORITY.fullmatch(found[2])
    if scheme not in PORTS or authority is None:
        return None
    host, port = read_host(authority[1]), PORTS[scheme]
    if authority[2] is not None:
        if not _PORT.fullmatch(authority[2]) or int(authority[2]) > 65535:
            return None
        port = int(authority[2])
    if host is None:
        return None
    return Url(scheme, host, port, found[3] or "/", found[4][1:] if found[4] else None)


def has_blank_or_control(text: str) -> bool:
    """Whether white space, a control character or a lone surrogate is in it."""
    if text.isascii():
        return not text.isprintable() or " " in text
    return any(unicodedata.category(char) in _BAD_CATEGORIES for char in text)


def read_host(text: str) -> str | None:
    """A host as it is compared: a name or an IPv4 address in lower case without final dot, or an IPv6 address."""
    if text.startswith("["):
        address = addresses.read(text[1:-1]) if ":" in text else None
        return None if address is None or not text.endswith("]") else str(address)
    name = (text[:-1] if text.endswith(".") else text).lower()
    labels = name.split(".")
    if not name.isascii() or len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        return None
    if _NUMERIC.fullmatch(labels[-1]):
        return name if addresses.read(name) is not None else None
    return name


def path_readings(path: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The ways in which a path may be read: as written, and fully decoded with backslashes as separators.

    Each with its dot segments kept and resolved, and the second with its separators merged too. Usually one of each.
    """
    decoded = decode(path)
    if decoded is None:
        return None
    flat = decoded.replace("\\", "/")
    if "/." not in flat and "//" not in flat:
        return (path,), (flat,)
    merged = re.sub("/+", "/", flat)
    written = dict.fromkeys((path, _without_dots(path)))
    return tuple(written), tuple(dict.fromkeys((flat, _without_dots(flat), _without_dots(merged))))


def _without_dots(path: str) -> str:
    """Dot segments resolved as RFC 3986 (5.2.4) does: empty segments count, a final separator stays."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


# --- patterns ---------------------------------------------------------------------------------------------------------


@immutable
class HostPattern:
    """One host, `*.` before a name for one or more labels, or a lone `*`."""

    exact: str | None
    suffix: str | None

    def matches(self, host: str) -> bool:
        """Whether a host as `read_host` returns it is meant."""
        if self.suffix is not None:
            return host.endswith(self.suffix) and len(host) > len(self.suffix)
        return self.exact is None or host == self.exact


def host_pattern(text: str) -> HostPattern | None:
    """The pattern, or None where it is not one."""
    if text == "*":
        return HostPattern(None, None)
    wild = text.startswith("*.")
    rest = text[2:] if wild else text
    host = read_host(f"[{rest}]" if ":" in rest and not rest.startswith("[") else rest)
    if host is None or (wild and addresses.read(host) is not None):
        return None
    return HostPattern(None, "." + host) if wild else HostPattern(host, None)


@immutable
class UrlPattern:
    """A URL glob in parts. `written` matches the path as it is, `decoded` decoded; `query` None: only without query."""

    scheme: str
    host: HostPattern
    port: int
    written: TextCheck
    decoded: TextCheck
    query: TextCheck | None
    any_query: bool
    escaped: bool

    def may_match(self, url: Url) -> bool:
        """Whether all parts but the path are meant."""
        if url.scheme != self.scheme or url.port != self.port or not self.host.matches(url.host):
            return False
        if self.any_query:
            return True
        if url.query is None or self.query is None:
            return url.query is None and self.query is None
        return self.query(url.query)


def agreed(patterns: tuple[UrlPattern, ...], url: Url) -> bool | None:
    """Whether one of the patterns matches, by every reading of the path; None where the readings differ."""
    readings = path_readings(url.path)
    if readings is None:
        return None
    near = [pattern for pattern in patterns if pattern.may_match(url)]
    written, decoded = readings
    answers = {any(pattern.written(path) for pattern in near) for path in written}
    if written != decoded or any(pattern.escaped for pattern in near):
        answers |= {any(pattern.decoded(path) for pattern in near) for path in decoded}
    return answers.pop() if len(answers) == 1 else None


_STAND_IN: Final = "wildcard"


def url_pattern(text: str) -> UrlPattern | None:
    """The pattern, parsed by the parser of URLs with its leading wildcard replaced; None where it is not one."""
    scheme, _, rest = text.partition("://")
    wild = re.match(r"\*\.|\*(?=[:/?]|$)", rest)
    lone = wild is not None and wild[0] == "*"
    plain = rest[wild.end() :] if wild else rest
    url = parse(f"{scheme}://{_STAND_IN if lone else ''}{plain}")
    if url is None or "#" in text or _without_dots(url.path) != url.path:
        return None
    host = host_pattern("*" if lone else wild[0] + url.host if wild else url.host)
    decoded = _decode_literals(url.path)
    if host is None or decoded is None or globs.refused(url.path) or globs.refused(url.query or ""):
        return None
    return UrlPattern(
        url.scheme,
        host,
        url.port,
        written=globs.glob(url.path),
        decoded=globs.glob(decoded),
        query=None if url.query is None else globs.glob(url.query),
        any_query=url.query == "**",
        escaped=decoded != url.path,
    )


def _decode_literals(path: str) -> str | None:
    """The glob of a decoded path; None where a wildcard was escaped, since a literal `*` cannot be said."""
    parts = [part if part.startswith("*") else decode(part) for part in re.split(r"(\*+)", path)]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or any("*" in part and set(part) != {"*"} for part in known):
        return None
    return None if globs.refused("".join(known)) or "%2a" in path.lower() else "".join(known)
