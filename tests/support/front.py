"""The front of several replicas: HAProxy with the configuration that the project ships, in front of a test's own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.require import program

CONFIG = ROOT / "deploy" / "replicas" / "haproxy.cfg"
REPLICAS = 3


class Front:
    """Where agents and people reach whichever replica is there."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """Its own."""
        return f"http://127.0.0.1:{self.port}"

    def mcp(self, server: str) -> str:
        """Where agents find a server."""
        return f"{self.url}/mcp/{server}"


@contextmanager
def front(urls: Sequence[str], folder: Path) -> Iterator[Front]:
    """A front of these three replicas, which are known by their URLs."""
    assert len(urls) == REPLICAS
    made = Front(free_port())
    environment = {f"REPLICA_{number}": urlsplit(url).netloc for number, url in enumerate(urls, 1)}
    environment["FRONT_BIND"] = f"127.0.0.1:{made.port}"
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [program("haproxy"), "-db", "-f", str(CONFIG)], env=environment, stdout=log, stderr=log, cwd=folder
        )
        try:
            _wait(made, process, folder / "haproxy.log")
            yield made
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(made: Front, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it sends on."""
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            if httpx2.get(f"{made.url}/nothing", trust_env=False).status_code not in (502, 503, 504):
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())
