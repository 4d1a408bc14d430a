"""Pure: what a server says, without the credentials that the proxy uses there.

A server may repeat what it was given: a tool that lists its environment, an error that quotes the request. Each such
value is masked, as it stands or as JSON writers write it. A server that wants its credential known can write it in
another way: that is not what this is against.

Must not know which values are credentials (`config/credentials.py`), nor what a message means.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from policylayer.core.masking import MASKED

_MASKED: Final = MASKED.encode()
_GO: Final = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}
_NET: Final = {ord(sign): f"\\u{ord(sign):04X}" for sign in "<>&+'`"}
_PHP: Final = {ord("/"): "\\/"}


class Credentials:
    """The credentials of one server."""

    __slots__ = ("_forms",)

    def __init__(self, values: Iterable[str]) -> None:
        once = {form for value in values for form in _written(value)}
        # A tool often answers with a text that is JSON itself.
        forms = {form.encode() for text in once for form in (text, *_written(text))}
        # One may hold another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    def hidden(self, said: bytes) -> bytes:
        """These bytes with every credential in them masked; the same object where there is none."""
        for form in self._forms:
            if form in said:
                said = said.replace(form, _MASKED)
        return said


def _written(value: str) -> Iterator[str]:
    """How a value may stand within a text of JSON: by writers that leave what they may, and by those of some
    languages, which escape letters beyond ASCII, slashes (PHP), or what means something in HTML (Go, .NET)."""
    for text in (json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]):
        yield text
        for table in (_GO, _NET, _PHP):
            yield text.translate(table)
