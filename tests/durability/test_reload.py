"""LOAD-09, LOAD-11 and LOAD-12 under load: policies change every 50 ms, and what lies there is often no policy at all.

The folder is a link that is turned from one state to the next: good revisions, half-written ones, broken ones, some
whose tests fail (and which would let the forbidden tool through), empty ones, none; and a folder that is rewritten in
place, piece by piece. Every decision in the log must be by one whole good revision: its row names it, and deciding
again from that revision's files gives the same. POLICYLAYER_RELOAD_SECONDS sets how long; a release takes ten minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.policy import testing
from policylayer.policy.load import load, revision_of
from policylayer.policy.policy_set import PolicySet
from tests.attacks.rig import Rig
from tests.support.soak import Agents, verdicts

SECONDS = float(os.environ.get("POLICYLAYER_RELOAD_SECONDS", "30"))
EVERY = 0.05
GOOD = 12
AGENTS = 8


POLICY = """policy: {name}
applies_to: {{principals: ["agent:*"], servers: "*"}}
rules:
{rules}
"""
TEST = """  {{name: {tool}, principal: "agent:a-1", call: {{server: rec, tool: {tool}, arguments: {{word: {word}}}}},
    expect: {{effect: {effect}, rules: [{rule}], reason_code: rule}}}},
"""


def files(version: int) -> dict[str, bytes]:
    """A good revision: three files that carry its number. Which words it lets through differs from one to the next."""
    digits = json.dumps([str(digit) for digit in range(10) if (digit + version) % 3])
    # What a cut at the end of a line leaves out is always something that the tests ask for.
    safe = f"""  - {{id: none-{version}, tools: [safe], when: {{args.word: {{exists: false}}}}, effect: allow}}
  - {{id: safe-{version}, tools: [safe], when: {{args.word: {{ends_with: {digits}}}}}, effect: allow}}"""
    danger = f"  - {{id: danger-{version}, tools: [danger], effect: deny, reason: never}}"
    word = "x1" if (1 + version) % 3 else "x2"
    tests = TEST.format(tool="safe", word=word, effect="allow", rule=f"safe/safe-{version}")
    tests += TEST.format(tool="danger", word="x", effect="deny", rule=f"danger/danger-{version}")
    made = {
        "safe.yaml": POLICY.format(name="safe", rules=safe),
        "team/danger.yaml": POLICY.format(name="danger", rules=danger),
        # In brackets, so that half of it is nothing: with one whole test less, a mix of revisions would be a good one.
        "all_test.yaml": f"tests: [\n{tests}]\n",
    }
    return {name: text.encode() for name, text in made.items()}


def broken(version: int, rng: random.Random) -> dict[str, bytes]:
    """The same, but no revision: cut off, malformed, or contradicted by its tests."""
    made = files(version)
    kind = rng.choice(["cut", "cut", "syntax", "unknown", "open", "mixed", "duplicate"])
    if kind == "cut":
        name = rng.choice(["safe.yaml", "team/danger.yaml"])
        made[name] = made[name][: rng.randrange(len(made[name]) - 25)]
    elif kind == "syntax":
        made["safe.yaml"] += b"  - {id: x, tools: [\n"
    elif kind == "unknown":
        made["safe.yaml"] = made["safe.yaml"].replace(b"effect: allow", b"effct: allow")
    elif kind == "open":
        # All that keeps the forbidden tool shut here is that the tests fail.
        made["team/danger.yaml"] = made["team/danger.yaml"].replace(b"effect: deny", b"effect: allow")
    elif kind == "mixed":
        made["safe.yaml"] = files(version + 1)["safe.yaml"]
    else:
        made["team/safe.yaml"] = made["safe.yaml"]
    return made


def half(data: bytes) -> bytes:
    """What a file holds that is being rewritten, or that was left so."""
    return data[: len(data) // 2]


class Folder:
    """The link, and the states it is turned to."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._rng = random.Random(seed)
        self._numbers = 0
        self.link = root / "current"
        self.good = [self._make(files(version)) for version in range(GOOD)]
        self.bad = [self._make(broken(version, self._rng)) for version in range(GOOD)]
        self.empty = self._make({})
        self.live = self._make(files(0))
        self.done: Counter[str] = Counter()
        self.turn(self.good[0])

    def _make(self, content: dict[str, bytes]) -> Path:
        self._numbers += 1
        folder = self._root / f"state-{self._numbers}"
        folder.mkdir()
        for name, data in content.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def turn(self, folder: Path) -> None:
        """Point the link there, at once."""
        new = self._root / "new"
        new.unlink(missing_ok=True)
        new.symlink_to(folder)
        new.rename(self.link)

    def step(self) -> None:
        """One change."""
        what = self._rng.choices(["good", "bad", "empty", "none", "live", "rewrite"], [6, 3, 1, 1, 1, 4])[0]
        self.done[what] += 1
        if what == "good":
            self.turn(self._rng.choice(self.good))
        elif what == "bad":
            self.turn(self._rng.choice(self.bad))
        elif what == "empty":
            self.turn(self.empty)
        elif what == "none":
            self.link.unlink(missing_ok=True)
        elif what == "live":
            self.turn(self.live)
        else:
            self._rewrite()

    def _rewrite(self) -> None:
        """One piece of one file of the folder that is rewritten in place."""
        content = files(self._rng.randrange(GOOD))
        name = self._rng.choice(list(content))
        data = content[name]
        begun = half(data)
        with (self.live / name).open("wb", buffering=0) as file:
            file.write(begun)
            if self._rng.random() < 0.7:
                file.write(data[len(begun) :])


@pytest.mark.slow
@pytest.mark.shows("proxy.10")
def test_every_decision_is_by_one_whole_good_revision(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    folder = Folder(_made(tmp_path / "proxy"), seed)
    good = {revision_of(files(version)): files(version) for version in range(GOOD)}
    with Rig(tmp_path / "proxy", policies={}, policies_from="./current") as rig:
        agents = Agents(AGENTS, [rig.agent("a").token], lambda: rig.proxy.port, {"safe": 0.8, "danger": 0.2}, seed)
        stop = asyncio.Event()
        crew = rig.loop.begin(agents.run(stop))
        ended = threading.Event()
        reloading = threading.Thread(target=_reload, args=(rig, ended))
        reloading.start()
        try:
            _change(folder, SECONDS)
            assert not crew.done(), crew.result()
        finally:
            ended.set()
            reloading.join()
            rig.loop.soon(stop.set)
            crew.result(20)
        folder.turn(folder.good[7])
        assert rig.proxy.ask("POST", "/reload")["revision"] == revision_of(files(7))
        _check(rig, agents, good, seed)
        print(f"seed {seed}: {dict(folder.done)}, {len(agents.told)} calls")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _change(folder: Folder, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (now := time.monotonic()) < deadline:
        folder.step()
        time.sleep(max(0.0, EVERY - (time.monotonic() - now)))


def _reload(rig: Rig, ended: threading.Event) -> None:
    """Somebody asks for it all the time, too."""
    while not ended.is_set():
        rig.proxy.ask("POST", "/reload")


def _check(rig: Rig, agents: Agents, good: dict[str, dict[str, bytes]], seed: int) -> None:
    sets = {revision: _loaded(content) for revision, content in good.items()}
    rows = [row for row in rig.ledger.read() if row["kind"] == "decision"]
    used: Counter[str] = Counter()
    for row in rows:
        assert row["revision"] in good, f"seed {seed}: decided by none, or by no whole one: {row}"
        used[row["revision"]] += 1
        again = sets[row["revision"]].decide(_question(row))
        rules = [[ref.policy, ref.rule] for ref in again.rules]
        said = [[ref["policy"], ref["rule"]] for ref in map(_ref, json.loads(row["rules"] or "[]"))]
        found = (again.effect.value, again.enforced.value, again.reason_code.value, rules)
        assert found == (row["effect"], row["enforced"], row["reason_code"], said), (seed, row)
    events = Counter(row["reason_code"] for row in rig.ledger.rows if row["kind"] == "event")
    told = verdicts(agents.told)
    assert len(used) > 3, (seed, used)
    assert events["policy_activated"] > 3, (seed, events)
    assert events["policy_refused"] > 3, (seed, events)
    assert set(told["danger"]) == {"denied"}, (seed, told)
    assert set(told["safe"]) == {"executed", "denied"}, (seed, told)
    assert len(rows) >= len(agents.told)
    rig.ledger.check(rig.secrets)
    assert not rig.proxy.troubles()


def _loaded(content: dict[str, bytes]) -> PolicySet:
    made = load(content).policy_set
    assert made is not None
    return made


def _question(row: dict[str, Any]) -> Question:
    """What was asked, as the row says it."""
    arguments = json.loads(row["arguments"])
    call = Call(row["server"], row["method"], row["target"], arguments, b"", b"", row["protocol"])
    moment = datetime.fromtimestamp(row["time_us"] / 1e6, UTC)
    return Question(call, Subject(row["principal"]), ServerFacts(row["server"]), moment, ip=row["ip"])


def _ref(ref: Any) -> dict[str, Any]:
    return ref if isinstance(ref, dict) else dict(zip(("policy", "rule", "file", "line"), ref, strict=False))


def test_the_broken_ones_are_refused_and_the_good_ones_are_not() -> None:
    """Else the test above shows nothing."""
    for version in range(GOOD):
        made = load(files(version))
        assert made.policy_set is not None
        assert all(result.passed for result in testing.run(made.policy_set, made.tests))
        assert made.policy_set.revision == revision_of(files(version))
    rng = random.Random(5)
    for number in range(300):
        content = broken(number % GOOD, rng)
        assert not _passes(content), content


def test_of_what_a_rewriting_leaves_only_whole_revisions_are_good() -> None:
    """Every mix of whole and half files of three revisions, one with a longer number: what lies there may be any."""
    names = list(files(0))
    pieces = [[(v, cut) for v in (4, 7, 11) for cut in (False, True)]] * len(names)
    passing = set()
    for mix in itertools.product(*pieces):
        content = {}
        for name, (version, cut) in zip(names, mix, strict=True):
            data = files(version)[name]
            content[name] = half(data) if cut else data
        if _passes(content):
            passing.add(revision_of(content))
    assert passing == {revision_of(files(version)) for version in (4, 7, 11)}


def _passes(content: dict[str, bytes]) -> bool:
    made = load(content)
    return made.policy_set is not None and all(result.passed for result in testing.run(made.policy_set, made.tests))
