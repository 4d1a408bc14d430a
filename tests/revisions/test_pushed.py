"""A keeper with an OPA server that is given the folder's Rego: by what is decided after each outcome of a push."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from policylayer.core.call import Question
from policylayer.core.decision import Effect, RuleRef
from policylayer.core.finding import Finding
from policylayer.rego.document import Describe
from policylayer.revisions.judge import Judge
from tests.rego.test_embedded import question
from tests.revisions.made import ALLOW, write
from tests.revisions.test_keeper import kept

pytest.importorskip("regorus", reason="the extra `rego` is not installed")
pytestmark = pytest.mark.anyio

REGO = "package policylayer\n\ndecision := {}\n"
SCOPE = 'applies_to: {principals: ["agent:one"], servers: ["*"]}\n'


class Revision:
    """One revision on the server: denies in its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def findings(self, asked: Question, describe: Describe) -> tuple[Finding, ...]:
        """As said."""
        return (Finding(RuleRef("rego", self.name, "a.rego", 1), Effect.DENY, self.name),)

    listed_one = findings


class Server(Revision):
    """Takes what it is given, or says why not."""

    pushes = True

    def __init__(self) -> None:
        super().__init__("server")
        self.refusal: str | None = None
        self.given: list[Mapping[str, bytes]] = []

    async def push(self, files: Mapping[str, bytes], revision: str) -> Any:
        """As said."""
        self.given.append(files)
        return self.refusal or Revision(revision)


async def denied_by(revisions: Any) -> str:
    """The name of the rule that denies a search."""
    decision = await revisions.at_work.decide(question("search"))
    return str(decision.rules[0].name)


async def test_decisions_are_by_the_revision_that_was_pushed_and_by_the_one_before_where_that_was_refused(
    tmp_path: Path,
) -> None:
    server = Server()
    write(tmp_path, {"shop.yaml": ALLOW, "a.rego": REGO, "a_test.rego": "package policylayer\ntest_a if true\n"})
    async with kept(tmp_path, server=server, judge=Judge) as revisions:
        first = revisions.current.revision
        assert await denied_by(revisions) == f"rego/{first}"
        assert [sorted(files) for files in server.given] == [["a.rego"]]
        server.refusal = "it refused a.rego"
        write(tmp_path, {"a.rego": REGO + "x := 1\n"})
        refused = await revisions.reload()
        assert refused is not None
        assert "it refused a.rego" in refused.diagnostics[0].message
        assert await denied_by(revisions) == f"rego/{first}"
        server.refusal = None
        assert await revisions.reload() is None
        assert await denied_by(revisions) == f"rego/{revisions.current.revision}" != f"rego/{first}"


async def test_rego_that_a_scope_bounds_is_not_pushed_to_where_it_would_not_be(tmp_path: Path) -> None:
    server = Server()
    write(tmp_path, {"shop.yaml": ALLOW, "a.rego": REGO})
    async with kept(tmp_path, server=server, judge=Judge) as revisions:
        write(tmp_path, {"team/scope.yaml": SCOPE, "team/b.rego": REGO.replace("decision", "b")})
        refused = await revisions.reload()
        assert refused is not None
        assert "`team/b.rego` is bounded by a `scope.yaml`" in refused.diagnostics[0].message
        assert len(server.given) == 1
