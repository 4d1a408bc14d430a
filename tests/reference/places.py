"""How file paths, URLs, resource URIs and addresses are read: each answers None for what cannot be read."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import NamedTuple

WEB = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
"""The schemes of URLs, with their own ports."""


# --- file paths -------------------------------------------------------------------------------------------------------


def decoded(text: str) -> str | None:
    """Percent-decoded until nothing changes; None where that is no Unicode."""
    try:
        found = text.encode("utf-8")
        while True:
            after = re.sub(rb"%([0-9A-Fa-f]{2})", lambda hit: bytes([int(hit[1], 16)]), found)
            if after == found:
                return found.decode("utf-8")
            found = after
    except UnicodeError:
        return None


def resolved(path: str) -> str:
    """Of an absolute path: empty and `.` segments dropped, `..` drops the one before it."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


def file_readings(text: str, cwd: str | None) -> list[str] | None:
    """The four readings of a file path, resolved; None if one of them cannot be read."""
    plain = decoded(text)
    if plain is None:
        return None
    found = []
    for reading in (text, plain, text.replace("\\", "/"), plain.replace("\\", "/")):
        if not reading or "\0" in reading or reading.startswith(("~", "//")) or re.match(r"[^/]*:", reading):
            return None
        if not reading.startswith("/"):
            if cwd is None or not cwd.startswith("/"):
                return None
            reading = cwd + "/" + reading
        found.append(resolved(reading))
    return found


def below(path: str, directory: str) -> bool:
    """Whether a resolved path is the directory, or below it."""
    return directory == "/" or path == directory or path.startswith(directory + "/")


# --- URLs -------------------------------------------------------------------------------------------------------------


class Url(NamedTuple):
    """A URL in its parts; `query` is None where there is no `?`."""

    scheme: str
    host: str
    port: str
    path: str
    query: str | None


def url(text: str) -> Url | None:
    """A URL of the schemes http, https, ws and wss; its host may not be a pattern."""
    head, separator, rest = text.partition("://")
    scheme = head.lower()
    if not separator or scheme not in WEB or not head.isascii() or blank(text) or broken_percent(text):
        return None
    rest = rest.split("#")[0]
    end = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    authority, rest = rest[:end], rest[end:]
    path, question, query = rest.partition("?")
    found = _authority(authority, scheme)
    if found is None:
        return None
    return Url(scheme, *found, path or "/", query if question else None)


def _authority(authority: str, scheme: str) -> tuple[str, str] | None:
    if "@" in authority or "\\" in authority:
        return None
    hit = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(:(.*))?", authority, re.DOTALL)
    if hit is None:
        return None
    name, port = host(hit[1]), WEB[scheme]
    if hit[2]:
        port = hit[3]
        if not re.fullmatch(r"0|[1-9][0-9]*", port) or int(port) > 65535:
            return None
    return None if name is None else (name, port)


def host(text: str) -> str | None:
    """A name, an IPv4 address, or an IPv6 address in brackets, in one form."""
    if text.startswith("["):
        found = address(text[1:-1]) if ":" in text else None
        return None if found is None else str(found)
    name = text.lower() if text.isascii() else text
    name = name[:-1] if name.endswith(".") else name
    if re.fullmatch(r"[0-9.]+", name) and (v4 := address(name)) is not None:
        return str(v4)
    labels = name.split(".")
    fine = all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label) for label in labels)
    number = re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1])
    return name if fine and len(name) <= 253 and not number else None


def host_matches(pattern: str, name: str) -> bool:
    """An exact host, `*.name` (one or more labels before the name), or `*`."""
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        end = host(pattern[2:])
        return end is not None and name.endswith("." + end) and len(name) > len(end) + 1
    bare = f"[{pattern}]" if ":" in pattern and not pattern.startswith("[") else pattern
    return host(bare) == name


def url_paths(path: str) -> list[tuple[str, bool]] | None:
    """The readings of a URL's path: as it is, and decoded; each as it is and resolved, the decoded one merged too.

    With each: whether it is decoded.
    """
    plain = decoded(path)
    if plain is None:
        return None
    plain = plain.replace("\\", "/")
    merged = re.sub("/+", "/", plain)
    readings = [(path, False), (plain, True), (merged, True)]
    return [found for text, done in readings for found in ((text, done), (_without_dots(text), done))]


def _without_dots(path: str) -> str:
    """Dot segments resolved; empty segments and a final `/` stay."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        final = at == len(segments) - 1
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
            continue
        if final:
            kept.append("")
    return "/" + "/".join(kept)


def blank(text: str) -> bool:
    """Whether there is white space, a control character or a lone surrogate."""
    return any(sign.isspace() or unicodedata.category(sign) in ("Cc", "Cs") for sign in text)


def broken_percent(text: str) -> bool:
    """Whether a `%` stands without two hexadecimal digits."""
    return re.search(r"%(?![0-9A-Fa-f]{2})", text) is not None


# --- resources --------------------------------------------------------------------------------------------------------


def resource_forms(uri: str) -> list[str] | None:
    """The normal forms of a resource's URI, one for each way its path can be read."""
    hit = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(/[^?]*)?(\?.*)?", uri, re.DOTALL)
    if hit is None or set(uri) & set("#{}") or blank(uri) or broken_percent(uri):
        return None
    scheme, path, query = hit[1].lower(), hit[3] or "/", hit[4] or ""
    authority = _web_authority(hit[2], scheme) if scheme in WEB else _other_authority(hit[2])
    readings = file_readings(path, None)
    if authority is None or readings is None or (scheme == "file" and (authority or query or not hit[3])):
        return None
    root = "/" if scheme == "file" else ""
    return [f"{scheme}://{authority}{root if path == '/' else path}{query}" for path in readings]


def may_expand(template: str, pattern: str) -> bool:
    """Whether a URI template may become what a pattern matches, as far as its scheme and authority tell."""
    scheme, separator, rest = template.partition("://")
    if "{" in scheme or not separator:
        return True
    authority, slash, _ = rest.partition("/")
    known = f"{scheme.lower()}://"
    if slash and "{" not in authority:
        forms = resource_forms(f"{known}{authority}/x")
        known = forms[0][:-1] if forms else f"{known}{authority}/"
    literal = pattern.partition("*")[0]
    shared = min(len(known), len(literal))
    return known[:shared] == literal[:shared]


def _web_authority(text: str, scheme: str) -> str | None:
    found = _authority(text, scheme)
    if found is None:
        return None
    name, port = found
    name = f"[{name}]" if ":" in name else name
    return name if port == WEB[scheme] else f"{name}:{port}"


def _other_authority(text: str) -> str | None:
    """A name of letters, digits, `.`, `_`, `~`, `-`, or an address in brackets; a port."""
    hit = re.fullmatch(r"([A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?", text)
    name = None if hit is None else host(hit[1]) if hit[1].startswith("[") else hit[1].lower()
    if hit is None or name is None:
        return None
    return (f"[{name}]" if ":" in name or hit[1].startswith("[") else name) + (hit[2] or "")


# --- addresses --------------------------------------------------------------------------------------------------------

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address(text: str) -> Address | None:
    """An address; IPv4 mapped into IPv6 is IPv4."""
    if "%" in text or not text.isascii():
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def in_network(found: Address, network: str) -> bool:
    """Whether an address lies in a network; an address is its own network."""
    there = ipaddress.ip_network(network)
    if isinstance(there, ipaddress.IPv6Network) and there.prefixlen >= 96 and there.network_address.ipv4_mapped:
        there = ipaddress.IPv4Network(f"{there.network_address.ipv4_mapped}/{there.prefixlen - 96}")
    return found in there
