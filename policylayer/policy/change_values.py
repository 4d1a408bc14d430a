"""Pure: values that a path could have instead, thought of from what a condition says of it.

Boundaries and literals first, then samples of patterns, then any value of each type, and none at all. Whoever uses one
asks the condition whether it holds (`change_solve`). Must not know rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from policylayer.core.canonical import canonical
from policylayer.policy import ast, samples


class Removed:
    """In the place of a value: it is taken out."""

    def __repr__(self) -> str:
        return "removed"


REMOVED: Final = Removed()
"""The one value of its kind."""

MOST: Final = 200
"""Values tried for one path."""
FEW: Final = 12
"""Elements tried for one list."""
LONGEST: Final = 10_000
"""No longer text or list is made."""

ANY_VALUE: Final[tuple[Any, ...]] = ("x", 1, 0, True, False, [], {}, "", -1, ["x"], {"x": 1})

Resolve = Callable[[ast.Ref], Any]
"""What a `ref` leads to now; None where that is nothing of use."""


def candidates(test: ast.Test, now: Any, resolve: Resolve) -> list[Any]:
    """Different values to try, the nearest first; `now` is the present one, or None."""
    found = chain(_pairs(test, resolve), *(_of(matcher, now, resolve) for matcher in test.matchers), ANY_VALUE)
    unique: dict[bytes, Any] = {}
    for value in islice(found, MOST):
        unique.setdefault(canonical(value), value)
    unique.pop(canonical(now), None)
    kept = list(unique.values())
    if isinstance(now, int | float) and not isinstance(now, bool):
        kept.sort(key=lambda value: _distance(value, now))
    return [*kept, REMOVED]


def _distance(value: Any, now: float) -> float:
    return abs(value - now) if isinstance(value, int | float) and not isinstance(value, bool) else float("inf")


def _pairs(test: ast.Test, resolve: Resolve) -> Iterator[Any]:
    """Texts that meet several matchers: what they begin with, hold and end with, one after another."""
    said = {matcher.name: matcher.value for matcher in test.matchers}
    parts = [_first(said[name]) for name in ("starts_with", "contains", "ends_with") if name in said]
    if len(parts) > 1 and all(isinstance(part, str) for part in parts):
        yield "".join(parts)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _of(matcher: ast.Matcher, now: Any, resolve: Resolve) -> Iterator[Any]:
    value: Any = resolve(matcher.value) if isinstance(matcher.value, ast.Ref) else matcher.value
    if value is None:
        return
    make = _MAKERS.get(matcher.name)
    if make is not None:
        yield from make(value, now, resolve)
    elif matcher.name in ("every", "some"):
        yield from _lists(value, now, resolve)


# --- scalars ----------------------------------------------------------------------------------------------------------


def _scalars(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for one in value if isinstance(value, tuple | list) else (value,):
        yield one
    for one in value if isinstance(value, tuple | list) else (value,):
        yield from _others(one)


def _others(value: Any) -> Iterator[Any]:
    """Near ones, of the same type."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value + 1, value - 1, int(value), int(value) + 1)
    elif isinstance(value, str):
        yield from (f"{value}x", f"x{value}", value.upper(), value.lower())


def _numbers_in(matchers: Any, resolve: Resolve) -> Iterator[float]:
    """The numbers that nested numeric matchers speak of, with their neighbours."""
    for each in matchers:
        value = resolve(each.value) if isinstance(each.value, ast.Ref) else each.value
        for number in _scalars(value, None, resolve):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield number


def _decimals(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for number in _numbers_in(value, resolve):
        yield format(number, "f").rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


def _lengths(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for number in _numbers_in(value, resolve):
        size = int(number)
        if 0 <= size <= LONGEST:
            yield from _sized(now, size)


def _sized(now: Any, size: int) -> Iterator[Any]:
    if isinstance(now, str):
        yield now[:size].ljust(size, "x")
    elif isinstance(now, list):
        yield [*now[:size], *(now[-1:] or ["x"]) * (size - len(now))]
    elif isinstance(now, dict):
        yield dict(list(now.items())[:size])
    else:
        yield from ("x" * size, ["x"] * size)


# --- texts and places -------------------------------------------------------------------------------------------------


def _texts(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str):
            yield one


def _parts(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        yield text
        if isinstance(now, str):
            yield from (text + now, now + text)


def _globs(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        yield from samples.of_glob(text)
        yield from samples.of_glob("/x" + text)


def _expressions(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        yield from samples.of_expression(text)


def _directories(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        yield from (f"{text.rstrip('/')}/x", text, f"{text}-elsewhere")
    yield from ("/", "/elsewhere")


def _hosts(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        host = "elsewhere.invalid" if text == "*" else text.replace("*.", "a.")
        yield f"https://[{host}]/" if ":" in host and not host.startswith("[") else f"https://{host}/"
    yield "https://elsewhere.invalid/"


def _urls(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        scheme, _, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        path = next(samples.of_glob(path.partition("?")[0]))
        host = host.replace("*.", "a.") if host != "*" else "elsewhere.invalid"
        yield f"{scheme}://{host}{slash}{path}"
    yield "https://elsewhere.invalid/"


def _networks(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    for text in _texts(value):
        yield text.partition("/")[0]
    yield from ("192.0.2.1", "2001:db8::1", "198.51.100.7")


# --- shapes -----------------------------------------------------------------------------------------------------------


def _schemas(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    yield from samples.of_schema(value)


def _keys(value: Any, now: Any, resolve: Resolve) -> Iterator[Any]:
    known = [key for key in value if isinstance(key, str)]
    if isinstance(now, Mapping):
        yield {key: each for key, each in now.items() if key in known}
    yield from ({}, dict.fromkeys(known, 1), {"another": 1})


def _lists(value: ast.Each, now: Any, resolve: Resolve) -> Iterator[Any]:
    elements = list(islice(_elements(value, resolve), FEW))
    if isinstance(now, list):
        yield from ([*now, each] for each in elements)
        yield from (now[:at] + now[at + 1 :] for at in range(min(len(now), FEW)))
    yield from ([each] for each in elements)
    yield []


def _elements(each: ast.Each, resolve: Resolve) -> Iterator[Any]:
    """Elements to try: values for the element itself, or objects whose members meet what is said of them."""
    if each.element is not None:
        yield from (value for value in candidates(each.element, None, resolve) if value is not REMOVED)
        return
    tests = list(ast.tests_of(each.condition))
    for pick in range(4):
        made: dict[str, Any] = {}
        for test in tests:
            values = [value for value in candidates(test, None, resolve) if value is not REMOVED]
            value = values[pick % len(values)]
            if len(test.path) == 1:
                yield value
            else:
                made[test.path[1]] = value
        yield made


Maker = Callable[[Any, Any, Resolve], Iterator[Any]]

_MAKERS: Final[Mapping[str, Maker]] = {
    **dict.fromkeys(("eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte"), _scalars),
    "decimal": _decimals,
    "length": _lengths,
    **dict.fromkeys(("contains", "starts_with", "ends_with"), _parts),
    "glob": _globs,
    "path_glob": _globs,
    "matches": _expressions,
    "finds": _expressions,
    "within": _directories,
    "host": _hosts,
    "url_glob": _urls,
    "cidr": _networks,
    "schema": _schemas,
    "keys": _keys,
    "type": lambda value, now, resolve: iter(ANY_VALUE),
}
