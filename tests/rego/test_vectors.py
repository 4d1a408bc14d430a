"""Expressions of Rego and what OPA makes of them: the embedded engine agrees on each.

The vectors are our own, with the answers of OPA 1.20.2 (`tests/cases/rego/vectors.json`). Where an OPA server can be
started, it is asked again, so that the file cannot drift from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from policylayer.rego import selftest
from policylayer.rego.pool import Pool, PoolSettings
from tests.support.opa import opa

pytestmark = pytest.mark.anyio

VECTORS = orjson.loads((Path(__file__).resolve().parents[1] / "cases" / "rego" / "vectors.json").read_bytes())
INPUT = orjson.dumps(VECTORS["input"]).decode()


def module(case: dict[str, Any]) -> str:
    return f"package policylayer\n\n{case['rego']}\n"


def meaning(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        return {"error": True}
    return {"value": answer["value"]} if "value" in answer else {"undefined": True}


def wanted(case: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in case.items() if key != "rego"}


@pytest.mark.shows("rego.6")
async def test_the_embedded_engine_agrees_on_every_vector() -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    cases = VECTORS["cases"]
    pool = Pool([[("case.rego", module(case))] for case in cases], PoolSettings(workers=1, deadline=10))
    try:
        assert (await pool.start())["problems"] == []
        (answers,) = await pool.ask({"op": "eval", "units": list(range(len(cases))), "inputs": [INPUT]})
    finally:
        await pool.close()
    pairs = list(zip(cases, answers, strict=True))
    wrong = [(case["rego"], answer) for case, answer in pairs if meaning(answer) != wanted(case)]
    assert wrong == []
    assert len(cases) >= 150
    print(f"{len(cases)} vectors, all answered as OPA answers them")


@pytest.mark.shows("rego.6")
async def test_the_vectors_are_what_opa_says() -> None:
    async with opa() as running, aiohttp.ClientSession(trust_env=False) as session:
        for case in VECTORS["cases"]:
            async with session.put(f"{running.url}/v1/policies/case", data=module(case)) as response:
                assert response.status == 200, case["rego"]
            url = f"{running.url}/v1/data/policylayer/decision?strict-builtin-errors=true"
            async with session.post(url, data=f'{{"input": {INPUT}}}') as response:
                answer = orjson.loads(await response.read())
            found = {"error": True} if response.status != 200 else {"undefined": True}
            found = {"value": answer["result"]} if response.status == 200 and "result" in answer else found
            assert found == wanted(case), case["rego"]


async def test_the_self_test_is_passed_and_can_be_failed() -> None:
    pytest.importorskip("regorus", reason="the extra `rego` is not installed")
    pool = Pool([[(selftest.FILE, selftest.TEXT)]], PoolSettings(workers=1, deadline=5))
    try:
        await pool.start()
        ((answer,),) = await pool.ask({"op": "eval", "units": [0], "inputs": ["{}"]})
        assert answer["value"] == selftest.ANSWERS
        ((other,),) = await pool.ask({"op": "eval", "units": [0], "inputs": ['{"missing": 1}']})
        assert other.get("value") != selftest.ANSWERS
    finally:
        await pool.close()
