"""The service's secret keys: read from a file or the environment, and everything that is derived from them.

One secret of 32 bytes gives, by HKDF-SHA256, separate keys for digests, the hash chain and sealing; a list of secrets
rotates: the first is current, the others still open, verify and recognise. Must not know what is sealed or
chained, nor where the configuration stands (`config/`). The same key is what a database's chain was begun with:
`fingerprint` is kept there, and a start with a list that does not know it is refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from policylayer.core.chain import Mac
from policylayer.core.errors import ConfigError

SIZE: Final = 32
"""Bytes of a secret."""

FILE_LIMIT: Final = 65_536
VERSION: Final = b"\x01"
ID_SIZE: Final = 8
NONCE_SIZE: Final = 12
"""96 random bits: good for 2^32 sealings under one key, far beyond what is ever held."""

FORM: Final = "32 bytes, or lines of 64 hex digits or 43 base64 characters; the first line is the current key"

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def text(data: bytes) -> str:
    """The text form of bytes everywhere: base64url without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE).decode("ascii")


def untext(value: str) -> bytes | None:
    """The bytes of a text form, or None unless it is exactly one."""
    try:
        data = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if text(data) == value else None


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """What one secret gives."""

    fingerprint: str
    digest: bytes
    chain: bytes
    sealer: AESGCM

    @property
    def id(self) -> bytes:
        return bytes.fromhex(self.fingerprint)[:ID_SIZE]

    def __repr__(self) -> str:
        return f"_Key({self.fingerprint[: ID_SIZE * 2]})"


class Keys:
    """All keys of the service; the first secret is current."""

    __slots__ = ("_digests", "_keys")

    def __init__(self, given: Sequence[bytes]) -> None:
        if not given:
            raise ConfigError("the key list is empty", f"write {FORM}")
        for secret in given:
            _refuse_weak(secret)
        if len(set(given)) != len(given):
            raise ConfigError("the key list names one key twice", "remove the repeated line")
        self._keys = tuple(_derive(secret) for secret in given)
        self._digests = Mac(self._keys[0].digest)

    @classmethod
    def load(cls, path: Path | Sequence[Path] | None, env: str | None, create: bool, variable: str = "") -> Keys:
        """The keys in `env` (the value of `variable`) if it is set, else in the file or files.

        A missing file is created (0600, one fresh key) where `create` is set; else its absence is an error.
        """
        if env is not None:
            where = f"the environment variable `{variable}`" if variable else "the environment"
            return cls(_parse(env.replace(",", "\n").encode(), where))
        paths = [path] if isinstance(path, Path) else list(path or ())
        if not paths:
            raise ConfigError("no key is configured", "set `keys: {file: …}`")
        if create and len(paths) == 1 and not paths[0].exists():
            _create(paths[0])
        return cls([secret for each in paths for secret in _parse(_read(each), f"the key file `{each}`")])

    @property
    def current_id(self) -> str:
        """The current key's id, in hex: what is sealed now carries it."""
        return self._keys[0].id.hex()

    @property
    def fingerprint(self) -> str:
        """What the database remembers of the current key; says nothing about the secret."""
        return self._keys[0].fingerprint

    def knows(self, fingerprint: str) -> bool:
        """Whether a key of this list has that fingerprint."""
        return any(hmac.compare_digest(key.fingerprint, fingerprint) for key in self._keys)

    @property
    def chain(self) -> bytes:
        """The current key of hash chains."""
        return self._keys[0].chain

    def chain_of(self, fingerprint: str) -> bytes | None:
        """The chain key that goes with a fingerprint, or None: this list does not hold it."""
        return next((key.chain for key in self._keys if key.fingerprint == fingerprint), None)

    def digest(self, data: bytes) -> bytes:
        """The HMAC-SHA256 of a digest: what is stored of it, of no use for guessing without the key."""
        return self._digests.digest(data)

    def digests(self, data: bytes) -> tuple[bytes, ...]:
        """The same under every key: what may have been stored before a rotation."""
        return tuple(hmac.digest(key.digest, data, "sha256") for key in self._keys)

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate `plain`; it opens only with the same `context`."""
        key = self._keys[0]
        nonce = os.urandom(NONCE_SIZE)
        head = VERSION + key.id
        return head + nonce + key.sealer.encrypt(nonce, plain, _bound(head, context))

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """What was sealed with this context under a key of the list, or None."""
        head, rest = sealed[: 1 + ID_SIZE], sealed[1 + ID_SIZE :]
        if head[:1] != VERSION or len(rest) < NONCE_SIZE + 16:
            return None
        for key in self._keys:
            if hmac.compare_digest(key.id, head[1:]):
                try:
                    return key.sealer.decrypt(rest[:NONCE_SIZE], rest[NONCE_SIZE:], _bound(head, context))
                except InvalidTag:
                    return None
        return None

    def __repr__(self) -> str:
        return f"Keys(current={self.current_id}, {len(self._keys)} held)"


def _derive(secret: bytes) -> _Key:
    def part(purpose: str, length: int = SIZE) -> bytes:
        info = f"policylayer 1 {purpose}".encode()
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)

    return _Key(part("fingerprint", 16).hex(), part("digest"), part("chain"), AESGCM(part("seal", SIZE)))


def _bound(head: bytes, context: bytes) -> bytes:
    """The associated data: the head is part of it, so that a key id cannot be exchanged."""
    return head + sha256(context).digest()


def _refuse_weak(secret: bytes) -> None:
    if len(secret) != SIZE:
        raise ConfigError(f"a key is {len(secret)} bytes long, not {SIZE}", f"write {FORM}")
    if len(set(secret)) < 8:
        raise ConfigError("a key is not random", "make one with `openssl rand -hex 32`")


def _parse(data: bytes, where: str) -> list[bytes]:
    """The secrets of a file or variable: 32 raw bytes, or one a line in hex or base64; `#` begins a comment."""
    if len(data) == SIZE:
        return [data]
    try:
        lines = [line.split("#")[0].strip() for line in data.decode("ascii").splitlines()]
    except UnicodeDecodeError:
        raise ConfigError(f"{where} holds no key", f"write {FORM}") from None
    found = [_decode(line) for line in lines if line]
    if not found or None in found:
        # The line itself is never named: it may be a key with a typing error.
        bad = next((number for number, line in enumerate(lines, 1) if line and _decode(line) is None), 1)
        raise ConfigError(f"{where} holds no key in line {bad}", f"write {FORM}")
    return [secret for secret in found if secret is not None]


def _decode(line: str) -> bytes | None:
    if len(line) == 2 * SIZE:
        try:
            return bytes.fromhex(line)
        except ValueError:
            return None
    plain = line.rstrip("=").replace("+", "-").replace("/", "_")
    data = untext(plain)
    return data if data is not None and len(data) == SIZE else None


def _read(path: Path) -> bytes:
    """The content of a key file that nobody else may read."""
    try:
        # Not blocking: a FIFO in its place must not hang the start.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        make = f"openssl rand -hex 32 > {path} && chmod 600 {path}"
        help = f"restore it, if the database was begun with it, since its chain needs it; for a new database: {make}"
        raise ConfigError(f"the key file `{path}` is missing", help) from None
    except OSError as error:
        raise ConfigError(f"the key file `{path}` cannot be read: {error.strerror}") from None
    try:
        _refuse_exposed(path, os.fstat(handle))
        data = os.read(handle, FILE_LIMIT + 1)
    finally:
        os.close(handle)
    if len(data) > FILE_LIMIT:
        raise ConfigError(f"the key file `{path}` is too large", f"write {FORM}")
    return data


def _refuse_exposed(path: Path, facts: os.stat_result) -> None:
    """Refuse a file that is no plain file, or that others may read or change.

    A file of root's that we read by its group is how containers mount secrets; that much is accepted.
    """
    if not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"the key file `{path}` is not a file", "name a plain file")
    ours = facts.st_uid == os.geteuid()
    if not ours and facts.st_uid != 0:
        raise ConfigError(f"the key file `{path}` belongs to another user", "make it your own: `chown`")
    if facts.st_mode & (0o077 if ours else 0o037):
        raise ConfigError(f"the key file `{path}` can be read or changed by others", f"run `chmod 600 {path}`")


def _create(path: Path) -> None:
    """Write a fresh key, whole or not at all; where another process was first, its key stays."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text(secrets.token_bytes(SIZE)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(name, path)
        except FileExistsError:
            return
        finally:
            os.unlink(name)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(
            f"the key file `{path}` cannot be created: {error.strerror}", "create its folder, or name another place"
        ) from None
