"""Pure: which values of a server's configuration are credentials: by their names, since nothing else tells them.

`Authorization`, `X-Api-Key`, `SHOP_TOKEN`, `DB_PASSWORD`, a parameter `key` of the URL, and the password in a value
that is a URL. A value from a variable goes by the variable's name too. Must not know how they are kept from agents
(`wire/credentials.py`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

from policylayer.core.secret_shapes import names_secret

SHORTEST: Final = 8
"""Characters: a shorter value would occur by chance."""

LONG: Final = 16
"""Below this, a word (`postgres`) or a number is no credential that can be told from others' words and numbers."""

ABOUT: Final = frozenset(
    {"file", "path", "dir", "url", "uri", "host", "id", "name", "user", "header", "type", "version", "mode", "scope"}
)
"""Last words of names of what is about a secret: where it is, whose, of which kind."""

_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]* +(?=\S)")


def credentials_of(url: str | None, named: Iterable[tuple[str, str]], variables: Mapping[str, str]) -> tuple[str, ...]:
    """The credentials among these: `named` are headers and the command's environment, `variables` what was put in."""
    values = [value for name, value in (*named, *variables.items()) if _names_one(name)]
    texts = [value for _, value in named] + ([url] if url else [])
    found = [part for value in values for part in _parts(value)]
    found += [part for text in texts for part in _within_url(text)]
    return tuple(dict.fromkeys(part for part in found if _can_be_told(part)))


def _names_one(name: str) -> bool:
    last = _WORD.findall(name)[-1:]
    if not last or last[0].lower() in ABOUT:
        return False
    return last[0].lower() == "key" or names_secret(name, frozenset())


def _parts(value: str) -> Iterator[str]:
    """What of a value is secret: its lines (of a key in PEM), what follows a scheme, a cookie's values."""
    for line in value.splitlines():
        bare = line.strip()
        if bare.startswith("-----"):
            continue
        scheme = _SCHEME.match(bare)
        rest = bare[scheme.end() :] if scheme is not None else bare
        yield rest
        if scheme is not None and bare.lower().startswith("basic "):
            yield from _password(rest)
        for pair in rest.split("; "):
            yield pair.partition("=")[2].strip('"')


def _password(encoded: str) -> Iterator[str]:
    try:
        yield base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return


def _within_url(text: str) -> Iterator[str]:
    """The password in a URL, and its parameters that are named like secrets; as written, and as meant."""
    if "://" not in text:
        return
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
    for parameter in parts.query.split("&"):
        name, _, value = parameter.partition("=")
        if _names_one(unquote_plus(name)):
            yield from (value, unquote_plus(value))


def _can_be_told(value: str) -> bool:
    if len(value) >= LONG:
        return True
    return (
        len(value) >= SHORTEST
        and not value.isdecimal()
        and not (value.isalpha() and value in (value.lower(), value.upper()))
    )
