"""Pure: what of a text is masked - named patterns, expressions of the policy's author, and what they are made into.

Every pattern takes linear time. Where a pattern is only a shape, the number in it is checked (Luhn, mod 97), so that
not every row of digits is taken for a card. Must not know results (`wire/masks.py`) nor policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, TypeAlias

import re2

from policylayer.core.decision import Mask
from policylayer.core.immutable import immutable
from policylayer.core.redact import Path, parse_path
from policylayer.core.secret_shapes import decoded, is_secret_key, mask_spans

MASKED: Final = "[masked]"
"""What stands for what was masked in a text."""

Span: TypeAlias = tuple[int, int]
Finder: TypeAlias = Callable[[str], Iterable[Span]]


def _compile(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.dot_nl = True
    options.log_errors = False
    return re2.compile(pattern, options)


_EMAIL: Final = _compile(r"[\pL\pN._%+'\-]+@(?:[\pL\pN\-]+\.)+[\pL\pN\-]{2,}")
_PHONE: Final = _compile(
    r"(?:\+|\b00)[1-9](?:[ .\-/()]{0,3}[0-9]){6,14}\b"
    r"|\(?\b[0-9]{3}\)?[ .\-][0-9]{3}[ .\-][0-9]{4}\b"
    r"|\b0[1-9](?:[ .\-/]?[0-9]){7,11}\b"
)
_DIGITS: Final = _compile(r"[0-9](?:[ .\-]?[0-9]){11,}")
_GROUP: Final = _compile(r"[0-9]+")
_IBAN: Final = _compile(r"\b[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}")
_JWT: Final = _compile(r"eyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = _compile(rf"\b(?:{_OCTET}\.){{3}}{_OCTET}\b")
_COLONS: Final = _compile(r"[0-9A-Za-z:.]*:[0-9A-Za-z:.]*:[0-9A-Za-z:.]*")

CARD_LENGTHS: Final = range(12, 20)
IBAN_LENGTHS: Final = range(15, 35)


def _found(pattern: re2._Regexp) -> Finder:
    return lambda text: [match.span() for match in pattern.finditer(text)]


def _cards(text: str) -> Iterator[Span]:
    """Groups of digits which together are a card's number: those of a whole row, or some that stand side by side."""
    for row in _DIGITS.finditer(text):
        groups = [(row.start() + start, row.start() + end) for start, end in _found(_GROUP)(row[0])]
        at = 0
        while at < len(groups):
            length = _card_at(text, groups, at)
            if length:
                yield groups[at][0], groups[at + length - 1][1]
            at += max(length, 1)


def _card_at(text: str, groups: Sequence[Span], at: int) -> int:
    """How many groups from here on are one card's number, at most; 0 where none are."""
    digits, found = "", 0
    for count, (start, end) in enumerate(groups[at : at + CARD_LENGTHS.stop], 1):
        if len(digits) + end - start >= CARD_LENGTHS.stop:
            break
        digits += text[start:end]
        if is_card(digits):
            found = count
    return found


def is_card(digits: str) -> bool:
    """Whether digits are the number of a payment card, as far as its length, its beginning and Luhn's sum tell."""
    if len(digits) not in CARD_LENGTHS or digits[0] not in "23456":
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if place % 2 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        start = match.start()
        # Words may follow that look like more of it.
        ends = (end for end in range(match.end(), start + IBAN_LENGTHS.start - 1, -1) if text[end - 1] != " ")
        end = next((end for end in ends if _is_iban(text[start:end])), None)
        if end is not None:
            yield start, end


def _is_iban(text: str) -> bool:
    bare = text.replace(" ", "").upper()
    if len(bare) not in IBAN_LENGTHS:
        return False
    return int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4])) % 97 == 1


def _addresses(text: str) -> Iterator[Span]:
    yield from _found(_IPV4)(text)
    for match in _COLONS.finditer(text):
        bare = match[0].strip(".")
        # A colon before or after it is the sentence's.
        bare = bare[1:] if bare.startswith(":") and not bare.startswith("::") else bare
        bare = bare[:-1] if bare.endswith(":") and not bare.endswith("::") else bare
        if any(map(str.isalnum, bare)) and _is_ipv6(bare):
            yield match.span()


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


NAMED: Final[dict[str, Finder]] = {
    "email": _found(_EMAIL),
    "phone": _found(_PHONE),
    "card": _cards,
    "iban": _ibans,
    "jwt": _found(_JWT),
    "ip": _addresses,
}
"""Where each named pattern occurs; `SECRET` is another matter, since what names a secret is not masked."""

SECRET: Final = "secret"


def without(text: str, spans: Iterable[Span]) -> str:
    """The text with what lies in the spans masked; spans that touch are one."""
    parts, at, open_ = [], 0, False
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if start > at or not open_:
            if start < at:
                continue
            parts += [text[at:start], MASKED]
        open_, at = True, max(at, end)
    return "".join([*parts, text[at:]])


def finder_of(values: Iterable[str]) -> Finder:
    """Where any of these values occurs; of those that begin at one place, the first."""
    options = re2.Options()
    options.max_mem = 64 << 20
    options.log_errors = False
    return _found(re2.compile("|".join(map(re2.escape, values)), options))


@immutable
class Masker:
    """All masks of one decision. `paths` begin below the result."""

    paths: tuple[Path, ...] = ()
    finders: tuple[Finder, ...] = ()
    numbers: tuple[Finder, ...] = field(default=())
    secrets: bool = False

    def text(self, text: str) -> str:
        """The text with everything masked that is to be."""
        masked = text
        if self.secrets:
            masked = _without_secrets(masked)
        spans = [span for find in self.finders for span in find(masked)]
        return without(masked, spans) if spans else masked

    def hides_number(self, literal: str) -> bool:
        """Whether a number is masked, by how it is written."""
        return any(start < end for find in self.numbers for start, end in find(literal))

    def hides_member(self, key: str, value: object) -> bool:
        """Whether a member's name alone says that its value is masked."""
        return self.secrets and is_secret_key(key, value)


def _without_secrets(text: str) -> str:
    masked = mask_spans(text, lambda _: MASKED)
    if masked is not None:
        return masked
    hidden = decoded(text)
    return MASKED if hidden is not None and mask_spans(hidden, lambda _: MASKED) is not None else text


@lru_cache(maxsize=512)
def masker(masks: tuple[Mask, ...]) -> Masker:
    """What these masks come to. Raises `ValueError` for a pattern that there is not: nothing may pass for it."""
    named = [mask.pattern for mask in masks if mask.pattern is not None]
    if unknown := set(named) - NAMED.keys() - {SECRET}:
        raise ValueError(f"no pattern is called {min(unknown)}")
    written = tuple(_found(_compile(mask.regex)) for mask in masks if mask.regex is not None)
    finders = tuple(NAMED[name] for name in named if name in NAMED)
    return Masker(
        paths=tuple(parse_path(mask.path)[1:] for mask in masks if mask.path is not None),
        finders=(*finders, *written),
        numbers=(*(NAMED[name] for name in named if name == "card"), *written),
        secrets=SECRET in named,
    )
