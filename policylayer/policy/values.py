"""Pure: where a condition's path is read from. Missing is None; what lies behind no object is `BROKEN`.

A reader is made once for each path when a policy is compiled and run for each call. Must not know what is done with
the value (`matchers`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from policylayer.core.call import Question, Subject
from policylayer.core.immutable import immutable
from policylayer.policy import resources
from policylayer.policy.ast import Path
from policylayer.policy.directory import People


class _Broken:
    """What a path through something that is no object leads to."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = _Broken()

Reader: TypeAlias = Callable[["Context"], Any]
"""Returns a JSON value, None where it is missing, or `BROKEN`."""

UNKNOWN_ROOTS: Final = frozenset(("args", "input"))
"""What is not there yet when lists are filtered."""


@immutable
class Unknown:
    """What is not known of a question: what these paths lead to; whether a server's directory is what it says (`cwd`);
    what another engine says (`engine`)."""

    paths: tuple[Path, ...]
    cwd: bool = False
    engine: bool = False

    def touches(self, path: Path) -> bool:
        """Whether a path leads to what is not known, into it, or holds it."""
        return any(path[: len(each)] == each[: len(path)] for each in self.paths)


MOST_STEPS: Final = 250_000
"""How much one decision may look at in lists, in lists compared with, and in escaped paths; what is beyond is a wrong
type. About a third of a second at worst; counted, since a clock would make the answer depend on the machine."""

NOT_ARRIVED: Final = Unknown((("args",), ("input",)))
"""As lists ask: a call's arguments are not there yet."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Context:
    """What one evaluation reads: the question, who asks, and the element that `every` or `some` is at.

    `unknown` matters only to those who ask what could be (`possible`). `memo` holds what would be read again for each
    element; `steps` are those that are left.
    """

    __slots__ = (
        "args",
        "groups",
        "item",
        "memo",
        "open_target",
        "people",
        "question",
        "steps",
        "unknown",
        "user_groups",
    )

    def __init__(
        self,
        question: Question,
        people: People,
        groups: frozenset[str],
        user_groups: frozenset[str],
        open_target: bool = False,
        unknown: Unknown = NOT_ARRIVED,
    ) -> None:
        self.question = question
        self.people = people
        self.groups = groups
        self.user_groups = user_groups
        self.args = question.call.arguments
        self.item: Any = None
        self.open_target = open_target
        self.unknown = unknown
        self.memo: dict[Any, Any] = {}
        self.steps = MOST_STEPS

    def spend(self, steps: int) -> bool:
        """Whether there is still so much work left; once there is not, there is none any more."""
        self.steps -= steps
        return self.steps >= 0


def text_of(path: Path) -> str:
    """A path as it is written."""
    return ".".join(part if _PLAIN.fullmatch(part) else f'"{part}"' for part in path)


def reader(path: Path) -> Reader | None:
    """The reader of a path; None where there is no such path."""
    make = _ROOTS.get(path[0])
    return make(path[1:]) if make else None


def remembered(path: Path) -> Reader | None:
    """The same, read once for a decision where reading it takes work: for what is compared with many elements."""
    read = reader(path)
    if read is None or path[0] in ("args", "input", "item"):
        return read

    def once(ctx: Context) -> Any:
        if path not in ctx.memo:
            ctx.memo[path] = read(ctx)
        return ctx.memo[path]

    return once


def step(value: Any, keys: Path) -> Any:
    """What `keys` lead to from `value`."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None if value is None else BROKEN
    return value


def _args(keys: Path) -> Reader:
    if not keys:
        return lambda ctx: ctx.args
    first, rest = keys[0], keys[1:]
    if not rest:
        return lambda ctx: ctx.args.get(first)
    return lambda ctx: step(ctx.args.get(first), rest)


def _input(keys: Path) -> Reader:
    return lambda ctx: step(ctx.question.call.input, keys)


def _item(keys: Path) -> Reader:
    if not keys:
        return lambda ctx: ctx.item
    return lambda ctx: step(ctx.item, keys)


def _principal(keys: Path) -> Reader | None:
    if not keys:
        return None
    name, rest = keys[0], keys[1:]
    if name == "groups":
        return lambda ctx: step(sorted(ctx.groups), rest)
    read = _subject(name)
    return lambda ctx: step(read(ctx.question.subject, ctx.people), rest)


def _for(keys: Path) -> Reader | None:
    if not keys:
        return None
    name, rest = keys[0], keys[1:]
    if name == "groups":
        return lambda ctx: None if ctx.question.on_behalf_of is None else step(sorted(ctx.user_groups), rest)
    read = _subject(name)

    def user(ctx: Context) -> Any:
        subject = ctx.question.on_behalf_of
        return None if subject is None else step(read(subject, ctx.people), rest)

    return user


def _subject(name: str) -> Callable[[Subject, People], Any]:
    """What is read of a principal. principals.yaml comes before what a credential says of the same attribute."""
    if name == "id":
        return lambda subject, people: subject.id
    if name == "kind":
        return lambda subject, people: subject.id.partition(":")[0]
    if name == "owner":
        return lambda subject, people: people.owner_of(subject.id)
    return lambda subject, people: people.attribute(subject, name)


def _single(read: Reader) -> Callable[[Path], Reader | None]:
    def make(keys: Path) -> Reader | None:
        return read if not keys else lambda ctx: step(read(ctx), keys)

    return make


def _target(ctx: Context) -> Any:
    """The only reading of the target; `BROKEN` where there are several or none (`target_readings`)."""
    found = target_readings(ctx)
    return found[0] if len(found) == 1 else BROKEN


def target_readings(ctx: Context) -> tuple[Any, ...]:
    """What the target may be read as: one value, or a resource's normal forms."""
    call = ctx.question.call
    if call.target is None or call.method not in resources.METHODS:
        return (call.target,)
    return resources.readings(call.target) or (BROKEN,)


def _labelled(read: Mapping[str, Reader]) -> Callable[[Path], Reader | None]:
    def make(keys: Path) -> Reader | None:
        if not keys or keys[0] not in read:
            return None
        return _single(read[keys[0]])(keys[1:])

    return make


_ROOTS: Final[Mapping[str, Callable[[Path], Reader | None]]] = {
    "args": _args,
    "input": _input,
    "item": _item,
    "principal": _principal,
    "for": _for,
    "server": _single(lambda ctx: ctx.question.call.server),
    "method": _single(lambda ctx: ctx.question.call.method),
    "target": _single(_target),
    "session": _labelled({"labels": lambda ctx: sorted(ctx.question.labels)}),
    "request": _labelled(
        {
            "ip": lambda ctx: ctx.question.ip,
            "client": lambda ctx: ctx.question.client,
            "protocol": lambda ctx: ctx.question.call.protocol,
        }
    ),
}
