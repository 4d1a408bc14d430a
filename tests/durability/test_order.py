"""R-02: the row is on the disk before the first byte goes to a server, as the kernel sees it.

The proxy runs under strace, and PostgreSQL's processes too. For each of 200 calls, told apart by a word in their
arguments, the trace must show in this order: the word written into the database's log of writes; a sync of that file
begun after it, and returned; then the word written to a socket of the server's. What the proxy says of itself plays no
part in it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.attacks.messages import ERAS, call, headers
from tests.attacks.rig import Rig
from tests.support.agents import Agent
from tests.support.postgres import Server, server
from tests.support.raw_http import request
from tests.support.recording import Recording
from tests.support.running import ALLOW_ALL, until
from tests.support.service import Proxy
from tests.support.system_calls import Seen, strace_or_skip

CALLS = 200


@pytest.mark.shows("proxy.6", "audit.1")
def test_the_wal_is_synced_before_the_first_byte_goes_upstream(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    rig = Rig(tmp_path / "proxy")
    rig.proxy.under = [*strace_or_skip(), str(trace)]
    with rig:
        words = [_call(rig, number) for number in range(CALLS)]
        ports = {rig.rec.port, rig.rec2.port}
    seen = Seen.of(trace.read_text(errors="replace").splitlines(), ports, ".db-wal")
    for word in words:
        seen.check(word)


def _call(rig: Rig, number: int) -> str:
    """One allowed call, in either era, on either server; the word that tells it apart."""
    word, era = f"word{number:04d}q", ERAS[number % 2]
    body = call(b'"echo_args"', json.dumps({"word": word}).encode(), era)
    given = headers(rig.good.token, era, name="echo_args")
    with rig.wire() as wire:
        answer = wire.send(request("POST", f"/mcp/rec{'' if number % 3 else '2'}", given, body)).response()
    assert json.loads(answer.json["result"]["content"][0]["text"]) == {"word": word}
    return word


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@contextmanager
def traced(cluster: Server, to: Path) -> Iterator[None]:
    """Trace all processes of the server, and those that it starts meanwhile.

    Each by its number: following forks reaches only what is forked from then on, and the one that writes the log in the
    background is there already.
    """
    assert cluster.process is not None
    first = psutil.Process(cluster.process.pid)
    pids = [str(each.pid) for each in (first, *first.children(recursive=True))]
    command = [*strace_or_skip(), str(to), *(word for pid in pids for word in ("-p", pid))]
    tracing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def attached() -> bool:
        return all(f"TracerPid:\t{tracing.pid}" in Path(f"/proc/{pid}/status").read_text() for pid in pids)

    try:
        until(lambda: attached() or tracing.poll() is not None, lambda: "strace does not attach")
        if tracing.poll() is not None:
            assert tracing.stderr is not None
            pytest.skip(f"strace may not attach here: {tracing.stderr.read().strip()[:100]}")
        yield
    finally:
        tracing.terminate()
        tracing.wait(10)
        if tracing.stderr is not None:
            tracing.stderr.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("agents")
@pytest.mark.shows("audit.1")
async def test_postgresqls_wal_is_synced_before_the_first_byte_goes_upstream(tmp_path: Path, rec: Recording) -> None:
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    key = tmp_path / "shared.key"
    key.write_text(bytes(range(32)).hex())
    key.chmod(0o600)
    with server() as cluster:
        more = {"database": cluster.database(), "keys": {"file": str(key)}}
        proxy = Proxy(tmp_path / "proxy", {"rec": {"url": rec.url}}, {"all.yaml": ALLOW_ALL}, **more)
        proxy.under = [*strace_or_skip(), str(ours)]
        with traced(cluster, theirs):
            proxy.start()
            agent = Agent(proxy.grant("agent:a", "rec"))
            words = [f"word{number:04d}q" for number in range(CALLS)]
            for at in range(0, CALLS, 10):
                # Twice, since the log is written in pages, and the end of one may cut a word.
                calls = (agent.call(proxy, "echo_args", word=f"{word} {word}") for word in words[at : at + 10])
                said = await asyncio.gather(*calls)
                assert all(each.executed for each in said)
            assert proxy.stop() == 0
    lines = [line for trace in (ours, theirs) for line in trace.read_text(errors="replace").splitlines()]
    seen = Seen.of(lines, {rec.port}, "/pg_wal/")
    for word in words:
        seen.check(word)


# --- the witness itself -----------------------------------------------------------------------------------------------


def test_the_reading_of_traces() -> None:
    """A sync that only begins before the send, or returns after it, does not count; nor does one before the write."""
    wal, to = "7</x/p.db-wal>", "9<TCP:[127.0.0.1:5->127.0.0.1:99]>"

    def seen(*lines: str) -> Seen:
        """Lines of traces, each a second after the one before."""
        return Seen.of([line.replace("AT", f"{number}.0") for number, line in enumerate(lines)], {99}, ".db-wal")

    write, send = f'1 AT pwrite64({wal}, "w1", 2, 0) = 2 <0.1>', f'2 AT write({to}, "w1", 2) = 2 <0.1>'
    sync = f"1 AT fdatasync({wal}) = 0 <0.2>"
    begun, returned = f"1 AT fdatasync({wal} <unfinished ...>", "1 AT <... fdatasync resumed>) = 0 <0.9>"
    seen(write, sync, send).check("w1")
    seen(write, begun, returned, send).check("w1")
    # Of two programs' traces, whichever comes first: the clock counts.
    Seen.of([send.replace("AT", "3.0"), write.replace("AT", "1.0"), sync.replace("AT", "2.0")], {99}, ".db-wal").check(
        "w1"
    )
    for bad in (
        [sync, write, send],
        [write, send, sync],
        [write, begun, send, returned],
        [write, sync.replace("<0.2>", "<1.5>"), send],
        [write, "1 AT fdatasync(8</x/other>) = 0 <0.1>", send],
        [write, sync, send.replace("99", "98")],
    ):
        with pytest.raises(AssertionError):
            seen(*bad).check("w1")
