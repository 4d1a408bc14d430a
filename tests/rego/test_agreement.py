"""Embedded engine, OPA server and, where it says the same, YAML: ten thousand random inputs, thirty policies, agree.

One difference stays, on the safe side: where a builtin or an iteration meets a value of the wrong type, the embedded
engine fails (and the call is denied as indeterminate) where OPA may go on as if the value were not there.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect
from policylayer.policy.load import load
from policylayer.rego.pool import Pool, PoolSettings
from tests.support.opa import opa

pytest.importorskip("regorus", reason="the extra `rego` is not installed")
pytestmark = pytest.mark.anyio

CASES = Path(__file__).resolve().parents[1] / "cases" / "rego"
INPUTS = 10_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_there_are_thirty() -> None:
    assert len(list(CASES.glob("*.rego"))) == 30


def arguments(chance: random.Random) -> dict[str, Any]:
    """Arguments near the conditions' borders, of the wrong type, or missing."""
    pools: dict[str, list[Any]] = {
        "amount": [0, 1, 5, 6, 7, 7.4, 7.5, 50, 50.5, 51, 60, 99, 99.99, 100, 1000, -1, "7", None, True, [7]],
        "currency": ["eur", "usd", "EUR", "gbp", "", None, 7],
        "path": ["docs/a/x", "docs/a/b/x", "a/../b", "..", "DROP it", "drops", '{"a": 1}', "", None, 4],
        "tags": [["ok"], ["ok", "okay"], ["bad"], ["a", "b", "c"], [], ["ok", 3], "ok", None],
        "numbers": [[1, 2], [95, 10], [0], [-5, 101], [], [1.5, 2.5], None],
        "force": [True, False, "true", 0, None],
        "a": [1, "1", {"b": {"c": {"d": 1}}}, {"b": None}, {"secret": 1}, None],
        "b": [1, 1.0, "1", {"b": {"c": {"d": 1}}}],
    }
    return {key: chance.choice(pool) for key, pool in pools.items() if chance.random() < 0.6}


def document(chance: random.Random) -> dict[str, Any]:
    return {
        "version": 1,
        "phase": "call",
        "principal": {"id": "agent:x", "groups": chance.choice([[], ["group:admins"], ["group:a", "group:admins"]])},
        "server": chance.choice(["shop", "files"]),
        "method": "tools/call",
        "target": chance.choice(["read_a", "delete_a", "pay", "read_"]),
        "request": {"ip": chance.choice(["10.1.2.3", "192.168.0.1"]), "protocol": "2026-07-28"},
        "args": arguments(chance),
    }


def canonical(value: Any) -> Any:
    """Sets arrive as lists in each engine's own order."""
    if isinstance(value, list):
        return sorted((canonical(each) for each in value), key=lambda each: orjson.dumps(each))
    return value


async def embedded(text: str, inputs: list[str]) -> list[Any]:
    pool = Pool([[("case.rego", text)]], PoolSettings(workers=1))
    try:
        assert (await pool.start())["problems"] == []
        answer = await pool.ask({"op": "eval", "units": [0], "inputs": inputs}, 30.0)
    finally:
        await pool.close()
    return ["error" if "error" in each else canonical(each.get("value", "undefined")) for (each,) in answer]


async def served(session: aiohttp.ClientSession, url: str, text: str, inputs: list[str]) -> list[Any]:
    async with session.put(f"{url}/v1/policies/case", data=text) as response:
        assert response.status == 200, await response.text()
    gate = asyncio.Semaphore(8)

    async def one(each: str) -> Any:
        address = f"{url}/v1/data/policylayer/decision?strict-builtin-errors=true"
        async with gate, session.post(address, data=f'{{"input": {each}}}') as response:
            answer = orjson.loads(await response.read())
            return canonical(answer.get("result", "undefined")) if response.status == 200 else "error"

    return list(await asyncio.gather(*(one(each) for each in inputs)))


def decided(yaml: str, asked: dict[str, Any]) -> str:
    files = {"case.yaml": yaml.encode(), "principals.yaml": PRINCIPALS}
    policy_set = decided.__dict__.setdefault(yaml, load(files).policy_set)
    assert policy_set is not None
    call = Call(asked["server"], "tools/call", asked["target"], asked["args"], b"", b"", "2026-07-28")
    subject = Subject("agent:x", frozenset(asked["principal"]["groups"]))
    decision = policy_set.decide(Question(call, subject, ServerFacts(asked["server"]), NOW, ip=asked["request"]["ip"]))
    return "allow" if decision.effect is Effect.ALLOW else "not allow"


PRINCIPALS = b"principals:\n  agent:x: {}\ngroups:\n  admins: [agent:x]\n  a: [agent:x]\n".replace(
    b"admins: [agent:x]", b"admins: [agent:y]"
).replace(b"principals:\n  agent:x: {}\n", b"principals:\n  agent:x: {}\n  agent:y: {}\n")


def meaning(value: Any) -> str:
    """What a Rego result comes to among the effects: an allow, unless something denies."""
    results = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    effects = {each["effect"] for each in results}
    return "allow" if effects == {"allow"} else "not allow"


@pytest.mark.shows("rego.1")
@pytest.mark.slow
async def test_all_three_agree() -> None:
    chance = random.Random(20260728)
    each = INPUTS // 30 + 1
    compared = stricter = 0
    async with opa() as running, aiohttp.ClientSession(trust_env=False) as session:
        for path in sorted(CASES.glob("*.rego")):
            text, documents = path.read_text(), [document(chance) for _ in range(each)]
            inputs = [orjson.dumps(asked).decode() for asked in documents]
            ours, theirs = await embedded(text, inputs), await served(session, running.url, text, inputs)
            yaml = path.with_suffix(".yaml")
            for asked, one, other in zip(documents, ours, theirs, strict=True):
                if one == "error" and other != "error":
                    stricter += 1  # a value of the wrong type: an error here, so a denial; OPA goes on without it
                    continue
                assert one == other, (path.name, asked)
                if yaml.exists():
                    assert decided(yaml.read_text(), asked) == meaning(one), (path.name, asked)
                compared += 1
    assert compared + stricter >= INPUTS
    print(f"{compared} answers the same, {stricter} errors (denied) where OPA ignores a value of the wrong type")
