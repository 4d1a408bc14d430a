"""Counting what became of rows, in bounded memory; and how that is shown."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from policylayer.core.decision import RuleRef
from policylayer.policy import tally as tallies
from policylayer.policy.recorded import Kept
from policylayer.policy.replay_shown import About, as_json, lines, markdown
from policylayer.policy.tally import Tally, Turn, is_wish
from tests.policy.made import ALLOW, DENY, HOLD, policy, policy_set, question, rule
from tests.support.kept import kept_of, row_of

ROW = kept_of(row_of(question(), policy_set(policy(rule("a", ALLOW, {"tools": ["t"]}))).decide(question())))
OPENED, HELD = Turn(DENY, ALLOW), Turn(ALLOW, HOLD)
OLD, NEW = RuleRef("p", "old", "p.yaml", 3), RuleRef("p", "new", "p.yaml", 9)
ABOUT = About("sha256:" + "a" * 64)


def counted(rows: Iterable[tuple[Kept, Turn]]) -> Tally:
    made = Tally()
    for row, turn in rows:
        made.change(row, turn, (OLD,), (NEW,))
    return made


def test_alike_changes_are_one_group_whatever_the_order() -> None:
    early, late = ROW._replace(time_us=ROW.time_us - 5), ROW._replace(time_us=ROW.time_us + 5, id="later")
    made = counted([(late, OPENED), (ROW, OPENED), (early, OPENED), (ROW, HELD)])
    assert [(group.count, group.first_us, group.last_us) for group in made.changes.values()] == [
        (3, early.time_us, late.time_us),
        (1, ROW.time_us, ROW.time_us),
    ]
    assert next(iter(made.changes.values())).example.id == "later"
    assert (made.changed, made.rows) == (4, 4)


def test_lines_of_rules_make_no_groups_but_names_and_principals_do() -> None:
    made = Tally()
    made.change(ROW, OPENED, (), (NEW,))
    made.change(ROW, OPENED, (), (RuleRef("p", "new", "p.yaml", 50),))
    made.change(ROW, OPENED, (OLD,), (NEW,))
    made.change(ROW._replace(principal="agent:b"), OPENED, (OLD,), (NEW,))
    made.change(ROW._replace(on_behalf_of="user:x"), OPENED, (OLD,), (NEW,))
    assert [group.count for group in made.changes.values()] == [2, 1, 1, 1]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST", 3)
    made = counted((ROW._replace(principal=f"agent:{n}"), OPENED) for n in range(10))
    for n in range(5):
        made.undecide(ROW, (f"args.f{n}",))
    assert (len(made.changes), made.changed, len(made.undecided), made.undecidable) == (3, 10, 3, 5)
    assert made.unlisted == 9
    assert "9 rows are in none of these groups: there are too many." in list(lines(as_json(made, ABOUT)))


@pytest.mark.parametrize(
    ("wish", "happened"),
    [
        ("deny-to-allow", True),
        ("any-to-allow", True),
        ("deny-to-any", True),
        ("any", True),
        ("allow-to-deny", False),
        ("require_approval-to-any", False),
        ("undecidable", False),
    ],
)
def test_wishes(wish: str, happened: bool) -> None:
    made = counted([(ROW, OPENED)])
    assert is_wish(wish)
    assert made.fails([wish]) == ((wish,) if happened else ())
    assert Tally().fails([wish]) == ()


def test_undecidable_can_be_wished_for() -> None:
    made = Tally()
    made.undecide(ROW, ("args.x",))
    assert made.fails(["undecidable", "any"]) == ("undecidable",)


@pytest.mark.parametrize(
    "wish", ["", "allow", "deny-to", "deny-to-", "-to-allow", "deny-to-hold", "deny to allow", "Any"]
)
def test_other_words_are_none(wish: str) -> None:
    assert not is_wish(wish)


# --- shown ------------------------------------------------------------------------------------------------------------


def everything() -> Tally:
    made = counted([*[(ROW, HELD)] * 3, (ROW, OPENED)])
    made.same = 1234
    made.undecide(ROW, ("args.x", "time"))
    made.skipped["not decided by policy: frozen"] += 2
    return made


def test_json_has_it_all_with_what_opens_first() -> None:
    told = as_json(everything(), ABOUT, ("any",))
    assert (told["rows"], told["same"], told["changed"], told["undecidable"], told["not_compared"]) == (
        *(1241, 1234, 4),
        *(1, 2),
    )
    assert [(each["from"], each["to"], each["count"]) for each in told["changes"]] == [
        ("deny", "allow", 1),
        ("allow", "require_approval", 3),
    ]
    assert told["changes"][0]["rules_after"] == [{"policy": "p", "rule": "new", "file": "p.yaml", "line": 9}]
    assert told["changes"][0]["example"] == {"id": ROW.id, "server": "s", "method": "tools/call", "target": "t"}
    assert told["changes"][0]["first"] == "2026-11-23T12:00:00Z"
    assert told["turns"] == {"allow-to-require_approval": 3, "deny-to-allow": 1}
    assert told["undecided"][0]["fields"] == ["args.x", "time"]
    assert told["failed"] == ["any"]


def test_lines_for_people() -> None:
    told = "\n".join(lines(as_json(everything(), About("sha256:" + "a" * 64, limits=True), ("any",))))
    assert told.startswith("1,241 recorded decisions: 1,234 same, 4 changed, 1 undecidable, 2 not compared")
    assert "1 x deny -> allow  agent:a\n  before: p/old (p.yaml:3)\n  after:  p/new (p.yaml:9)\n" in told
    assert f"  2026-11-23 12:00:00, for example t on s, {ROW.id}" in told
    assert "1 x undecidable: the record does not hold args.x, time" in told
    assert "2 x not compared: not decided by policy: frozen" in told
    assert "Revision aaaaaaaaaaaa, compared with what was recorded." in told
    assert "Limits are not counted" in told
    assert told.endswith("Failed: any.")


def test_people_are_not_buried() -> None:
    made = counted((ROW._replace(principal=f"agent:{n}"), OPENED) for n in range(50))
    told = list(lines(as_json(made, About("r", base="other"))))
    assert "and 30 other changes (30 rows): --json has them all" in told
    assert "Revision r, compared with what revision other says." in told


def test_markdown_is_a_table_that_nothing_in_it_breaks() -> None:
    made = Tally()
    odd = ROW._replace(target="a|b`c`\n| d", principal="agent:<b>x</b>")
    made.change(odd, OPENED, (), (NEW,))
    made.undecide(odd, ("args.x",))
    told = list(markdown(as_json(made, ABOUT)))
    (row,) = [line for line in told if "**allow**" in line]
    assert row == (
        f"| deny → **allow** | 1 | `agent:<b>x</b>` | no rule | `p/new` `p.yaml:9` | `` a\\|b`c` \\| d `` `{ROW.id}` |"
    )
    assert told[0].startswith("###")
    assert any(line.startswith("| `args.x` | 1 |") for line in told)
    assert all("\n" not in line for line in told)
