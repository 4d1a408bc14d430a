"""The Rego files of one policy set, evaluated in this proxy's own workers.

Files under the same `scope.yaml`s form a unit: one engine, one set of modules; a unit is asked only about calls that
its scopes cover: one team's Rego cannot touch another's principals or servers. Opening a set parses and checks it; the
answers are findings. Must not know how they are combined (`policy/decide.py`), nor HTTP (`server.py`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Final

import orjson

from policylayer.core.call import Question
from policylayer.core.decision import RuleRef
from policylayer.core.finding import Finding
from policylayer.core.immutable import immutable
from policylayer.policy.ast import AppliesTo, Path, Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error
from policylayer.policy.foreign import compile_scope
from policylayer.policy.recorded import WHOLE
from policylayer.policy.rules import Scope
from policylayer.policy.values import UNKNOWN_ROOTS
from policylayer.rego import selftest
from policylayer.rego.codes import RegoCode
from policylayer.rego.document import Describe, document
from policylayer.rego.pool import EngineFailure, NotStarted, Pool, PoolSettings
from policylayer.rego.results import engine_failed, findings, unreadable
from policylayer.rego.scopes import Covers, covered

EXTRA: Final = "pip install 'policylayer[rego]'"
AT_ONCE: Final = 64
SERVERS: Final = 256
"""Of how many servers it is kept ready what is read of their calls."""


@immutable
class Unit:
    """The files of one scope, where their rules stand, and what they read of the input document."""

    files: tuple[tuple[str, str], ...]
    scopes: tuple[Scope, ...]
    lines: Mapping[str, tuple[str, int]]
    reads: frozenset[Path] = frozenset()

    def locate(self, rule: str | None) -> RuleRef:
        """Where a named rule stands; the `decision` rule where the name is not written out in the policy."""
        file, line = self.lines.get(rule or "") or self.lines.get("") or (self.files[0][0], 1)
        return RuleRef("rego", rule or "decision", file, line)


@immutable
class TestRun:
    """One rule `test_*` of a `*_test.rego` file; `problem` is None where it passed."""

    file: str
    name: str
    line: int
    problem: str | None
    prints: tuple[str, ...] = ()


class Embedded:
    """An opened set of Rego units."""

    def __init__(self, units: Sequence[Unit], pool: Pool, covers: Covers) -> None:
        self.units = tuple(units)
        self._pool = pool
        self._covers = covers
        self.argument_paths = lru_cache(maxsize=SERVERS)(self._argument_paths)
        """What units read of the arguments and responses of calls to a server, whoever calls."""

    @classmethod
    async def open(
        cls,
        files: Mapping[str, bytes],
        scopes: Mapping[str, tuple[AppliesTo, ...]],
        covers: Covers,
        settings: PoolSettings,
    ) -> tuple[Embedded | None, list[Diagnostic]]:
        """Parse and check the `*.rego` of a policy folder. `scopes` maps each file to the scope.yamls above it."""
        if importlib.util.find_spec("regorus") is None:
            return None, [_missing(file) for file in sorted(files)]
        grouped, problems = _group(files, scopes)
        if problems:
            return None, problems
        pool = Pool([*(list(texts) for _, texts in grouped), [(selftest.FILE, selftest.TEXT)]], settings)
        try:
            told = await pool.start()
            if not told["problems"]:
                await _trusted(pool, len(grouped))
                return cls(_units(grouped, told), pool, covers), []
        except EngineFailure as failure:
            await pool.close()
            return None, [_crash(file, failure) for file in sorted(files)]
        except BaseException:  # Cancelled, or a mistake of ours: no worker outlives it.
            await pool.close()
            raise
        await pool.close()
        return None, [
            error(RegoCode[slug.upper()], Span(file, line, column), message, help)
            for file, line, column, slug, message, help in told["problems"]
        ]

    async def findings(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        """What the units that cover this question say of it."""
        asked = self._asked(question)
        text = orjson.dumps(document(question, describe)).decode()
        return (await self._ask(question, asked, [text]))[0] if asked else ()

    def reads(self, question: Question) -> frozenset[Path] | None:
        """What the units that cover this question read of it, as paths of conditions; None: none covers it."""
        asked = self._asked(question)
        return frozenset().union(*(self.units[i].reads for i in asked)) if asked else None

    async def findings_of(self, questions: Sequence[Question], describe: Describe) -> list[tuple[Finding, ...]]:
        """The findings of many questions, by any caller of any server; one that fails alone fails no other."""
        made: list[tuple[Finding, ...]] = [()] * len(questions)
        alike: dict[tuple[int, ...], list[int]] = {}
        for number, question in enumerate(questions):
            alike.setdefault(tuple(self._asked(question)), []).append(number)
        for asked, numbers in alike.items():
            for start in range(0, len(numbers) if asked else 0, AT_ONCE):
                part = numbers[start : start + AT_ONCE]
                answers = await self._many([questions[i] for i in part], list(asked), describe)
                for number, found in zip(part, answers, strict=True):
                    made[number] = found
        return made

    async def _many(
        self, questions: Sequence[Question], asked: list[int], describe: Describe
    ) -> list[tuple[Finding, ...]]:
        """Of questions that the same units cover; where the engine gives up on all, each is asked alone."""
        texts = [orjson.dumps(document(each, describe)).decode() for each in questions]
        answers = await self._raw(asked, texts)
        if isinstance(answers, EngineFailure):
            return [await self.findings(each, describe) for each in questions]
        return [self._found(each, asked, answer) for each, answer in zip(questions, answers, strict=True)]

    async def listed(self, questions: Sequence[Question], describe: Describe) -> list[tuple[Finding, ...]]:
        """The findings for list entries, without arguments. All questions are of one caller and one server."""
        asked = self._asked(questions[0]) if questions else []
        if not asked:
            return [()] * len(questions)
        made: list[tuple[Finding, ...]] = []
        for start in range(0, len(questions), AT_ONCE):
            part = questions[start : start + AT_ONCE]
            texts = [orjson.dumps(document(each, describe, "list")).decode() for each in part]
            made.extend(await self._ask(questions[0], asked, texts))
        return made

    async def explain(self, question: Question, describe: Describe) -> list[dict[str, Any]]:
        """Coverage and printed lines of each unit asked, for `explain`."""
        text = orjson.dumps(document(question, describe)).decode()
        answer: list[dict[str, Any]] = await self._pool.ask(
            {"op": "explain", "units": self._asked(question), "inputs": [text]}, self._pool.settings.load_deadline
        )
        return answer

    async def test(self) -> list[TestRun]:
        """Run every `test_*` rule. Raises EngineFailure."""
        answer = await self._pool.ask({"op": "tests"}, self._pool.settings.load_deadline)
        return [
            TestRun(file, name, line, _test_problem(result), tuple(prints))
            for unit in answer
            for file, name, line, result, prints in unit
        ]

    async def close(self) -> None:
        """End the workers."""
        await self._pool.close()

    def _argument_paths(self, server: str) -> frozenset[Path]:
        units = (unit for unit in self.units if all(scope.servers.match(server) for scope in unit.scopes))
        paths = {path for unit in units for path in unit.reads}
        return frozenset(WHOLE if () in paths else (path for path in paths if path[0] in UNKNOWN_ROOTS))

    def _asked(self, question: Question) -> list[int]:
        return [i for i, unit in enumerate(self.units) if self._covers(unit.scopes, question, None)]

    async def _ask(self, question: Question, asked: list[int], texts: list[str]) -> list[tuple[Finding, ...]]:
        answers = await self._raw(asked, texts)
        if isinstance(answers, EngineFailure):
            return [tuple(engine_failed(str(answers), self.units[i].locate) for i in asked)] * len(texts)
        return [self._found(question, asked, answer) for answer in answers]

    async def _raw(self, asked: list[int], texts: list[str]) -> list[list[dict[str, Any]]] | EngineFailure:
        """What these units say of each document."""
        try:
            answers: list[list[dict[str, Any]]] = await self._pool.ask(
                {"op": "eval", "units": asked, "inputs": texts}, self._pool.settings.deadline * len(texts)
            )
        except EngineFailure as failure:
            return failure
        return answers

    def _found(self, question: Question, asked: list[int], answer: list[dict[str, Any]]) -> tuple[Finding, ...]:
        return tuple(
            found
            for i, result in zip(asked, answer, strict=True)
            for found in self._read(self.units[i], result)
            if covered(found, self.units[i].scopes, question, self._covers)
        )

    def _read(self, unit: Unit, result: dict[str, Any]) -> tuple[Finding, ...]:
        if "error" in result:
            return (unreadable(f"failed: {result['error']}", unit.locate),)
        return findings(result["value"], unit.locate) if "value" in result else ()


_Grouped = list[tuple[tuple[AppliesTo, ...], tuple[tuple[str, str], ...]]]


def _units(grouped: _Grouped, told: Mapping[str, Any]) -> list[Unit]:
    """What the engine told of each unit; the self-test's, the last, is left out."""
    return [
        Unit(
            texts,
            tuple(map(compile_scope, scope)),
            {name: (place[0], place[1]) for name, place in lines.items()},
            frozenset(map(tuple, reads)),
        )
        for (scope, texts), lines, reads in zip(grouped, told["lines"], told["reads"], strict=False)
    ]


def _group(
    files: Mapping[str, bytes], scopes: Mapping[str, tuple[AppliesTo, ...]]
) -> tuple[_Grouped, list[Diagnostic]]:
    """Files by scope, in order of their paths; undecodable ones are problems."""
    grouped: dict[tuple[AppliesTo, ...], list[tuple[str, str]]] = {}
    problems: list[Diagnostic] = []
    for file in sorted(files, key=PurePosixPath):
        try:
            grouped.setdefault(scopes.get(file, ()), []).append((file, files[file].decode("utf-8", "strict")))
        except UnicodeDecodeError:
            problems.append(error(Code.ENCODING, Span(file, 1, 1), "the file is not UTF-8", "save it as UTF-8"))
    return [(scope, tuple(texts)) for scope, texts in grouped.items()], problems


async def _trusted(pool: Pool, unit: int) -> None:
    """Raise EngineFailure unless the engine answers the self-test as it must."""
    asked = {"op": "eval", "units": [unit], "inputs": ["{}"]}
    ((answer,),) = await pool.ask(asked, pool.settings.load_deadline)
    if answer.get("value") != selftest.ANSWERS:
        raise EngineFailure("does not answer its self-test as it must")


def _missing(file: str) -> Diagnostic:
    text = "Rego policies need the embedded engine, which is not installed"
    return error(RegoCode.ENGINE, Span(file, 1, 1), text, EXTRA)


def _crash(file: str, why: EngineFailure) -> Diagnostic:
    help = "is a file nested or repeated beyond reason?"
    if isinstance(why, NotStarted):
        help = "the machine is short of processes, memory or descriptors; the file may be in order"
    return error(RegoCode.ENGINE, Span(file, 1, 1), f"the embedded engine {why} while reading this set", help)


def _test_problem(result: dict[str, Any]) -> str | None:
    if "error" in result:
        return str(result["error"])
    if "value" not in result:
        return "is undefined: a condition in it did not hold"
    return None if result["value"] is True else "is not true"
