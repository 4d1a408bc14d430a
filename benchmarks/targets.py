"""What can stand between caller and server: nothing, nginx, the bare relays, the proxy in its variants, peers.

Each target is a context manager that starts its processes, waits until they answer, and ends them. CPU is read from the
system's own accounting for the whole process tree; memory as PSS. Must not know how results are shown (`report.py`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PYTHON = sys.executable
SERVER_CORE, TARGET_CORE = 1, 0
"""Two cores: the target has one for itself, caller and server share the other."""


@dataclass
class Target:
    """A running target: where to call, and which processes are charged."""

    name: str
    port: int
    path: str = "/mcp"
    token: str = ""
    roots: list[int] = field(default_factory=list)
    apart: list[int] = field(default_factory=list)
    """Root processes that are shown apart: a database server's."""
    tool: str = "echo"
    """What the benchmark's tool is called there."""
    sessions: list[str] = field(default_factory=list)
    """Of the handshake era, once some were opened (`handshake.py`)."""

    def cpu_seconds(self) -> float:
        """User and system time of the tree so far."""
        return _cpu(self.roots)

    def running_seconds(self) -> float:
        """Time on a processor so far, by the scheduler's own count, of threads that live: exact where little is done.

        The usual accounting asks 100 times a second who is running, and often meets those whom the same timer woke.
        """
        return sum(map(_ran, self.roots))

    def cpu_apart(self) -> float:
        """The same for what is shown apart."""
        return _cpu(self.apart)

    def pss_mib(self) -> float:
        """Proportional set size of the tree, in MiB."""
        return sum(process.memory_full_info().pss for process in _tree(self.roots)) / 2**20


def _tree(roots: list[int]) -> Iterator[psutil.Process]:
    for pid in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            yield root
            yield from root.children(recursive=True)


def _ran(pid: int) -> float:
    counts = [file.read_text().split()[0] for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(map(int, counts)) / 1e9


def _cpu(roots: list[int]) -> float:
    total = 0.0
    for process in _tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def pinned(core: int | None, command: list[str]) -> list[str]:
    """The command on one core, where there are two and `taskset` is there; None: wherever the system puts it."""
    if core is None or (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        return command
    return ["taskset", "-c", str(core), *command]


@contextmanager
def process(command: list[str], core: int | None, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a session of its own, ended with all its children."""
    child = subprocess.Popen(pinned(core, command), start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def announcing(module: str, core: int | None, *arguments: str) -> Iterator[tuple[int, int]]:
    """One of our own programs, which prints its port first: (port, pid)."""
    command = [PYTHON, "-m", module, *arguments]
    with process(command, core, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline()), child.pid


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, seconds: float = 15.0) -> None:
    """Until something accepts connections there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


@contextmanager
def direct(upstream: int) -> Iterator[Target]:
    """Nothing in between."""
    yield Target("direct", upstream)


@contextmanager
def bare(kind: str, upstream: int) -> Iterator[Target]:
    """A relay of `bare_relay.py`."""
    with announcing("benchmarks.bare_relay", TARGET_CORE, kind, str(upstream)) as (port, pid):
        wait_for(port)
        yield Target(f"bare {kind} relay", port, roots=[pid])


NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream mcp {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 1000000;
    client_body_buffer_size 256k;
    location / {{
      proxy_pass http://mcp; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@contextmanager
def nginx(upstream: int, folder: Path) -> Iterator[Target]:
    """The practical limit: a relay in C that looks at nothing."""
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, upstream=upstream, port=port))
    with process(["nginx", "-c", str(config)], TARGET_CORE, stderr=subprocess.DEVNULL) as child:
        wait_for(port)
        yield Target("nginx", port, roots=[child.pid])
