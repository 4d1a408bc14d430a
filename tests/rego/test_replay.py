"""Rows through a set with Rego: as the running proxy would decide each; and nothing that the engine cannot know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("regorus", reason="`regorus` is not installed")

from policylayer.core.call import Question, ServerFacts, Subject, Unwrap
from policylayer.core.decision import Effect
from policylayer.core.errors import PolicyError
from policylayer.core.redact import Mode
from policylayer.policy.load import Loaded, load
from policylayer.policy.recorded import Kept
from policylayer.policy.replay import Answer
from policylayer.policy.tally import Tally
from policylayer.rego.examine import PATIENT, open_rego
from policylayer.revisions.active import Active
from policylayer.revisions.replaying import Replaying, take
from tests.policy.made import ALLOW, DENY, HOLD, NOON, question
from tests.support.kept import kept_of, row_of

pytestmark = pytest.mark.anyio
FACTS = {"s": ServerFacts("s")}.get
FILES = {
    "p.yaml": b"""
policy: p
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: notes, tools: [write, read, hint, late], effect: allow}
  - {id: never, tools: [delete], effect: deny}
""",
    "a.rego": b"""package policylayer
decision contains {"effect": "deny", "rule": "big"} if input.args.amount > 10
decision contains {"effect": "require_approval", "rule": "ask"} if input.session.labels[_] == "untrusted"
decision contains {"effect": "allow", "rule": "team"} if {
	input.target == "team"
	"group:team" in input.principal.groups
}
""",
    "odd/scope.yaml": b'applies_to: {principals: ["agent:odd"], servers: ["*"]}\n',
    "odd/b.rego": b"""package policylayer
decision contains {"effect": "deny", "rule": "late"} if startswith(input.time, "2026-11-23T12")
decision contains {"effect": "deny", "rule": "hint"} if input.annotations.destructiveHint
""",
    "principals.yaml": b"principals: {agent:odd: {}, agent:a: {}}\n"
    b'groups: {team: [{member: "agent:a", until: "2026-12-01T00:00:00Z"}]}\n',
}
"""The last file is asked about one agent only."""


@pytest.fixture
def made() -> Loaded:
    found = load(FILES)
    assert found.policy_set is not None, found.diagnostics
    return found


@pytest.fixture
async def asked(made: Loaded) -> AsyncIterator[Replaying]:
    opened = await Replaying.open(made, FILES)
    yield opened
    await opened.close()


@pytest.fixture
async def active(made: Loaded) -> AsyncIterator[Active]:
    assert made.policy_set is not None
    engine, problems = await open_rego(made.policy_set, made.rego, FILES, PATIENT)
    assert not problems
    running = Active(made.policy_set, engine)
    yield running
    await running.close()


async def row(active: Active, said: Question, mode: Mode = "redacted") -> Kept:
    reads = active.reads("s", "tools/call", said.call.target)
    return kept_of(row_of(said, await active.decide(said), mode=mode, reads=reads))


async def answer(asked: Replaying, kept: Kept) -> Effect | tuple[str, ...]:
    (ready,) = await asked.ready([kept], FACTS)
    found = asked.replay.ask(ready)
    if isinstance(found, Answer):
        return found.effect or found.fields
    return found


QUESTIONS = [
    question(tool, arguments, **more)
    for tool in ("write", "team", "delete", "nothing")
    for arguments in ({}, {"amount": 5}, {"amount": 50}, {"amount": "x"}, {"amount": 5, "password": "y"})
    for more in ({}, {"labels": frozenset({"untrusted"})}, {"approved": frozenset({"rego/ask"})})
]


async def test_rows_are_decided_as_the_proxy_does(active: Active, asked: Replaying) -> None:
    kept = [await row(active, each) for each in QUESTIONS]
    tally = Tally()
    await take(tally, kept, FACTS, asked)
    assert (tally.same, tally.rows, tally.changed) == (len(QUESTIONS), len(QUESTIONS), 0)
    found = {await answer(asked, each) for each in kept}
    assert found == {ALLOW, DENY, HOLD}


@pytest.mark.parametrize(
    ("said", "mode", "told"),
    [
        (question("write", {"amount": 5}), "digest", ("rego",)),
        (question("write", {"amount": 5, "card": "x"}), "read", ALLOW),  # what Rego reads is kept
        (question("write", {"amount": 50}), "read", DENY),
        (question("write", {}), "read", ALLOW),  # and where it is not there, there was none
        (question("write", {"amount": {"password": "x"}}), "read", ("rego",)),  # secrets are masked all the same
        (question("delete", {"amount": 5}), "digest", DENY),  # a file denies it, whatever Rego says
        (question("write", {"card": {"password": "x"}}), "redacted", ALLOW),  # Rego does not look there
        (question("late", subject=Subject("agent:odd")), "redacted", ("rego",)),  # the moment is known only about
        (question("late", subject=Subject("agent:a")), "redacted", ALLOW),  # those files are not about this agent
    ],
)
async def test_what_rego_reads_must_be_in_the_row(
    active: Active, asked: Replaying, said: Question, mode: Mode, told: Any
) -> None:
    assert await answer(asked, await row(active, said, mode)) == told


async def test_groups_are_those_of_the_rows_time(active: Active, asked: Replaying) -> None:
    later = NOON.replace(month=12)
    assert await answer(asked, await row(active, question("team"))) is ALLOW
    assert await answer(asked, await row(active, question("team", now=later))) is DENY


async def test_a_row_whose_evaluation_fails_is_not_told_and_spoils_no_other(
    active: Active, asked: Replaying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives up on one of three; the others are asked alone."""
    kept = [await row(active, question("write", {"amount": amount})) for amount in (5, 50, 6)]
    engine = asked._engine
    assert engine is not None
    raw = engine._raw

    async def failing(units: list[int], texts: list[str]) -> Any:
        if any('"amount":50' in text for text in texts):
            from policylayer.rego.pool import EngineFailure

            return EngineFailure("timed out")
        return await raw(units, texts)

    monkeypatch.setattr(engine, "_raw", failing)
    tally = Tally()
    await take(tally, kept, FACTS, asked)
    assert (tally.same, tally.undecidable, list(tally.undecided)) == (2, 1, [("rego",)])


async def test_many_at_once_are_answered_in_their_order(active: Active, asked: Replaying) -> None:
    amounts = [n * 7 % 20 for n in range(200)]
    kept = [await row(active, question("write", {"amount": amount})) for amount in amounts]
    ready = await asked.ready(kept, FACTS)
    told = [asked.replay.answer(each).effect for each in ready]
    assert told == [DENY if amount > 10 else ALLOW for amount in amounts]


HUB = ServerFacts("s", unwrap=(Unwrap("call", ("args", "tool"), ("args", "with")),))


@pytest.mark.parametrize(
    ("amount", "mode", "told"),
    [(5, "full", ALLOW), (50, "full", DENY), (5, "digest", ("args.tool", "args.with", "rego"))],
)
async def test_calls_inside_a_call_are_asked_about(amount: int, mode: Mode, told: Any) -> None:
    files = {**FILES, "p.yaml": FILES["p.yaml"].replace(b"[write, read", b"[call, write, read")}
    opened = await Replaying.open(load(files), files)
    active = Active(opened.replay.policy_set, opened._engine)
    said = question("call", {"tool": "write", "with": {"amount": amount}}, server=HUB)
    kept = kept_of(row_of(said, await active.decide(said), mode=mode))
    (ready,) = await opened.ready([kept], lambda _: HUB)
    answer = opened.replay.answer(ready)
    assert (answer.effect or answer.fields) == told
    await opened.close()


async def test_an_engine_elsewhere_may_say_anything(made: Loaded) -> None:
    plain = load({name: text for name, text in FILES.items() if not name.endswith((".rego", "scope.yaml"))})
    asked = await Replaying.open(plain, {}, elsewhere=True)
    assert plain.policy_set is not None
    said = question("write")
    kept = kept_of(row_of(said, plain.policy_set.decide(said)))
    assert not asked.is_plain
    assert await answer(asked, kept) == ("rego",)
    shut = kept_of(row_of(question("delete"), plain.policy_set.decide(question("delete"))))
    assert await answer(asked, shut) is DENY


async def test_files_that_the_engine_refuses_are_said() -> None:
    files = {**FILES, "a.rego": b"package policylayer\ndecision contains {} if http.send({})\n"}
    with pytest.raises(PolicyError, match=r"http\.send"):
        await Replaying.open(load(files), files)


async def test_what_was_not_read_then_is_not_known(active: Active, made: Loaded) -> None:
    """The record kept what rules read then; other files read more."""
    files = {**FILES, "a.rego": FILES["a.rego"].replace(b"amount > 10", b"total > 10")}
    other = await Replaying.open(load(files), files)
    for arguments in ({"amount": 5, "total": 50}, {"amount": 5}):
        assert await answer(other, await row(active, question("write", arguments), "read")) == ("rego",)
    assert await answer(other, await row(active, question("write", {"total": 50}), "full")) is DENY
    await other.close()
