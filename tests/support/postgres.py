"""A PostgreSQL server of the test's own, on a free port in a temporary folder; tests skip where there is none."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.ports import free_port
from tests.support.require import found, program

USER = "postgres"
MEMORY = Path("/dev/shm")
ROOM = 1 << 30


class Server:
    """One cluster. It refuses to run as root, so there it runs as the user that its package made.

    `hosts` is where it listens. `small`: files of its log are of 1 MiB, for a cluster that has little room.
    """

    def __init__(self, folder: Path, hosts: str = "127.0.0.1", small: bool = False) -> None:
        self.folder = folder
        self.hosts = hosts
        self.small = small
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._free: list[str] = []

    def make(self) -> None:
        """Make the cluster."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            owner = pwd.getpwnam(USER)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        more = ["--wal-segsize=1"] if self.small else []
        data = str(self.folder / "data")
        self._run(["initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", *more])
        if self.hosts != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        command += ["-h", self.hosts, "-c", "max_connections=80", "-c", "shared_buffers=16MB"]
        # Of a server that is killed nothing is to stay behind, so nothing of it is elsewhere.
        command += ["-c", "dynamic_shared_memory_type=mmap"]
        command += ["-c", "min_wal_size=2MB", "-c", "max_wal_size=4MB"] if self.small else []
        with (self.folder.parent / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._as_user(), *command], stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        for _ in range(600):
            ready = subprocess.run(
                [program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"], check=False, timeout=10
            )
            if ready.returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((self.folder.parent / "postgres.log").read_text()[-2000:])

    @property
    def runs(self) -> bool:
        """Whether its first process is there."""
        return self.process is not None and self.process.poll() is None

    def shut_down(self) -> None:
        """End it as whoever runs it would, sessions and all."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes: SIGKILL to fail, SIGSTOP to freeze, SIGCONT to go on."""
        assert self.process is not None
        first = psutil.Process(self.process.pid)
        for each in [first, *first.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait(10)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGKILL)

    def database(self) -> str:
        """The URL of an empty database."""
        if self._free:
            name = self._free.pop()
            self.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        else:
            self._count += 1
            name = f"test{self._count}"
            self.sql(f"CREATE DATABASE {name}", "postgres")
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def give_back(self, url: str) -> None:
        """The database of this URL is used no more: emptying one is quicker than making one."""
        name = url.rpartition("/")[2]
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")
        self.sql(f"ALTER DATABASE {name} RESET ALL", "postgres")
        self._free.append(name)

    def sql(self, statement: str, database: str) -> str:
        """What a statement answers, past everything of ours."""
        command = [program("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run(
            [*command, "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            [*self._as_user(), program(command[0]), *command[1:]], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode:
            raise AssertionError(done.stderr)

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return [program("setpriv"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


def missing() -> str | None:
    """Why there can be no server here, or None."""
    needed = ["initdb", "postgres", "psql", "pg_isready", *(["setpriv"] if os.geteuid() == 0 else [])]
    absent = [name for name in needed if found(name) is None]
    if absent:
        return f"`{absent[0]}` is not installed"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            return f"PostgreSQL does not run as root, and there is no user `{USER}`"
    return None


@contextmanager
def server(in_memory: bool = True, **more: Any) -> Iterator[Server]:
    """A running server, removed afterwards."""
    if (why := missing()) is not None:
        pytest.skip(why)
    # In memory where there is room: what is tested is ours, not the disk.
    roomy = in_memory and MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    root = Path(tempfile.mkdtemp(prefix="policylayer-pg-", dir=MEMORY if roomy else None))
    root.chmod(0o755)
    cluster = Server(root / "cluster", **more)
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
