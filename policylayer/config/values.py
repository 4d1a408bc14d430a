"""How single texts of the configuration are understood: durations, sizes, addresses, URLs, names, headers.

Each function answers the value, or None where the text is not one; who calls says what is wrong and where
(`fields.py`). Reads no file and no environment.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from policylayer.config.model import Address, Network

_DURATION: Final = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"([0-9]{1,6})(B|KiB|MiB)")
_BYTES: Final = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):([0-9]{1,5})")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?")
_PRINCIPAL: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}:[^\s:*][^\s*]{0,200}")
_SERVER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def duration(text: str) -> int | None:
    """Seconds of `30s 5m 1h 7d`."""
    found = _DURATION.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def size(text: str) -> int | None:
    """Bytes of `512KiB`, `4MiB`."""
    found = _SIZE.fullmatch(text)
    return int(found[1]) * _BYTES[found[2]] if found else None


def address(text: str) -> Address | None:
    """`127.0.0.1:8080`, `[::1]:8080`, `localhost:0`."""
    found = _LISTEN.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        return None
    host = "127.0.0.1" if found[1] == "localhost" else found[1].strip("[]")
    parsed = _ip(host)
    return Address(str(parsed), int(found[2]), parsed.is_loopback) if parsed else None


def network(text: str) -> Network | None:
    """A CIDR without host bits, or one address."""
    try:
        return ip_network(text)
    except ValueError:
        return None


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def host(text: str) -> str | None:
    """A Host header's value in lower case: a name or address, with or without a port."""
    found = _HOST.fullmatch(text.lower())
    if found is None or (found[2] and int(found[2]) > 65535):
        return None
    return text.lower()


def base_url(text: str) -> str | None:
    """An http or https URL of a host alone, without its final slash."""
    parts = _split(text)
    if parts is None or parts[2] not in ("", "/"):
        return None
    return f"{parts[0]}://{parts[1]}"


def server_url(text: str) -> str | None:
    """An http or https URL without userinfo and fragment."""
    return text if _split(text) is not None else None


def _split(text: str) -> tuple[str, str, str] | None:
    """Scheme, host with port, and the rest, or None where any of it is doubtful."""
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in ' \\#<>"`{}|^'):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    named = host(parts.netloc)
    if parts.scheme not in ("http", "https") or named is None or port == 0:
        return None
    return parts.scheme, named, parts.path + (f"?{parts.query}" if parts.query else "")


def is_loopback_host(text: str) -> bool:
    """Whether a host with or without port is this machine by name."""
    name = text if text.endswith("]") else text.rpartition(":")[0] or text
    return name in LOOPBACK_NAMES


def is_principal(text: str) -> bool:
    """`kind:name`, no wildcard."""
    return _PRINCIPAL.fullmatch(text) is not None


def is_server_name(text: str) -> bool:
    """What may stand in `/mcp/{server}`."""
    return _SERVER.fullmatch(text) is not None


def is_header(name: str, value: str) -> bool:
    """Whether a header can be sent as it is."""
    return _HEADER.fullmatch(name) is not None and _HEADER_VALUE.fullmatch(value) is not None


def is_variable(text: str) -> bool:
    """Whether an environment variable can have that name."""
    return _VARIABLE.fullmatch(text) is not None
