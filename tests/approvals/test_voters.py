"""Who may vote on what: never the actor, the owner and the user acted for only where they are listed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.approvals.voters import Parties, open_rules, satisfied, standing
from policylayer.core.decision import HoldRule
from policylayer.core.errors import ApprovalError
from policylayer.core.satisfied import demand
from policylayer.identity.person import Role
from tests.approvals.desk import People, hold, person
from tests.support.hand_clock import START

BOT = Parties("agent:bot", None)
FOR_CARL = Parties("agent:bot", "user:carl")


def people() -> People:
    return People(
        groups={"leads": {"user:alice", "user:lea", "agent:bot"}, "ops": {"user:olga"}},
        owners={"agent:bot": "user:alice", "agent:other": "user:alice", "agent:sub": "agent:bot"},
    )


def refused(parties: Parties, who: str, *rules: HoldRule, role: Role = Role.APPROVER) -> str | None:
    found = open_rules(people(), START, parties, rules, person(who, role))
    return found.reason if isinstance(found, ApprovalError) else None


CASES: list[tuple[Parties, str, HoldRule, str | None]] = [
    (BOT, "user:lea", hold(), None),
    (BOT, "user:stranger", hold(), None),
    (BOT, "user:lea", hold("h", "group:leads"), None),
    (BOT, "user:olga", hold("h", "group:leads"), "not_an_approver"),
    (BOT, "user:olga", hold("h", "user:olga"), None),
    (BOT, "user:olga", hold("h", "group:leads", "group:ops"), None),
    (BOT, "user:olga", hold("h", "user:*"), None),
    (BOT, "user:olga", hold("h", "group:o*"), None),
    (BOT, "user:olga", hold("h", "user:ol"), "not_an_approver"),
    (BOT, "user:Olga", hold("h", "user:olga"), "not_an_approver"),
    # the actor, whatever the rule lists
    (BOT, "agent:bot", hold(), "self_approval"),
    (BOT, "agent:bot", hold("h", "group:leads", "agent:bot", "owner", "*"), "self_approval"),
    (Parties("user:alice", None), "user:alice", hold("h", "owner"), "self_approval"),
    (Parties("user:alice", None), "agent:other", hold(), "self_approval"),
    # the owner
    (BOT, "user:alice", hold(), "self_approval"),
    (BOT, "user:alice", hold("h", "group:leads"), "self_approval"),
    (BOT, "user:alice", hold("h", "user:alice"), "self_approval"),
    (BOT, "user:alice", hold("h", "owner"), None),
    (BOT, "user:alice", hold("h", "owner", "group:ops"), None),
    (BOT, "agent:other", hold(), "self_approval"),
    (BOT, "user:lea", hold("h", "owner"), "not_an_approver"),
    (Parties("agent:sub", None), "user:alice", hold("h", "group:leads"), "self_approval"),
    (Parties("agent:sub", None), "agent:bot", hold("h", "owner"), None),
    # the user acted for
    (FOR_CARL, "user:carl", hold(), "self_approval"),
    (FOR_CARL, "user:carl", hold("h", "user:carl"), "self_approval"),
    (FOR_CARL, "user:carl", hold("h", "on_behalf_of"), None),
    (BOT, "user:carl", hold("h", "on_behalf_of"), "not_an_approver"),
    # one person under both words
    (Parties("agent:bot", "user:alice"), "user:alice", hold("h", "owner"), "self_approval"),
    (Parties("agent:bot", "user:alice"), "user:alice", hold("h", "on_behalf_of"), "self_approval"),
    (Parties("agent:bot", "user:alice"), "user:alice", hold("h", "owner", "on_behalf_of"), None),
]


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize(("parties", "who", "rule", "reason"), CASES, ids=range(len(CASES)))
def test_appr_09_who_may_vote(parties: Parties, who: str, rule: HoldRule, reason: str | None) -> None:
    assert refused(parties, who, rule) == reason


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize(("role", "may"), [(Role.VIEWER, False), (Role.APPROVER, True), (Role.ADMIN, True)])
def test_a_viewer_never_votes_even_where_a_rule_names_it(role: Role, may: bool) -> None:
    assert (refused(BOT, "user:lea", hold("h", "user:lea"), role=role) is None) is may


def test_only_the_rules_that_name_the_voter_are_voted_on() -> None:
    rules = [hold("a", "group:leads"), hold("b", "group:ops"), hold("c")]
    found = open_rules(people(), START, BOT, rules, person("user:olga"))
    assert not isinstance(found, ApprovalError)
    assert [rule.ref.rule for rule in found] == ["b", "c"]


def test_each_rule_needs_its_own_quorum_and_one_human_counts_once() -> None:
    rules = [hold("one", "group:leads"), hold("two", quorum=2), hold("none", quorum=0)]
    who = people()
    who.owners["agent:helper"] = "user:lea"

    def done(*approvers: str) -> set[str]:
        made = satisfied(who, START, BOT, rules, approvers)
        return {rule.ref.rule for rule in rules if demand(rule) in made}

    assert done() == set()
    assert done("user:lea") == {"one", "none"}
    assert done("user:lea", "user:lea") == {"one", "none"}
    assert done("user:lea", "agent:helper") == {"one", "none"}
    assert done("user:olga") == {"none"}
    assert done("user:lea", "user:olga") == {"one", "two", "none"}
    assert done("user:alice", "agent:bot") == set()


def test_a_circle_of_owners_ends() -> None:
    circle = People(owners={"agent:a": "agent:b", "agent:b": "agent:a"})
    assert standing(circle, START, Parties("agent:a", None), "agent:b").is_actor


NAMES = st.sampled_from(["agent:bot", "user:alice", "user:lea", "user:carl", "agent:other"])
LISTED = st.lists(st.sampled_from(["group:leads", "owner", "on_behalf_of", "user:*", "user:carl"]), max_size=3)


@given(NAMES, LISTED, st.one_of(st.none(), NAMES))
def test_nobody_ever_votes_on_their_own_call(actor: str, approvers: list[str], user: str | None) -> None:
    rule = hold("h", *approvers)
    who = people()
    assert not standing(who, START, Parties(actor, user), actor).may_vote(rule)
    owner = who.owners.get(actor)
    if owner is not None and "owner" not in approvers:
        assert not standing(who, START, Parties(actor, user), owner).may_vote(rule)
    if user is not None and "on_behalf_of" not in approvers:
        assert not standing(who, START, Parties(actor, user), user).may_vote(rule)
