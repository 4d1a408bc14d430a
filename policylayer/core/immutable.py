"""Pure: how the program's values are made: classes of fields that nobody changes.

To the type checker an `@immutable` is a frozen dataclass, so that assigning to a field is an error in `make check`.
When the program runs it is a plain one with slots: a frozen one sets each field by a call of its own, which for the
values that every call makes comes to a tenth of all that the proxy does. Of its methods only `__init__` is compiled for
each class; to compile the others too, which do the same everywhere, would take a quarter of a millisecond a class at
every start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, cast, dataclass_transform

T = TypeVar("T", bound=type[Any])


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def immutable(cls: T) -> T:
    """Make a class of fields: equal and hashed by them, and not to be changed."""
    own = set(vars(cls))
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    values = _values(tuple(each.name for each in fields(made) if each.compare))
    if "__eq__" not in own:
        made.__eq__ = _equal(values)
    if "__hash__" not in own:
        made.__hash__ = lambda self: hash(values(self))
    if "__repr__" not in own:
        made.__repr__ = _shown
    return cast(T, made)


def _values(names: tuple[str, ...]) -> Callable[[Any], Any]:
    """What a value is compared by."""
    return attrgetter(*names) if names else lambda value: None


def _equal(values: Callable[[Any], Any]) -> Callable[[Any, object], bool]:
    def equal(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _shown(self: Any) -> str:
    parts = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(parts)})"
