"""One cluster for the folder, one database and one recording server for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.store.roles import statements
from tests.postgres.rig import replica
from tests.support.agents import closed
from tests.support.postgres import Server, server
from tests.support.recording import Recording
from tests.support.service import ADMIN, Preloaded, Proxy

Make = Callable[..., Proxy]


@pytest.fixture(scope="package")
def cluster() -> Iterator[Server]:
    with server() as made:
        yield made


@pytest.fixture
def url(cluster: Server) -> Iterator[str]:
    made = cluster.database()
    yield made
    cluster.give_back(made)


@pytest.fixture(autouse=True)
async def agents(anyio_backend: str) -> AsyncIterator[None]:
    """Whoever called hangs up with the test."""
    yield
    await closed()


@pytest.fixture
def make(cluster: Server, url: str, rec: Recording, tmp_path: Path) -> Iterator[Make]:
    """Starts a replica by name; all are ended with the test."""
    with ExitStack() as stack:

        def start(
            name: str, preload: bool = False, database: str | None = None, create: str | None = None, **more: object
        ) -> Proxy:
            """Start one; `create` a role first, which may do what the proxy needs, and connects as no one else."""
            if create is not None:
                _role(cluster, url, create)
                stack.callback(lambda: cluster.sql(f"DROP OWNED BY {create}; DROP ROLE {create}", _name(url)))
            folder = tmp_path / name
            folder.mkdir()
            preloaded = stack.enter_context(Preloaded(folder)) if preload else None
            made = replica(folder, database or url, rec.url, preloaded, **more)
            made.start()
            stack.callback(lambda: made.stop() if running(made) else None)
            made.person(*ADMIN)
            return made

        yield start


@contextmanager
def made(folder: Path, on: Path, rec: Recording) -> Iterator[tuple[Server, Proxy]]:
    """A cluster in a folder of its own, and a proxy over it."""
    cluster = Server(on / "cluster", small=True)
    try:
        cluster.make()
        cluster.start()
        proxy = replica(folder / "one", cluster.database(), rec.url)
        proxy.start()
        try:
            yield cluster, proxy
        finally:
            proxy.stop()
    finally:
        cluster.stop()


def running(proxy: Proxy) -> bool:
    """Whether its process is still there."""
    if proxy.preloaded is not None:
        return proxy.preloaded.child != 0
    return proxy.program.process.poll() is None


def _role(cluster: Server, url: str, role: str) -> None:
    cluster.sql("; ".join([f"CREATE ROLE {role} LOGIN", *statements(role)]), _name(url))


def _name(url: str) -> str:
    return url.rpartition("/")[2]
