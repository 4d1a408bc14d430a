"""Groups: nested, claimed, ending, and remembered for a bounded number of principals."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.call import Subject
from policylayer.policy.ast import Directory, Member
from policylayer.policy.directory import REMEMBERED, People
from policylayer.policy.times import microseconds
from tests.policy.made import NOON, SPAN

NAMES = ["agent:a", "group:x", "group:y", "group:z"]
ENDS = st.none() | st.integers(-3, 3)
GROUPS = st.dictionaries(
    st.sampled_from(["x", "y", "z"]), st.lists(st.tuples(st.sampled_from(NAMES), ENDS), max_size=4), max_size=3
)


def people(groups: dict[str, list[tuple[str, int | None]]]) -> People:
    def member(name: str, hours: int | None) -> Member:
        until = None if hours is None else microseconds(NOON + timedelta(hours=hours))
        return Member(name, SPAN, until)

    made = {group: tuple(member(*one) for one in members) for group, members in groups.items()}
    return People(Directory(groups=made))


@given(GROUPS, st.frozensets(st.sampled_from(["group:x", "group:okta/y"]), max_size=1), st.integers(-4, 4))
def test_membership_is_what_can_be_reached_now(
    groups: dict[str, list[tuple[str, int | None]]], claimed: frozenset[str], hour: int
) -> None:
    now = NOON + timedelta(hours=hour)
    expected = set(claimed)
    reached = {"agent:a"} | expected
    grown = True
    while grown:
        more = {
            f"group:{group}"
            for group, members in groups.items()
            for name, end in members
            if name in reached and (end is None or hour < end)
        }
        grown = not more <= reached
        reached |= more
        expected |= more
    assert people(groups).groups_of(Subject("agent:a", claimed), now) == expected


def test_a_hundred_thousand_principals_cost_no_memory() -> None:
    made = people({"x": [("agent:a", None)]})
    for number in range(2 * REMEMBERED):
        made.groups_of(Subject(f"agent:{number}"), NOON)
    assert made._membership.cache_info().currsize <= REMEMBERED


def test_who_is_known() -> None:
    directory = Directory(
        attributes={"tenant": "string"},
        principals={"agent:a": {"tenant": "acme"}},
        owners={"agent:a": "user:o"},
        groups={"x": (Member("user:m", SPAN), Member("group:y", SPAN))},
    )
    made = People(directory)
    assert [made.knows(name) for name in ("agent:a", "user:m", "group:y", "user:o")] == [True, True, False, False]
    assert (made.owner_of("agent:a"), made.owner_of("user:m")) == ("user:o", None)
    assert made.attribute(Subject("agent:a"), "tenant") == "acme"
    assert made.attribute(Subject("agent:a", attributes={"secret": 1}), "secret") is None
