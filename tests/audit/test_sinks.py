"""Where checkpoints go besides the database: a file that may be rotated, standard output, a webhook that may fail."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from policylayer.audit import sinks
from policylayer.audit.checkpoints import Checkpoints, load
from policylayer.audit.recorder import Recorder
from policylayer.audit.verify import verify
from policylayer.clock import Clock
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import KEYS, context, record

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.5")]


class Hook:
    """A webhook; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[bytes] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.taken.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(hook.status)
                self.send_header("content-length", "0")
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/heads"


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_each_line_goes_everywhere_and_is_a_witness(
    store: SqliteStore, recorder: Recorder, tmp_path: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "heads.jsonl"
    to = [sinks.to_file(file), sinks.to_stdout, sinks.to_webhook(hook.url)]
    taking = Checkpoints(store, KEYS, Clock(), to)
    for _ in range(2):
        await recorder.record(record(), context())
        assert await taking.take() is not None
    # Nothing changed, and nothing is said.
    assert await taking.take() is None
    lines = file.read_bytes().splitlines()
    assert len(lines) == 2
    assert [line.encode() for line in capsys.readouterr().out.splitlines()] == lines
    assert [each.rstrip(b"\n") for each in hook.taken] == lines
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await verify(store, KEYS, lines)).checkpoints == 4
    last = load(lines[-1])
    assert last is not None
    assert json.loads(lines[-1])["heads"][store.own_chains()[0]][0] == 3


async def test_a_file_that_was_rotated_is_begun_anew(store: SqliteStore, recorder: Recorder, tmp_path: Path) -> None:
    file = tmp_path / "heads.jsonl"
    taking = Checkpoints(store, KEYS, Clock(), [sinks.to_file(file)])
    for name in ("first", "second"):
        await recorder.record(record(), context())
        await taking.take()
        file.rename(tmp_path / name)
    outside = [line for name in ("first", "second") for line in (tmp_path / name).read_bytes().splitlines()]
    assert len(outside) == 2
    assert (await verify(store, KEYS, outside)).good


async def test_what_is_written_in_pieces_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data)[:3]))
    send = sinks.to_file(tmp_path / "heads.jsonl")
    for line in (b'{"id":1}\n', b'{"id":2}\n'):
        await send(line)
    assert (tmp_path / "heads.jsonl").read_bytes() == b'{"id":1}\n{"id":2}\n'


async def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a new start: it is the file that says so."""
    file, real, room = tmp_path / "heads.jsonl", os.write, [4]

    def little(handle: int, data: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "no space left")
        return real(handle, data[: room.pop()])

    await sinks.to_file(file)(b'{"id":1}\n')
    with monkeypatch.context() as full:
        full.setattr(os, "write", little)
        with pytest.raises(OSError, match="no space"):
            await sinks.to_file(file)(b'{"id":2}\n')
    for number in (3, 4):
        await sinks.to_file(file)(b'{"id":%d}\n' % number)
    assert file.read_bytes() == b'{"id":1}\n{"id\n{"id":3}\n{"id":4}\n'


async def test_a_file_that_may_not_be_read_gets_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "not for you")

    with monkeypatch.context() as shut:
        shut.setattr(Path, "open", refused)
        for number in (1, 2):
            await sinks.to_file(tmp_path / "heads.jsonl")(b'{"id":%d}\n' % number)
    assert (tmp_path / "heads.jsonl").read_bytes().split() == [b'{"id":1}', b'{"id":2}']


@pytest.mark.parametrize("status", [500, 302])
async def test_what_cannot_be_sent_is_said_and_told_of_by_the_next(
    store: SqliteStore, recorder: Recorder, hook: Hook, status: int
) -> None:
    taking = Checkpoints(store, KEYS, Clock(), [sinks.to_webhook(hook.url)])
    hook.status = status
    await recorder.record(record(), context())
    with capture_logs() as said:
        assert await taking.take() is not None
    assert [line["event"] for line in said] == ["a checkpoint could not be sent"]
    hook.status = 200
    await recorder.record(record(), context())
    assert await taking.take() is not None
    assert len(hook.taken) == 2, "a redirect was followed, or something sent again"
    assert (await verify(store, KEYS, [hook.taken[-1]])).good


async def test_nobody_there_is_said(store: SqliteStore, recorder: Recorder, hook: Hook) -> None:
    url = hook.url
    hook.server.server_close()
    with pytest.raises(httpx2.TransportError):
        await sinks.to_webhook(url)(b"{}\n")
