"""The embedded engine: findings, refusals at load with their places, runaway policies, deaths, lists, secrets."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect
from policylayer.policy.ast import AppliesTo, Pattern, Span
from policylayer.policy.rules import Scope
from policylayer.rego.embedded import Embedded
from policylayer.rego.pool import PoolSettings
from tests.support.sizes import sized

pytest.importorskip("regorus", reason="the extra `rego` is not installed")
pytestmark = pytest.mark.anyio

HEAD = "package policylayer\n"
RULES = HEAD + (
    'decision contains {"effect": "deny", "rule": "no-deletes"} if startswith(input.target, "delete_")\n'
    'decision contains {"effect": "allow", "rule": "small"} if input.args.amount < 100\n'
)


def question(target: str = "pay", arguments: Mapping[str, Any] | None = None, server: str = "shop") -> Question:
    call = Call(server, "tools/call", target, arguments or {}, b"", b"", "2026-07-28")
    return Question(call, Subject("agent:x"), ServerFacts(server), datetime(2026, 1, 1, tzinfo=UTC))


def describe(subject: Subject, now: datetime) -> Mapping[str, Any]:
    return {"id": subject.id, "kind": "agent", "groups": [], "attributes": {}}


def everything(scopes: tuple[Scope, ...], asked: Question, effect: Effect | None) -> bool:
    return all(scope.servers.match(asked.call.server) for scope in scopes)


@asynccontextmanager
async def opened(files: Mapping[str, str], **settings: Any) -> AsyncIterator[Embedded]:
    scopes = settings.pop("scopes", {})
    bytes_ = {name: text.encode() for name, text in files.items()}
    engine, problems = await Embedded.open(bytes_, scopes, everything, PoolSettings(**settings))
    assert engine is not None, problems
    try:
        yield engine
    finally:
        await engine.close()


async def refused(files: Mapping[str, str]) -> list[tuple[str, int, int, str]]:
    bytes_ = {name: text.encode("utf-8", "surrogateescape") for name, text in files.items()}
    engine, problems = await Embedded.open(bytes_, {}, everything, PoolSettings(load_deadline=2))
    assert engine is None
    return [(each.file, each.line, each.column, each.code) for each in problems]


async def test_findings_name_their_rule_and_line() -> None:
    async with opened({"a.rego": RULES}) as engine:
        (deny,) = await engine.findings(question("delete_all"), describe)
        assert (deny.effect, deny.rule.name, deny.rule.line) == (Effect.DENY, "rego/no-deletes", 2)
        (allow,) = await engine.findings(question(arguments={"amount": 5}), describe)
        assert (allow.effect, allow.rule.line) == (Effect.ALLOW, 3)
        assert await engine.findings(question(arguments={"amount": 500}), describe) == ()


async def test_null_and_undefined_are_told_apart() -> None:
    async with opened({"a.rego": HEAD + "decision := null if input.target == `null`\n"}) as engine:
        (null,) = await engine.findings(question("null"), describe)
        assert null.failure == "indeterminate"
        assert await engine.findings(question("other"), describe) == ()


@pytest.mark.shows("rego.3")
async def test_conflicts_and_errors_are_indeterminate() -> None:
    conflict = (
        HEAD + 'decision := {"effect": "allow"} if input.args.a\ndecision := {"effect": "deny"} if input.args.b\n'
    )
    async with opened({"a.rego": conflict}) as engine:
        (found,) = await engine.findings(question(arguments={"a": True, "b": True}), describe)
        assert found.failure == "indeterminate"
    async with opened({"a.rego": HEAD + 'decision := {"effect": "allow"} if 1 / input.args.n > 0\n'}) as engine:
        (found,) = await engine.findings(question(arguments={"n": 0}), describe)
        assert (found.failure, found.effect) == ("indeterminate", None)


async def test_what_may_not_be_used_is_refused_with_its_place() -> None:
    bad = HEAD + "a := http.send({})\nb := opa.runtime()\nc := data.secrets.x\nd := nosuch(1)\ne := time.now_ns()\n"
    found = await refused({"x/bad.rego": bad, "y/other.rego": "package other\nz := 1\n"})
    assert ("x/bad.rego", 2, 6, "PL306") in found
    assert {(line, code) for file, line, _, code in found if file == "x/bad.rego"} == {
        (2, "PL306"),
        (3, "PL306"),
        (4, "PL304"),
        (5, "PL305"),
        (6, "PL306"),
    }
    assert ("y/other.rego", 1, 1, "PL302") in found


async def test_a_mocked_builtin_does_not_smuggle_one_in() -> None:
    text = HEAD + 'decision := {"effect": "allow"} if x with startswith as http.send\nx if startswith("a", "a")\n'
    assert ("a.rego", 2, "PL306") in [(file, line, code) for file, line, _, code in await refused({"a.rego": text})]


REFUSED = ["not input.args.x > 5", "not f(input.args.x)", "not input.args.x in {1}", "not (input.target != `a`)"]
TAKEN = ["not input.args.x", "not input.args.x == 5", "not startswith(input.server, `a`)", "not x", "not f(x)"]


@pytest.mark.shows("rego.1")
@pytest.mark.parametrize("condition", REFUSED)
async def test_a_not_that_opa_reads_otherwise_is_refused(condition: str) -> None:
    text = HEAD + f'decision := {{"effect": "deny"}} if {{ x := 1; {condition} }}\nf(v) if v == 1\n'
    assert [(line, code) for _, line, _, code in await refused({"a.rego": text})] == [(2, "PL308")]


async def test_a_not_that_both_read_alike_is_taken() -> None:
    for condition in TAKEN:
        text = HEAD + f'decision := {{"effect": "deny"}} if {{ x := 1; {condition} }}\nf(v) if v == 1\n'
        async with opened({"a.rego": text}):
            pass


async def test_old_syntax_and_old_imports_are_refused() -> None:
    assert await refused({"a.rego": HEAD + "allow = true { input.x }\n"}) == [("a.rego", 2, 14, "PL301")]
    assert [code for *_, code in await refused({"a.rego": HEAD + "import data.other\nx := 1\n"})] == ["PL303"]


async def test_a_text_that_is_not_utf8_is_refused() -> None:
    assert await refused({"a.rego": "package policylayer\n# \udcff\n"}) == [("a.rego", 1, 1, "PL102")]


async def test_a_set_that_crashes_the_parser_is_refused() -> None:
    assert await refused({"a.rego": HEAD + "x := " + "[" * 100_000 + "]" * 100_000}) != []


async def test_a_unit_is_not_asked_beyond_its_scope() -> None:
    span = Span("scope.yaml", 1, 1)
    scope = AppliesTo((Pattern("*", span),), (Pattern("other", span),), span)
    text = HEAD + 'decision := {"effect": "deny"}\n'
    async with opened({"team/a.rego": text}, scopes={"team/a.rego": (scope,)}) as engine:
        assert await engine.findings(question(server="shop"), describe) == ()
        assert len(await engine.findings(question(server="other"), describe)) == 1


async def test_lists_ask_without_arguments() -> None:
    text = (
        HEAD
        + 'decision contains {"effect": "deny"} if { input.phase == "list"; not input.args; input.target == "b" }\n'
    )
    async with opened({"a.rego": text}) as engine:
        answers = await engine.listed([question(f"{name}", {"x": 1}) for name in "abc" * 30], describe)
        assert [len(answer) for answer in answers] == [0, 1, 0] * 30


async def test_rego_tests_run() -> None:
    tests = "package policylayer\ntest_ok if count(decision) == 0 with input as {}\ntest_bad if 1 == 2\n"
    async with opened({"a.rego": RULES, "a_test.rego": tests}) as engine:
        done = {each.name: each.problem for each in await engine.test()}
        assert done["test_ok"] is None
        assert done["test_bad"] is not None


RUNAWAY = {
    "comprehension": "count({x | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); x := i * j}) > 0",
    "range": "count(numbers.range(1, 10000000)) > 0",
    "walk": "count([1 | walk(input, [p, v]); some q in numbers.range(1, 100000); v == q]) > 0",
}


@pytest.mark.shows("rego.2")
@pytest.mark.parametrize("kind", sorted(RUNAWAY))
async def test_a_runaway_policy_is_killed_and_the_next_call_served(kind: str) -> None:
    text = (
        RULES
        + f'decision contains {{"effect": "allow", "rule": "run"}} if {{ input.target == "run"; {RUNAWAY[kind]} }}\n'
    )
    async with opened({"a.rego": text}) as engine:
        for _ in range(5):
            (found,) = await engine.findings(question("run", {"big": list(range(2000))}), describe)
            assert found.failure == "engine_error"
            (fine,) = await engine.findings(question(arguments={"amount": 1}), describe)
            assert fine.effect is Effect.ALLOW


@pytest.mark.shows("rego.2")
@pytest.mark.parametrize(
    "condition",
    [
        'is_array(json.unmarshal(concat("", ["[" | some _ in numbers.range(1, 50000)])))',
        'regex.match("^(a+)+$", input.args.text)',
        'regex.match("^(a|a?)+$", input.args.text)',
        'regex.match(sprintf("(%s){1,1000}{1,1000}", ["a{1,1000}"]), input.args.text)',
    ],
)
async def test_deep_data_and_exponential_regexes_harm_nobody(condition: str) -> None:
    """They fail, or are answered in linear time: what they would allow is not allowed, and the next call is served."""
    text = (
        RULES + f'decision contains {{"effect": "allow", "rule": "run"}} if {{ input.target == "run"; {condition} }}\n'
    )
    async with opened({"a.rego": text}) as engine:
        found = await engine.findings(question("run", {"text": "a" * 4000 + "!", "amount": 1000}), describe)
        assert all(each.effect is None for each in found)
        (fine,) = await engine.findings(question(arguments={"amount": 1}), describe)
        assert fine.effect is Effect.ALLOW


@pytest.mark.shows("rego.2")
async def test_other_calls_in_flight_are_unaffected() -> None:
    text = (
        RULES + f'decision contains {{"effect": "allow"}} if {{ input.target == "run"; {RUNAWAY["comprehension"]} }}\n'
    )
    async with opened({"a.rego": text}, deadline=0.5) as engine:
        bad = asyncio.ensure_future(engine.findings(question("run"), describe))
        await asyncio.sleep(0)
        good = [await engine.findings(question(arguments={"amount": 1}), describe) for _ in range(20)]
        assert not bad.done()
        assert all(found.effect is Effect.ALLOW for (found,) in good)
        assert (await bad)[0].failure == "engine_error"


@pytest.mark.shows("rego.2")
@pytest.mark.slow
async def test_five_hundred_runaways_leak_nothing() -> None:
    me = psutil.Process()
    text = (
        RULES + f'decision contains {{"effect": "allow"}} if {{ input.target == "run"; {RUNAWAY["comprehension"]} }}\n'
    )
    async with opened({"a.rego": text}, deadline=0.02, wait=10.0) as engine:
        for _ in range(20):
            await engine.findings(question("run"), describe)
        descriptors, before = me.num_fds(), me.memory_info().rss
        for _ in range(sized(480, 9980)):
            (found,) = await engine.findings(question("run"), describe)
            assert found.failure == "engine_error"
        (fine,) = await engine.findings(question(arguments={"amount": 1}), describe)
        assert fine.effect is Effect.ALLOW
        assert me.num_fds() <= descriptors + 8
        assert me.memory_info().rss - before < 64 * 1024 * 1024
    assert [child for child in me.children() if "policylayer.rego.worker" in " ".join(_command(child))] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.shows("rego.3")
async def test_a_worker_killed_during_evaluation_denies_and_is_replaced() -> None:
    text = (
        RULES + f'decision contains {{"effect": "allow"}} if {{ input.target == "run"; {RUNAWAY["comprehension"]} }}\n'
    )
    async with opened({"a.rego": text}, deadline=20.0) as engine:
        asked = asyncio.ensure_future(engine.findings(question("run"), describe))
        while not (busy := [p for p in _workers() if p.cpu_times().user > 0.2]):
            await asyncio.sleep(0.01)
        busy[0].kill()
        (found,) = await asked
        assert (found.failure, found.reason) == ("engine_error", "the Rego engine died")
        (fine,) = await engine.findings(question(arguments={"amount": 1}), describe)
        assert fine.effect is Effect.ALLOW


def _workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "policylayer.rego.worker" in " ".join(_command(child))]


@pytest.mark.shows("rego.4")
async def test_a_worker_has_no_environment_and_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "CANARY-ENVIRONMENT")
    with open(os.devnull) as _:
        async with opened({"a.rego": RULES}) as engine:
            await engine.findings(question(), describe)
            for worker in _workers():
                assert worker.environ() == {} or "CANARY" not in str(worker.environ())
                assert worker.num_fds() <= 4
                assert worker.net_connections(kind="inet") == []


@pytest.mark.shows("rego.5")
async def test_four_callers_on_two_workers_do_not_block_the_loop() -> None:
    async with opened({"a.rego": RULES}, deadline=2.0) as engine:
        gaps: list[float] = []

        async def watch() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                gaps.append(time.perf_counter() - before)

        watcher = asyncio.ensure_future(watch())
        callers = [engine.findings(question(arguments={"amount": 1}), describe) for _ in range(200)]
        answers = await asyncio.gather(*callers)
        watcher.cancel()
        assert all(found.effect is Effect.ALLOW for (found,) in answers)
        print(f"event loop lag: worst {max(gaps) * 1000:.1f} ms over {len(gaps)} turns")


async def test_functions_of_files_that_are_imported_by_another_name() -> None:
    files = {
        "a.rego": HEAD
        + "# é\nimport data.policylayer.lib as l\n"
        + 'decision contains {"effect": "allow", "rule": "x"} if l.ok(input.target)\n',
        "l.rego": 'package policylayer.lib\nok(t) if t == "pay"\n',
    }
    async with opened(files) as engine:
        (found,) = await engine.findings(question(), describe)
        assert found.effect is Effect.ALLOW


OTHERWISE = [
    ('[p, v] := walk(input.args); v == "x"', "PL305"),
    ('"a", 1 in {"a": 1}', "PL305"),
    ('strings.count(input.target, "a") > 1', "PL305"),
    ("not {1}", "PL308"),
]


@pytest.mark.shows("rego.1", "rego.6")
@pytest.mark.parametrize(("condition", "code"), OTHERWISE)
async def test_what_the_engine_answers_otherwise_than_opa_is_refused(condition: str, code: str) -> None:
    text = HEAD + f'decision contains {{"effect": "deny"}} if {{ {condition} }}\n'
    assert [(line, found) for _, line, _, found in await refused({"a.rego": text})] == [(2, code)]


async def test_what_looks_like_it_is_not() -> None:
    rules = 'some k, v in input.args; k == "a"; v == 1; walk(input.args, [p, w]); w == 1; p[0] == "a"; not 1 in {2}'
    text = HEAD + f'decision contains {{"effect": "deny", "rule": "x"}} if {{ {rules} }}\n'
    async with opened({"a.rego": text}) as engine:
        (found,) = await engine.findings(question(arguments={"a": 1}), describe)
        assert found.effect is Effect.DENY
