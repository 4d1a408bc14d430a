"""Pure: that groups name groups there are, none contains itself, and none looks like an issuer's.

Part of reading principals.yaml (`parse_principals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policylayer.policy.ast import Directory, Member, Span
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, quote
from policylayer.policy.shapes import Reading


def from_issuer(name: str, directory: Directory) -> bool:
    """Whether a principal or `group:x` carries the prefix of a listed issuer: `group:okta/finance`."""
    _, _, rest = name.partition(":")
    issuer, slash, _ = rest.partition("/")
    return bool(slash) and issuer in directory.issuers


def check_groups(directory: Directory, places: Mapping[str, Span], reading: Reading) -> None:
    """Report what is wrong with the groups."""
    for name in directory.groups:
        if from_issuer(f"group:{name}", directory):
            message = f"the group {quote(name)} carries the prefix of an issuer, so only its tokens can give it"
            reading.error(Code.RESERVED_NAME, places[name], message, "name it otherwise")
    for members in directory.groups.values():
        for member in members:
            _check_member(member, directory, reading)
    _check_cycles(directory, reading)


def _check_member(member: Member, directory: Directory, reading: Reading) -> None:
    kind, _, group = member.name.partition(":")
    if kind != "group" or group in directory.groups or from_issuer(member.name, directory):
        return
    issuer, slash, _ = group.partition("/")
    if slash:
        message = f"nobody can be in {quote(member.name)}: no issuer {quote(issuer)} is listed"
        reading.warn(Code.UNKNOWN_NAME, member.span, message, f"if its tokens bring groups, write issuers: [{issuer}]")
    else:
        help_ = did_you_mean(member.name, (f"group:{known}" for known in directory.groups))
        reading.error(Code.UNKNOWN_NAME, member.span, f"there is no group {quote(member.name)}", help_)


def _check_cycles(directory: Directory, reading: Reading) -> None:
    """Walk each group once; a member that is still being walked closes a circle."""
    finished: set[str] = set()
    for start in directory.groups:
        trail: list[str] = []
        pending: list[Iterator[Member]] = []
        _enter(start, directory, trail, pending, finished)
        while pending:
            member = next(pending[-1], None)
            if member is None:
                pending.pop()
                finished.add(trail.pop())
                continue
            name = member.name.removeprefix("group:")
            if name == member.name or name not in directory.groups:
                continue
            if name in trail:
                circle = " > ".join((*trail[trail.index(name) :], name))
                message = f"the group {quote(name)} contains itself: {circle}"
                reading.error(Code.GROUP_CYCLE, member.span, message, "remove this member")
            else:
                _enter(name, directory, trail, pending, finished)


def _enter(
    name: str, directory: Directory, trail: list[str], pending: list[Iterator[Member]], finished: set[str]
) -> None:
    if name not in finished:
        trail.append(name)
        pending.append(iter(directory.groups[name]))
