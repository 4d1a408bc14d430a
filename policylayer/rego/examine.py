"""A loaded folder held against its tests, Rego included: what `check`, `test` and activation all do.

Opens the embedded engine where there are Rego files, checks them, runs the tests of YAML files with its findings and
those of `*_test.rego`. Must not know who asks, nor keep an engine open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy import ast, testing
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote
from policylayer.policy.diagnostics import error as error_at
from policylayer.policy.load import Loaded
from policylayer.policy.policy_set import PolicySet
from policylayer.rego.asking import with_findings
from policylayer.rego.codes import RegoCode
from policylayer.rego.embedded import Embedded
from policylayer.rego.pool import EngineFailure, PoolSettings

PATIENT: Final = PoolSettings(workers=1, deadline=2.0)
"""Nobody waits for a test; a loaded machine should not fail one."""


@immutable
class Examined:
    """What came of it: what is wrong with the Rego files, and how each test went."""

    problems: tuple[Diagnostic, ...] = ()
    results: tuple[testing.TestResult, ...] = ()

    @property
    def failed(self) -> tuple[testing.TestResult, ...]:
        """The tests that did not pass."""
        return tuple(result for result in self.results if not result.passed)


def examined(loaded: Loaded, files: Mapping[str, bytes], only: str = "", tests: bool = True) -> Examined:
    """Check and test a loaded folder. `only`: tests whose name holds this text. Not to be called in an event loop."""
    if loaded.policy_set is None:
        return Examined()
    chosen = [each for each in loaded.tests if only.lower() in each.name.lower()] if tests else []
    if not loaded.rego:
        return Examined((), tuple(testing.run(loaded.policy_set, chosen)))
    return asyncio.run(_with_rego(loaded, loaded.policy_set, files, chosen, only if tests else None))


async def _with_rego(
    loaded: Loaded,
    policy_set: PolicySet,
    files: Mapping[str, bytes],
    chosen: list[ast.TestCase],
    only: str | None,
) -> Examined:
    engine, problems = await open_rego(policy_set, loaded.rego, files, PATIENT)
    if engine is None:
        return Examined(tuple(problems))
    try:
        ask = partial(engine.findings, describe=policy_set.describe)
        asked = [await with_findings(testing.question(each), ask) for each in chosen]
        results = [testing.run_one(policy_set, *pair) for pair in zip(chosen, asked, strict=True)]
        if only is not None:
            results += [each for each in await _rego_tests(engine) if only.lower() in each.name.lower()]
    finally:
        await engine.close()
    return Examined((), tuple(results))


async def open_rego(
    policy_set: PolicySet,
    rego: Mapping[str, tuple[ast.AppliesTo, ...]],
    files: Mapping[str, bytes],
    settings: PoolSettings,
) -> tuple[Embedded | None, list[Diagnostic]]:
    """The engine of a set's Rego files, or what is wrong with them."""
    return await Embedded.open({path: files[path] for path in rego}, rego, policy_set.covers, settings)


async def _rego_tests(engine: Embedded) -> list[testing.TestResult]:
    try:
        runs = await engine.test()
    except EngineFailure as failure:
        return [testing.TestResult("rego tests", ast.Span(".", 1, 1), False, f"the engine {failure}")]
    return [
        testing.TestResult(run.name, ast.Span(run.file, run.line, 1), run.problem is None, run.problem or "")
        for run in runs
    ]


def as_problem(result: testing.TestResult) -> Diagnostic:
    """A failed test as a diagnostic."""
    code = RegoCode.TEST_FAILED if result.span.file.endswith(".rego") else Code.TEST_FAILED
    return error_at(code, result.span, f"the test {quote(result.name)} failed: {result.message}")
