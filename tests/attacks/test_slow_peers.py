"""Peers that are slow on purpose (R-13): heads and bodies a byte at a time, and readers that do not read.

All at once, since each takes as long as its deadline: 10 s for a head, 30 s for a body and for a stalled reader. The
release size comes from POLICYLAYER_SLOW_PEERS.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.messages import call, headers
from tests.attacks.rig import Rig
from tests.support.raw_http import Wire, request
from tests.support.running import until

pytestmark = [pytest.mark.shows("proxy.5"), pytest.mark.slow]

COUNT = int(os.environ.get("POLICYLAYER_SLOW_PEERS", "60"))
"""Of each kind: slow heads, slow bodies; and a tenth of it of readers that do not read."""

SPARE = 15.0
"""Seconds beyond a deadline that a busy machine may take."""


class Slow:
    """Connections that send a byte a second, until the other side has had enough of each."""

    def __init__(self, wires: list[Wire], drip: bytes) -> None:
        self.open = wires
        self.answers: list[bytes] = []
        self._drip = drip
        self.ended_after: list[float] = []
        self._began = time.monotonic()

    def step(self) -> None:
        """One byte each."""
        for wire in tuple(self.open):
            wire.send(self._drip)
            if not wire.quiet(0.001):
                self.ended_after.append(time.monotonic() - self._began)
                self.answers.append(wire.rest())
                wire.close()
                self.open.remove(wire)


def test_r_13_slow_peers_are_dropped_and_nobody_else_waits(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * COUNT + 500)), hard))
    with Rig(tmp_path) as rig:
        before = rig.vitals.descriptors()
        agent = rig.agent("a")
        head = request("POST", "/mcp/rec", headers(agent.token), length=False)[:-2]
        heads = Slow([rig.wire(agent.source).send(head) for _ in range(COUNT)], b"x")
        length = [*headers(agent.token), ("content-length", "1000")]
        whole = request("POST", "/mcp/rec", length, length=False)
        bodies = Slow([rig.wire(agent.source).send(whole) for _ in range(COUNT)], b" ")
        readers = _readers(rig, agent.token, max(2, COUNT // 10))
        good = _meanwhile(rig.good_call)
        try:
            _drip(lambda: bool(heads.open), 10 + SPARE, heads, bodies)
            assert not heads.open, f"{len(heads.open)} slow heads are still open"
            assert min(heads.ended_after) > 5
            assert all(b" 408 " in answer for answer in heads.answers)
            _drip(lambda: bool(bodies.open), 30 + SPARE, heads, bodies)
            assert not bodies.open, f"{len(bodies.open)} slow bodies are still open"
            assert all(b" 408 " in answer for answer in bodies.answers)
            until(lambda: rig.vitals.connections() <= 1, lambda: "stalled readers are still served", 30 + SPARE)
        finally:
            slowest, count = good()
            for wire in (*heads.open, *bodies.open, *readers):
                wire.close()
        assert count > 50
        # Twice a calm call's time is the figure; here a call just must not wait for any of the deadlines.
        assert slowest < 5, f"a good call took {slowest:.1f} s"
        until(lambda: rig.vitals.descriptors() <= before + 8, lambda: f"{rig.vitals.descriptors()} of {before}", 10)
        rig.ledger.check(rig.secrets)


def _readers(rig: Rig, token: str, count: int) -> list[Wire]:
    """Readers that ask for megabytes and read none of them."""
    body = call(b'"echo_args"', b'{"a":"' + b"x" * 4_000_000 + b'"}')
    sent = request("POST", "/mcp/rec", headers(token, name="echo_args"), body)
    wires = [rig.wire(small=True) for _ in range(count)]
    for wire in wires:
        wire.send(sent)
    return wires


def _meanwhile(work: Callable[[], object]) -> Callable[[], tuple[float, int]]:
    """Do it again and again in a thread; the returned function ends that, and tells the slowest and how many."""
    ended, times, failed = threading.Event(), [0.0], []

    def run() -> None:
        while not ended.is_set():
            began = time.monotonic()
            try:
                work()
            except BaseException as error:
                failed.append(error)
                return
            times.append(time.monotonic() - began)
            ended.wait(0.05)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> tuple[float, int]:
        ended.set()
        thread.join()
        if failed:
            raise failed[0]
        return max(times), len(times)

    return end


def _drip(going: Callable[[], bool], seconds: float, *slow: Slow) -> None:
    deadline = time.monotonic() + seconds
    while going() and time.monotonic() < deadline:
        for each in slow:
            each.step()
        time.sleep(0.5)
