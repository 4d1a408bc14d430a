"""AUD-19: refused input is written one by one while it is little, and counted when it is much; nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.attacks.messages import call, headers
from tests.attacks.rig import Rig
from tests.support.raw_http import request

ONE_BY_ONE = 20
"""Of one source, in ten seconds."""

REFUSALS = {
    "bad JSON": (150, b"{", {}, "rejected"),
    "duplicate": (60, call().replace(b"{", b'{"id":1,', 1), {}, "rejected"),
    "nobody": (90, call(), {"authorization": None}, "unauthenticated"),
    "host": (40, call(), {"host": "evil.example"}, "rejected"),
}


@pytest.mark.shows("proxy.5")
def test_aud_19_rows_and_counts_are_all_refusals_that_were_told(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        agents = [rig.agent("a") for _ in range(2)]
        told = {"rejected": 0, "unauthenticated": 0}
        for agent in agents:
            for count, body, other, type in REFUSALS.values():
                with rig.wire(agent.source) as wire:
                    for _ in range(count):
                        given = headers(agent.token, **other)  # type: ignore[arg-type]
                        assert 400 <= wire.send(request("POST", "/mcp/rec", given, body)).response().status < 500
                        told[type] += 1
            # Not even HTTP.
            with rig.wire(agent.source) as wire:
                assert wire.send(b"nonsense\r\n\r\n").response().status == 400
                told["rejected"] += 1
        assert rig.proxy.stop() == 0
        events = [row for row in rig.ledger.read() if row["kind"] == "event"]
        written = {type: [row for row in events if row["reason_code"] == type] for type in told}
        counted = [json.loads(row["detail"]) for row in events if row["reason_code"] == "rejected.many"]
        total = sum(each["total"] for each in counted)
        assert total + sum(map(len, written.values())) == sum(told.values())
        assert total == sum(entry["count"] for each in counted for entry in each["counts"])
        assert total > sum(told.values()) / 2, "hardly anything was only counted"
        assert all(len(rows) >= ONE_BY_ONE for rows in written.values())
        reasons = {entry["reason"] for each in counted for entry in each["counts"]}
        assert {"json", "unauthenticated"} <= reasons, reasons
        rig.proxy.start()
