"""Keys: what is derived, what is sealed, which files are refused."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.errors import ConfigError
from policylayer.keys import Keys, text, untext

ONE = bytes(range(32))
TWO = bytes(range(1, 33))


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_first_start_creates_a_file_that_only_we_read(tmp_path: Path) -> None:
    path = tmp_path / "policylayer.key"
    first = Keys.load(path, None, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    again = Keys.load(path, None, create=True)
    assert again.fingerprint == first.fingerprint
    assert again.chain == first.chain


def test_without_create_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing") as caught:
        Keys.load(tmp_path / "none.key", None, create=False)
    assert caught.value.help


def test_two_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "policylayer.key"
    found: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(Keys.load(path, None, create=True).fingerprint)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be created"):
        Keys.load(tmp_path / "no" / "folder" / "key", None, create=True)


@pytest.mark.parametrize("data", [ONE, ONE.hex().encode(), text(ONE).encode(), text(ONE).encode() + b"=\n"])
def test_the_forms_of_one_key_are_one_key(tmp_path: Path, data: bytes) -> None:
    assert Keys.load(written(tmp_path / "k", data), None, False).fingerprint == Keys([ONE]).fingerprint


def test_standard_base64_is_read_too(tmp_path: Path) -> None:
    secret = bytes.fromhex("fb" * 3 + "ff" * 5 + "00112233445566778899aabbccddeeff0011223344556677")
    line = text(secret).replace("-", "+").replace("_", "/").encode() + b"="
    assert Keys.load(written(tmp_path / "k", line), None, False).fingerprint == Keys([secret]).fingerprint


def test_a_list_of_lines_comments_and_files(tmp_path: Path) -> None:
    both = Keys([ONE, TWO])
    lines = f"# rotated in March\n{ONE.hex()}  # current\n\n{text(TWO)}\n".encode()
    assert Keys.load(written(tmp_path / "k", lines), None, False).fingerprint == both.fingerprint
    files = [written(tmp_path / "a", ONE), written(tmp_path / "b", TWO)]
    loaded = Keys.load(files, None, False)
    assert loaded.knows(Keys([TWO]).fingerprint)
    assert loaded.fingerprint == both.fingerprint


def test_the_environment_wins(tmp_path: Path) -> None:
    path = written(tmp_path / "k", ONE)
    assert Keys.load(path, f"{TWO.hex()},{ONE.hex()}", False).fingerprint == Keys([TWO]).fingerprint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o660, 0o644])
def test_files_that_others_may_read_or_change_are_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match="others") as caught:
        Keys.load(written(tmp_path / "k", ONE, mode), None, True)
    assert "chmod 600" in caught.value.help


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (fifo, tmp_path):
        with pytest.raises(ConfigError):
            Keys.load(path, None, create=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"# nothing\n", b"short", b"\xff" * 33, b"g" * 64, b"a" * 43 + b"!", b"x" * 70_000, b"A" * 43],
    ids=["empty", "blank", "comment", "short", "binary", "no hex", "no base64", "huge", "zeros"],
)
def test_what_holds_no_key_is_refused_without_repeating_it(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        Keys.load(written(tmp_path / "k", data), None, False)
    assert caught.value.help
    assert "gggg" not in caught.value.message


def test_a_variable_that_holds_no_key_is_named() -> None:
    with pytest.raises(ConfigError, match="the environment variable `PL_KEY` holds no key in line 1"):
        Keys.load(None, "short", False, "PL_KEY")


def test_no_key_at_all() -> None:
    for call in (lambda: Keys.load(None, None, True), lambda: Keys([]), lambda: Keys.load(None, "", True)):
        with pytest.raises(ConfigError):
            call()


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Keys([ONE, ONE])


def test_every_derived_key_is_another() -> None:
    keys = Keys([ONE])
    parts = [keys.chain, keys.digest(b""), bytes.fromhex(keys.fingerprint), ONE]
    assert len({part[:16] for part in parts}) == len(parts)
    assert keys.chain != Keys([TWO]).chain


def test_no_repr_tells_a_secret() -> None:
    keys = Keys([ONE])
    shown = repr(keys) + repr(keys._keys)
    for secret in (ONE, keys.chain):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


@given(st.binary(max_size=300), st.binary(max_size=60), st.data())
def test_what_is_sealed_opens_with_its_context_only(plain: bytes, context: bytes, data: st.DataObject) -> None:
    keys = Keys([ONE])
    sealed = keys.seal(plain, context)
    assert keys.open(sealed, context) == plain
    assert keys.open(sealed, context + b"x") is None
    assert Keys([TWO]).open(sealed, context) is None
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert keys.open(bytes(changed), context) is None
    assert keys.open(sealed[:place], context) is None
    assert plain == b"" or len(plain) < 4 or plain not in sealed


def test_rotation_opens_what_the_old_key_sealed() -> None:
    old, new = Keys([ONE]), Keys([TWO, ONE])
    sealed = old.seal(b"held", b"apr")
    assert new.open(sealed, b"apr") == b"held"
    assert Keys([TWO]).open(sealed, b"apr") is None
    assert new.seal(b"held", b"apr")[1:9].hex() == new.current_id == Keys([TWO]).current_id
    assert old.digest(b"d") in new.digests(b"d")
    assert new.digests(b"d")[0] == new.digest(b"d")
    assert new.knows(old.fingerprint)
    assert not Keys([TWO]).knows(old.fingerprint)
    assert new.chain_of(old.fingerprint) == old.chain
    assert new.chain_of("00" * 16) is None


@given(st.binary(max_size=80))
def test_text_and_back(data: bytes) -> None:
    assert untext(text(data)) == data


@pytest.mark.parametrize("bad", ["A", "AA=", "AA==", "AB", "A A", "A\n", "é", "AA+/"])
def test_untext_takes_one_form_only(bad: str) -> None:
    assert untext(bad) is None
