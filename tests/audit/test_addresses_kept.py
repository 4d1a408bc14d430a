"""What a row keeps of a target: an address without its secrets, a name as it is."""

from __future__ import annotations

import json

import pytest

from policylayer.audit.context import Keeping
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.core.commands import (
    Recorded,
)
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import KEYS, context, record
from tests.audit.test_recorder import Sql, row_of

pytestmark = pytest.mark.anyio


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://files.example/x?page=2", None),
        ("file:///srv/a/very/long/path/of/forty/characters/and/more.txt", None),
        ("https://alice:hunter2x@files.example/x", "https://[redacted:MARK]@files.example/x"),
        (
            "https://files.example/x?access_token=hunter2x&b=1",
            "https://files.example/x?access_token=[redacted:MARK]&b=1",
        ),
        ("https://files.example/x?u=%70assword%3Dhunter2x", "[redacted:MARK]"),
    ],
)
async def test_an_address_is_kept_without_its_secrets(recorder: Recorder, sql: Sql, uri: str, kept: str | None) -> None:
    """AUD-16."""
    asked = context({"uri": uri}, target=uri, method="resources/read")
    reply = await recorder.record(record(), asked)
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    assert "hunter2x" not in json.dumps(row, default=str)
    if kept is None:
        assert (row["target"], row["detail"]) == (uri, None)
    else:
        assert row["target"].split("[")[0] == kept.split("[")[0]
        assert row["target"].split("]")[1:] == kept.split("]")[1:]
        assert json.loads(row["detail"])["masked_target"] is True


async def test_a_name_is_kept_as_it_is_and_so_is_an_address_where_all_is(store: SqliteStore, sql: Sql) -> None:
    full = Recorder(store, KEYS, Clock(), Keeping("full"))
    uri = "https://alice:hunter2x@files.example/x"
    for asked in (context(target="sk_learn_predict_model"), context({}, target=uri, method="resources/read")):
        reply = await full.record(record(), asked)
        assert isinstance(reply, Recorded)
        assert row_of(sql, reply.row_id)["target"] == asked.call.target
