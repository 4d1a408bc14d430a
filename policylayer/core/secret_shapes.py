"""Pure: what looks like a secret - by the name of its key, and by the shape of its value.

Tables first. Patterns begin at a literal and their repeats are bounded, so that none takes more than linear time; each
is tried only where one of its hints occurs. Must not know what is done about a secret (`redact.py`). What looks like
none is not seen: a password under the key `colour` stays.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

import re2

# --- keys -------------------------------------------------------------------------------------------------------------

WHOLE_WORDS: Final = (
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "authorization",
    "authentication",
    "credential",
    "cookie",
    "bearer",
    "sessionid",
    "connectionstring",
)
"""A key that holds one of these, separators and case aside, names a secret."""

SHORT_WORDS: Final = frozenset({"pwd", "pass", "auth", "pin", "cvv", "cvc", "otp", "totp", "jwt", "sid", "dsn", "ssn"})
"""A key that has one of these as a word of its own does too."""

HARMLESS: Final = frozenset(
    {"pagetoken", "nextpagetoken", "nexttoken", "prevtoken", "continuationtoken", "synctoken", "cursortoken"}
)
"""Places in lists, not secrets."""

_COUNTS: Final = re.compile(r"(?:tokens(?:count|limit|budget|usage|used)?|token(?:count|limit|budget|usage))$")
"""Squeezed keys like `max_tokens`: a number under them counts something."""

_SEPARATORS: Final = {ord(sign): None for sign in "-_. "}
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


LONGEST_REMEMBERED: Final = 64
"""Characters of a key about which the answer is remembered: callers and servers choose how long keys are."""


def squeeze(name: str) -> str:
    """Lower case, separators dropped: `API-Key` and `api_key` are one."""
    return name.lower().translate(_SEPARATORS)


def is_secret_key(key: str, value: object, extra: frozenset[str] = frozenset()) -> bool:
    """Whether what stands under this key is to be masked, whatever it is. `extra` are further names, squeezed."""
    if not names_secret(key, extra):
        return False
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is not None and not (number and _COUNTS.search(squeeze(key)))


def names_secret(key: str, extra: frozenset[str]) -> bool:
    """Whether a key names a secret, but for counts of tokens."""
    return _remembered_name(key, extra) if len(key) <= LONGEST_REMEMBERED else _names_secret(key, extra)


def _names_secret(key: str, extra: frozenset[str]) -> bool:
    plain = key if key.isascii() else unicodedata.normalize("NFKC", key)
    squeezed = squeeze(plain)
    if squeezed in extra:
        return True
    if squeezed in HARMLESS:
        return False
    return any(word in squeezed for word in WHOLE_WORDS) or any(
        word.lower() in SHORT_WORDS for word in _WORDS.findall(plain)
    )


_remembered_name = lru_cache(maxsize=4096)(_names_secret)


# --- values -----------------------------------------------------------------------------------------------------------

_TOKEN: Final = "A-Za-z0-9_-"
_KEYED: Final = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|credentials?"
    r"|session[-_ ]?id|signature)"
)
_VALUE: Final = (
    r"""(?:"([^"\r\n]{1,4096})|'([^'\r\n]{1,4096})"""
    r"""|((?:(?:bearer|basic|token)\s{1,4})?[^\s"'&;,<>]{3,4096}))"""
)
_PREFIXED: Final = (
    rf"glpat-[{_TOKEN}]{{10,512}}",
    r"xox[a-z]-[A-Za-z0-9-]{8,512}",
    r"xapp-[A-Za-z0-9-]{8,512}",
    rf"AIza[{_TOKEN}]{{20,512}}",
    rf"ya29\.[{_TOKEN}]{{10,2048}}",
    r"npm_[A-Za-z0-9]{20,512}",
    rf"pypi-[{_TOKEN}]{{20,2048}}",
    r"hf_[A-Za-z0-9]{16,512}",
    rf"SG\.[{_TOKEN}]{{10,128}}\.[{_TOKEN}]{{10,128}}",
    r"shpat_[A-Za-z0-9]{10,128}",
    r"whsec_[A-Za-z0-9+/=]{10,512}",
    r"dop_v1_[a-f0-9]{20,128}",
    rf"pl[gt]_[{_TOKEN}]{{8,256}}",  # our own
    r"gh[opusr]_[A-Za-z0-9]{10,512}",
    r"github_pat_[A-Za-z0-9_]{10,512}",
)

SHAPES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = (
    (
        ("-----begin",),
        re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----(?:(?!-----END)[\s\S]){0,20000}(?:-----END [A-Z0-9 ]{1,64}-----)?"),
    ),
    (
        ("authorization", "cookie"),
        re.compile(r"(?i)(?:authorization|cookie)[\"']?\s{0,4}[:=]\s{0,4}[\"']?([^\r\n\"']{3,8192})"),
    ),
    (
        ("eyj",),
        re.compile(rf"(?<![{_TOKEN}])eyJ[{_TOKEN}]{{6,8192}}\.[{_TOKEN}]{{4,8192}}(?:\.[{_TOKEN}]{{0,8192}}){{0,3}}"),
    ),
    (("bearer",), re.compile(r"(?i)\bbearer\s{1,4}([A-Za-z0-9._~+/-]{6,8192}={0,2})")),
    (("basic",), re.compile(r"(?i)\bbasic\s{1,4}((?=[A-Za-z]{0,80}[0-9+/=])[A-Za-z0-9+/]{6,8192}={0,2})")),
    (("://",), re.compile(r"(?<=://)([^\s/?#@\"'<>]{1,1024})@")),
    (
        (
            *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "credential", "signature"),
            *(f"{a}{sign}{b}" for a, b in (("api", "key"), ("access", "key"), ("private", "key")) for sign in "-_ "),
            *("apikey", "accesskey", "privatekey", "sessionid", "session_id", "session-id", "session id"),
        ),
        re.compile(rf"(?i){_KEYED}[\"']?\s{{0,4}}[=:]\s{{0,4}}{_VALUE}|--{_KEYED}\s{{1,4}}{_VALUE}"),
    ),
    (("akia", "asia", "aroa", "aida"), re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,128}")),
    (
        ("sk-", "sk_", "rk-", "rk_", "pk-", "pk_"),
        re.compile(rf"\b(?:sk|rk|pk)[-_](?:[a-z]{{2,8}}[-_]){{0,2}}[{_TOKEN}]{{12,512}}"),
    ),
    (
        (
            *("glpat-", "xox", "xapp-", "aiza", "ya29.", "npm_", "pypi-", "hf_", "sg.", "shpat_", "whsec_", "dop_v1_"),
            *("plg_", "plt_", "gho_", "ghp_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        ),
        re.compile(rf"\b(?:{'|'.join(_PREFIXED)})"),
    ),
)
"""Hints, in lower case, and the pattern that they call for. Its last matched group is the secret; without one, all."""

HINTS: Final = tuple(hint for hints, _ in SHAPES for hint in hints)

_ENCODED: Final = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}\Z")


def _automaton(*patterns: str) -> re2._Regexp:
    """One pass for all of them, over UTF-8, ASCII case aside."""
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile("|".join(patterns).encode("latin-1"), options)


_HINTED: Final = _automaton(*map(re2.escape, HINTS))
_SUSPICIOUS: Final = _automaton(
    *map(re2.escape, HINTS), "[A-Za-z0-9+/_-]{20}", "%[0-9a-f]{2}", r"\\\\u", r"[\x80-\xff]",
    r'\\"(?:\s|\\[nrt])*:',
)  # fmt: skip
"""Also what may hide a secret: long runs, percent signs, escapes in escapes, other alphabets, JSON in a string."""


def plain(text: bytes) -> bool:
    """Whether a text (UTF-8) surely holds no secret-shaped value, however encoded. Quick; keys are another matter."""
    return _SUSPICIOUS.search(text) is None


def mask_spans(text: str, replace: Callable[[str], str]) -> str | None:
    """The text with each secret-shaped part replaced, or None where there is none."""
    if _HINTED.search(text.encode()) is None:
        return None
    lower = text.lower()
    masked = text
    for hints, pattern in SHAPES:
        if any(hint in lower for hint in hints):
            masked = pattern.sub(lambda match: _replaced(match, replace), masked)
    return None if masked == text else masked


def plain_key(key: str) -> bool:
    """The same of a key; of long ones it is not said, since they would fill what is remembered."""
    return len(key) <= LONGEST_REMEMBERED and _remembered_plain(key)


@lru_cache(maxsize=4096)
def _remembered_plain(key: str) -> bool:
    return plain(key.encode())


def _replaced(match: re.Match[str], replace: Callable[[str], str]) -> str:
    group = match.lastindex or 0
    secret = match.group(group)
    if secret.startswith("[redacted:"):
        return match.group()
    begin, end = match.start(group) - match.start(), match.end(group) - match.start()
    whole = match.group()
    return whole[:begin] + replace(secret) + whole[end:]


def decoded(text: str) -> str | None:
    """What a text hides by percent signs or base64, or None."""
    if "%" in text:
        bare = unquote_plus(text, errors="replace")
        if bare != text:
            return bare
    if not _ENCODED.match(text):
        return None
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
