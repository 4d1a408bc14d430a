"""Each code's example, as the reference prints it, raises that code where it stands; what to write instead does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from policylayer.core.call import Json
from policylayer.policy.codes import Code
from policylayer.policy.codes_about import CODES
from policylayer.policy.diagnostics import Diagnostic, render
from policylayer.policy.known import Known
from policylayer.policy.load import load
from policylayer.revisions.folder import Folder
from policylayer.revisions.judging import Case, judge

pytestmark = pytest.mark.shows("policy.7")

HEAD: Final = 'policy: p\napplies_to: {principals: ["*"], servers: ["*"]}\n'
PEOPLE: Final = """\
attributes: {tenant: string}
principals: {agent:bot: {tenant: acme}, user:x: {}, user:alice: {}, user:bob: {}, agent:claude: {}}
groups: {finance: [user:x], ops: [user:x], visitors: [{member: user:x, until: "2030-01-01T00:00:00Z"}]}
"""
KNOWN: Final = Known(servers=frozenset({"shop", "stripe"}), methods=frozenset({"tools/call", "sampling/createMessage"}))
TEXT: Final[dict[str, Json]] = {"type": "string"}
LABELS: Final[dict[str, Json]] = {"type": "array", "items": TEXT}
REFUND: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "currency": {"enum": ["usd", "eur"]},
        "labels": LABELS,
        "note": TEXT,
    },
    "required": ["amount"],
    "additionalProperties": False,
}
MAIL: Final[dict[str, Json]] = {"type": "object", "properties": {"to": {"anyOf": [TEXT, LABELS]}}, "required": ["to"]}
READ: Final[dict[str, Json]] = {"type": "object", "properties": {"path": TEXT}, "required": ["path"]}
LISTED: Final = Known(
    servers=frozenset({"shop"}),
    tools={"shop": {"create_refund": REFUND, "delete_order": REFUND, "send": MAIL, "read": READ, "export_all": READ}},
)
"""What is known to the examples of rules that are held against tools."""

Files = Mapping[str, bytes]


class Frame(NamedTuple):
    """Where an example stands: a file, in which `@` is the example (indented alike), and files beside it.

    `drop` are words of the frame that the example replaces. `fixes`: what to write instead stands in the same place.
    """

    text: str
    name: str = "p.yaml"
    fixes: bool = True
    beside: Mapping[str, str] = {}

    def files(self, example: str) -> dict[str, bytes]:
        """The folder."""
        line = next(line for line in self.text.split("\n") if "@" in line)
        indent = " " * line.index("@")
        shown = example.replace("\n", f"\n{indent}")
        text = self.text.replace("@", shown, 1)
        others = {"principals.yaml": PEOPLE, **self.beside}
        return {**{name: body.encode() for name, body in others.items()}, self.name: text.encode()}


def whole(**more: object) -> Frame:
    return Frame("@\n", **more)  # type: ignore[arg-type]


def rule(without: str = "", name: str = "p.yaml", **more: object) -> Frame:
    """A line of a rule; the rule's own line of that key is left out."""
    lines = {"id": "id: r", "tools": "tools: [t]", "effect": "effect: allow"}
    kept = [line for key, line in lines.items() if key != without]
    return Frame(HEAD + "rules:\n  - " + "\n    ".join([*kept, "@"]) + "\n", name, **more)  # type: ignore[arg-type]


def rules(**more: object) -> Frame:
    """A whole rule."""
    return Frame(HEAD + "rules:\n  - @\n", **more)  # type: ignore[arg-type]


def partly(**more: object) -> Frame:
    """A rule in braces without its name and target."""
    return Frame(HEAD + "rules:\n  - @\n", **more)  # type: ignore[arg-type]


def when() -> Frame:
    return Frame(HEAD + "rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      @\n")


def of_tool(tool: str, effect: str = "allow") -> Frame:
    """Conditions of a rule about one listed tool."""
    return Frame(HEAD + f"rules:\n  - id: r\n    tools: [{tool}]\n    effect: {effect}\n    when:\n      @\n")


def matchers(key: str = "args.x") -> Frame:
    return Frame(HEAD + f"rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      {key}: @\n")


def matcher(key: str = "args.x") -> Frame:
    return Frame(HEAD + f"rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      {key}:\n        @\n")


def approval(block: bool = False) -> Frame:
    start = HEAD + "rules:\n  - id: r\n    tools: [t]\n    effect: require_approval\n    approval:"
    return Frame(start + ("\n      @\n" if block else " @\n"))


def during(rest: str) -> Frame:
    start = HEAD + "rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      time:\n        during:\n"
    return Frame(f"{start}          {rest}\n          @\n")


NAMED: Final = "policy: payments\napplies_to: {principals: ['*'], servers: ['*']}\n"
TEST: Final = "tests:\n  - name: x\n    principal: agent:bot\n    call: {server: shop, tool: search}\n"

FRAMES: Final[Mapping[str, Frame]] = {
    "PL101": rule("tools"),
    "PL103": rule("effect"),
    "PL104": rule("effect"),
    "PL105": rule("tools"),
    "PL106": rule(),
    "PL107": whole(fixes=False),
    "PL108": when(),
    "PL109": rule("tools"),
    "PL110": rule(),
    "PL111": Frame(HEAD + "rules:\n  - id: r\n    tools: [t]\n@\n", fixes=False),
    "PL113": whole(fixes=False),
    "PL115": when(),
    "PL116": Frame("attributes: {tenant: string}\nprincipals:\n  agent:bot:\n    @\n", "principals.yaml", fixes=False),
    "PL120": rule("tools"),
    "PL121": whole(),
    "PL122": rule("tools", fixes=False),
    "PL123": rule("effect"),
    "PL124": rule("id"),
    "PL125": approval(block=True),
    "PL126": Frame(HEAD + "rules:\n  - id: r\n    tools: [t]\n    effect: allow\n    when:\n      time:\n        @\n"),
    "PL127": approval(block=True),
    "PL128": Frame(
        "tests:\n  - name: x\n    principal: agent:bot\n    @\n    expect: {effect: deny}\n",
        "p_test.yaml",
        beside={"p.yaml": HEAD + "rules: []\n"},
    ),
    "PL133": Frame(
        "@\napplies_to: {principals: ['*'], servers: ['*']}\nrules: []\n", beside={"q.yaml": NAMED + "rules: []\n"}
    ),
    "PL134": rule(fixes=False),
    "PL136": Frame(
        HEAD + "rules:\n  - {id: read, tools: [t], effect: allow}\n  - @\n    tools: [u]\n    effect: allow\n"
    ),
    "PL140": rule(),
    "PL141": rule(),
    "PL142": Frame("groups:\n  @\n", "principals.yaml", beside={"p.yaml": HEAD + "rules: []\n"}),
    "PL143": when(),
    "PL144": Frame(
        "attributes: {tenant: string}\nprincipals:\n  @\n", "principals.yaml", beside={"p.yaml": HEAD + "rules: []\n"}
    ),
    "PL145": Frame("@\n", "principals.yaml", beside={"p.yaml": HEAD + "rules: []\n"}),
    "PL146": Frame(
        TEST + "    expect:\n      effect: allow\n      @\n",
        "p_test.yaml",
        beside={"p.yaml": NAMED + "rules:\n  - {id: read, tools: [search], effect: allow}\n"},
    ),
    "PL147": Frame(HEAD + "limits: {spend: 20/day}\nrules:\n  - id: r\n    tools: [t]\n    @\n"),
    "PL148": rule(),
    "PL149": rule("tools"),
    "PL150": rules(),
    "PL151": rules(),
    "PL152": rules(),
    "PL153": rules(),
    "PL154": partly(fixes=False),
    "PL155": partly(),
    "PL156": rule(),
    "PL157": approval(),
    "PL158": Frame(HEAD + "rules:\n  @\n"),
    "PL159": Frame(HEAD + "rules:\n  - id: r\n    tools: [t]\n    effect: deny\n    when:\n      args.x:\n        @\n"),
    "PL160": when(),
    "PL161": when(),
    "PL162": matchers(),
    "PL163": when(),
    "PL164": matchers(),
    "PL165": when(),
    "PL166": matchers(),
    "PL167": when(),
    "PL168": during("zone: UTC"),
    "PL169": matchers(),
    "PL170": rule("tools"),
    "PL171": matchers(),
    "PL172": matchers(),
    "PL173": matcher(),
    "PL174": matcher("request.ip"),
    "PL175": matcher(),
    "PL176": during('between: ["09:00", "17:00"]'),
    "PL177": rule("tools"),
    "PL180": rule(),
    "PL181": Frame(HEAD + "rules:\n  - {id: r, tools: [t], limits: [@]}\n", fixes=False),
    "PL182": Frame(HEAD + "rules:\n  - {id: other, tools: [a], effect: allow}\n  - @\n"),
    "PL401": rule("tools"),
    "PL402": rule("tools"),
    "PL404": of_tool("create_refund"),
    "PL405": rules(),
    "PL406": of_tool("create_refund"),
    "PL407": of_tool("create_refund"),
    "PL408": of_tool("create_refund"),
    "PL409": of_tool("create_refund"),
    "PL410": of_tool("send", "deny"),
}
"""Where each example stands."""

NAME: Final = "id: r, tools: [t], "
SAID: Final[Mapping[str, Files]] = {
    "PL102": {"p.yaml": b"\xef\xbb\xbf" + (HEAD + "rules: []\n").encode()},
    "PL112": {"p.yaml": b"[" * 100 + b"]" * 100},
    "PL114": {"p.yaml": (HEAD + 'rules: []\ndescription: "a\0b"\n').encode()},
    "PL117": {"p.yaml": (HEAD + "rules: []  # \u202e\n").encode()},
    "PL130": {"payments.yml": (HEAD + "rules: []\n").encode(), "p.yaml": (HEAD + "rules: []\n").encode()},
    "PL131": {"team/principals.yaml": PEOPLE.encode(), "p.yaml": (HEAD + "rules: []\n").encode()},
    "PL132": {},
    "PL403": {"p.yaml": (HEAD + "rules: [{id: r, tools: [read, send], effect: allow}]\n").encode()},
}
"""What examples only say: files that hold it."""

ELSEWHERE: Final = {"PL135", "PL190", "PL191", "PL192", "PL411", "PL412", "PL413"}
"""Codes of folders, repositories, processes and recorded tools: the first two are shown below, the others in
tests/revisions, tests/policy/test_tool_lists.py and tests/cli/test_check_tools.py."""


def found_in(code: str, files: Files) -> tuple[Diagnostic, ...]:
    return load(files, LISTED if code.startswith("PL4") else KNOWN).diagnostics


def completed(code: str, text: str) -> str:
    """An example that is a rule without its name gets one; several rules become a list."""
    if code == "PL158":
        return "\n".join(f"- {line}" for line in text.split("\n"))
    if code == "PL405":
        return text.replace("{tools", "{id: r, tools", 1)
    return text.replace("{effect", "{" + NAME + "effect", 1) if code in ("PL154", "PL155") else text


def test_every_code_has_its_place() -> None:
    assert {str(code) for code in Code} == {*FRAMES, *SAID, *ELSEWHERE}


@pytest.mark.parametrize("code", FRAMES)
def test_the_example_raises_its_code(code: str) -> None:
    about = CODES[Code(code)]
    frame = FRAMES[code]
    found = found_in(code, frame.files(completed(code, about.example)))
    assert code in {str(finding.code) for finding in found}, found


@pytest.mark.parametrize("code", [code for code, frame in FRAMES.items() if frame.fixes])
def test_what_to_write_instead_is_right(code: str) -> None:
    files = FRAMES[code].files(completed(code, CODES[Code(code)].fix))
    found = found_in(code, files)
    assert code not in {str(finding.code) for finding in found}, render(found, files)
    assert not [finding for finding in found if finding.is_error], render(found, files)


@pytest.mark.parametrize("code", SAID)
def test_what_the_example_says_raises_its_code(code: str) -> None:
    assert code in {str(finding.code) for finding in found_in(code, SAID[code])}


def test_a_file_that_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "payments.yaml").symlink_to("/etc/passwd")
    assert CODES[Code.UNREADABLE].example == "payments.yaml -> /etc/passwd"
    assert {str(finding.code) for finding in Folder(tmp_path).read().diagnostics} == {"PL135"}


def test_a_test_that_fails() -> None:
    about = CODES[Code.TEST_FAILED]
    files = {
        "p.yaml": (HEAD + "rules: []\n").encode(),
        "p_test.yaml": f"{TEST}    {about.example}\n".encode(),
    }
    finding = judge(Case(files, (), Known(), frozenset(), 20))
    assert [str(each.code) for each in finding.diagnostics] == ["PL190"]
    assert re.search(r"expected allow, got deny", finding.diagnostics[0].message)
