"""What a replica runs is told by the log, also where that was pruned since it began."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from policylayer.audit import replicas
from policylayer.audit.replicas import newest, own_name
from policylayer.audit.verify import verify
from policylayer.store.tables import chains
from tests.audit.support import KEYS
from tests.audit.test_prune import activated, cut, opened, row

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]


async def test_what_a_process_runs_is_known_for_as_long_as_it_runs(database_url: str) -> None:
    """However little is kept, and however often it is cut; of one that is over nothing is kept for that."""
    serving = await opened(database_url, "serve")
    at = activated("sha256:1")
    for each in (at, row(), row()):
        await serving.append((each,))
    name = "{host}:{pid}".format(**own_name())
    for _ in range(3):
        command = await opened(database_url)
        assert await cut(command) > 0
        assert (await verify(command, KEYS)).good
        (found,) = (await command.read(lambda connection: newest(connection, [name]))).values()
        assert (found.detail["revision"], found.since_us) == ("sha256:1", at.time_us)
        assert found.id != at.id
        assert await command.read(replicas.revisions) == {name: "sha256:1"}
        await command.close()
    await serving.append((activated("sha256:2"), row()))
    assert await serving.read(replicas.revisions) == {name: "sha256:2"}
    await serving.write(lambda connection: connection.execute(update(chains).values(closed_us=1)) and None)
    await serving.close()
    command = await opened(database_url)
    assert await cut(command) > 0
    assert await command.read(lambda connection: newest(connection, [name])) == {}
    await command.close()
