"""A hundred thousand recorded decisions through a changed set: as if each were decided again, and fast."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from policylayer.audit.legible import legible
from policylayer.audit.pages import PAGE, newest
from policylayer.audit.queries import EVERYTHING
from policylayer.audit.shown import Family, decision_json
from policylayer.core.decision import Effect
from policylayer.policy.load import load
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import kept, recorded
from policylayer.policy.tally import Tally
from policylayer.revisions.replaying import Replaying, take
from policylayer.store.viewing import open_view
from tests.support.many import AFTER, BEFORE, FACTS, compiled, rows, write

pytestmark = pytest.mark.anyio
MANY = 100_000


async def replayed(path: Path, files: dict[str, str]) -> Tally:
    """All rows of a database through a set."""
    tally, before = Tally(), None
    asked = await Replaying.open(load({name: text.encode() for name, text in files.items()}), {})
    view = await open_view(f"sqlite:///{path}")
    while page := await view.read(partial(newest, filters=EVERYTHING, before=before, size=PAGE)):
        await take(tally, page, FACTS.get, asked)
        before = page[-1].id
    await view.close()
    return tally


def one_by_one(before: PolicySet, after: PolicySet, number: int) -> tuple[Counter[Any], Counter[str]]:
    """The same, decided one by one, from what was really sent; from a row only whether it leaves something open."""
    groups: Counter[Any] = Counter()
    counts: Counter[str] = Counter()
    for asked, row in rows(before, range(number)):
        shown = decision_json(legible((*row, "chain", 1, "key", b"")), Family())
        read = recorded(kept(shown), FACTS.get, after.reads)
        if read.effect is None:
            counts["not compared"] += 1
            continue
        decision = after.decide(asked)
        possible = after.possible(read.question, read.unknown)
        assert decision.effect in possible
        if len(possible) > 1:
            counts["undecidable"] += 1
        elif read.effect is decision.effect:
            counts["same"] += 1
        else:
            effectless = {rule.ref for rule in after.compiled if rule.effect is None}
            names = tuple(ref.name for ref in decision.rules if ref not in effectless)
            old = tuple(f"{rule['policy']}/{rule['rule']}" for rule in orjson.loads(row.rules or "[]"))
            groups[read.effect, decision.effect, old, names, row.principal, row.on_behalf_of] += 1
    return groups, counts


@pytest.mark.slow
@pytest.mark.shows("policy.3")
async def test_100_000_rows_are_as_if_decided_one_by_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policylayer.db"
    write(path, MANY)
    began = time.process_time()
    tally = await replayed(path, AFTER)
    took = time.process_time() - began
    with capsys.disabled():
        print(f"\nreplay: {MANY} rows in {took:.2f} s of CPU: {MANY / took:,.0f} rows a second")
    groups, counts = one_by_one(compiled(BEFORE), compiled(AFTER), MANY)
    assert {(*key.turn, *key[1:]): group.count for key, group in tally.changes.items()} == groups
    assert tally.rows == MANY
    told = {"same": tally.same, "undecidable": tally.undecidable, "not compared": tally.skipped.total()}
    assert told == counts
    assert len(groups) > 20
    assert all(count > 1_000 for count in counts.values())
    assert {effect for turn in tally.turns for effect in turn} == set(Effect)
