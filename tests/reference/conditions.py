"""Conditions: a mapping of paths to matchers, and what each matcher says of a value."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference import places
from tests.reference.globs import text_matches
from tests.reference.truth import FALSE, TRUE, UNKNOWN, Truth, all_, any_, missing, not_, truth, wrong
from tests.reference.world import BROKEN, GONE, NO_ITEM, SCALARS, UNKNOWN_VALUE, Item, World, exact, kind_of, segments

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NUMERIC = ("eq", "neq", "in", "not_in", "lt", "lte", "gt", "gte")
LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def mapping(world: World, said: Mapping[str, Any], item: Item = NO_ITEM) -> Truth:
    """All entries must hold."""
    return all_(_entry(world, key, value, item) for key, value in said.items())


def _entry(world: World, key: str, said: Any, item: Item) -> Truth:
    if key in ("all", "any"):
        fold = all_ if key == "all" else any_
        return fold([mapping(world, part, item) for part in said])
    if key == "not":
        return not_(mapping(world, said, item))
    if key == "time":
        return _time(world, said)
    name = _named(key, item)
    return _of_forms(world, name, lambda: condition(world, name, world.value(key, item), said, item))


def _named(path: str, item: Item) -> str:
    """How a path is named in errors: inside a list by the list."""
    root, *rest = segments(path)
    return item.name + "".join(f".{segment}" for segment in rest) if root == "item" else path


def _of_forms(world: World, path: str, answer: Callable[[], Truth]) -> Truth:
    """Of a target with several normal forms all must give one answer."""
    if not world.forms or path != "target":
        return answer()
    found = []
    for form in range(len(world.forms)):
        world.form = form
        found.append(answer())
    world.form = 0
    return found[0] if all(one.kinds == found[0].kinds for one in found) else wrong("target")


def condition(world: World, path: str, value: Any, said: Any, item: Item) -> Truth:
    """One path with its matchers, all of which must hold."""
    if not isinstance(said, Mapping):
        said = {"eq": said}
    said = dict(said)
    absent, fold = said.pop("absent", None), said.pop("ignore_case", False)
    return all_(Matcher(world, path, absent, fold, item).of(name, value, side) for name, side in said.items())


class Matcher:
    """One matcher on the value of one path."""

    def __init__(self, world: World, path: str, absent: str | None, fold: bool, item: Item) -> None:
        self.world, self.path, self.absent, self.fold, self.item = world, path, absent, fold, item

    def of(self, name: str, value: Any, side: Any) -> Truth:
        """What it comes to."""
        if isinstance(side, Mapping) and "ref" in side and name in NUMERIC:
            return self._against(name, value, side["ref"])
        if value is UNKNOWN_VALUE:
            return UNKNOWN
        if value is BROKEN:
            return wrong(self.path)
        if name == "exists":
            return truth((value is not GONE) is side)
        if value is GONE:
            return self._of_nothing(name, side)
        if name in ("eq", "neq", "lt", "lte", "gt", "gte"):
            return self._compare(name, value, side)
        found: Truth = getattr(self, f"_{name}")(value, side)
        return found

    def _of_nothing(self, name: str, side: Any) -> Truth:
        """The value is missing; a `ref` that is missing too is an error whatever `absent` says."""
        numbers = side.items() if name in ("length", "decimal") else ()
        found = [self._number(key, None, one) for key, one in numbers]
        faults = [one for one in found if one.may("missing", "wrong")]
        if not faults:
            return self._missing()
        return all_(faults if self.absent else [self._missing(), *faults])

    def _against(self, name: str, value: Any, path: str) -> Truth:
        """The value and that of a `ref`: the errors of both."""
        if value is UNKNOWN_VALUE:
            return UNKNOWN
        if value is BROKEN:
            return wrong(self.path)
        there = self._referred(path)
        own, other = self._fault(value, self.path), self._fault(there, _named(path, self.item))
        if value is GONE and other is None and there is not UNKNOWN_VALUE:
            other = self._misfit(name, there, path, SCALARS)
        if value is GONE and self.absent is not None:
            own = None
        kinds = SCALARS if name in ("eq", "neq", "in", "not_in") else ("number",)
        if value is not GONE and kind_of(value) not in kinds:
            own = wrong(self.path)
        faults = [one for one in (own, other) if one is not None]
        if faults:
            return all_(faults)
        if there is UNKNOWN_VALUE:
            return UNKNOWN
        if value is GONE:
            return self._missing()
        if name in ("in", "not_in") and not isinstance(there, list):
            return wrong(path)
        return self._compare(name, value, there)

    def _referred(self, path: str) -> Any:
        """The value of a `ref`; a target that can be read in several ways is of no use there."""
        return BROKEN if path == "target" and self.world.is_ambiguous else self.world.value(path, self.item)

    def _fault(self, value: Any, path: str) -> Truth | None:
        if value is GONE:
            return missing(path)
        return wrong(path) if value is BROKEN else None

    def _misfit(self, name: str, there: Any, path: str, equals: tuple[str, ...]) -> Truth | None:
        """What is wrong with the type of a `ref` by itself, where there is nothing to compare with it."""
        if name in ("in", "not_in"):
            fits = isinstance(there, list)
        else:
            fits = kind_of(there) in (equals if name in ("eq", "neq") else ("number",))
        return None if fits else wrong(_named(path, self.item))

    def _missing(self) -> Truth:
        if self.absent is None:
            return missing(self.path)
        return truth(self.absent == "match")

    # --- scalars ------------------------------------------------------------------------------------------------------

    def _compare(self, name: str, value: Any, there: Any) -> Truth:
        """A scalar matcher; values that cannot be compared are a fault of the condition's own path."""
        if name in ("in", "not_in"):
            return self._in(value, there) if name == "in" else not_(self._in(value, there))
        if kind_of(value) != kind_of(there) or kind_of(value) not in SCALARS:
            return wrong(self.path)
        if name in ("eq", "neq"):
            return truth((self._folded(value) == self._folded(there)) is (name == "eq"))
        if kind_of(value) != "number":
            return wrong(self.path)
        left, right = exact(value), exact(there)
        return truth({"lt": left < right, "lte": left <= right, "gt": left > right, "gte": left >= right}[name])

    def _in(self, value: Any, there: Any) -> Truth:
        if not isinstance(there, list) or kind_of(value) not in SCALARS:
            return wrong(self.path)
        alike = [one for one in there if kind_of(one) == kind_of(value)]
        if there and not alike:
            return wrong(self.path)
        return truth(any(self._folded(value) == self._folded(one) for one in alike))

    def _not_in(self, value: Any, side: Any) -> Truth:
        return not_(self._in(value, side))

    def _folded(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.translate(LOWER) if self.fold else value
        return exact(value)

    def _decimal(self, value: Any, side: Any) -> Truth:
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            return wrong(self.path)
        return self._numeric(Fraction(value), side)

    def _length(self, value: Any, side: Any) -> Truth:
        if not isinstance(value, str | list | dict):
            return wrong(self.path)
        return self._numeric(Fraction(len(value)), side)

    def _numeric(self, number: Fraction, said: Mapping[str, Any]) -> Truth:
        """Numeric matchers of an exact number."""
        return all_(self._number(name, number, side) for name, side in said.items())

    def _number(self, name: str, number: Fraction | None, side: Any) -> Truth:
        """Of no number (the value is missing): only the error of a `ref`."""
        if isinstance(side, Mapping):
            there = self._referred(side["ref"])
            fault = self._fault(there, _named(side["ref"], self.item))
            if fault is not None:
                return fault
            if there is UNKNOWN_VALUE:
                return UNKNOWN
            if number is None:
                return self._misfit(name, there, side["ref"], ("number",)) or TRUE
            side = there
        if number is None:
            return TRUE
        return self._compare(name, number, [exact(one) for one in side] if isinstance(side, list) else exact(side))

    # --- texts --------------------------------------------------------------------------------------------------------

    def _text(self, value: Any, side: Any, holds: Callable[[str, str], bool]) -> Truth:
        """The right side is a text or a list of which any."""
        if not isinstance(value, str):
            return wrong(self.path)
        fold = self._folded if self.fold else str
        return truth(any(holds(fold(value), fold(one)) for one in _several(side)))

    def _contains(self, value: Any, side: Any) -> Truth:
        return self._text(value, side, lambda text, part: part in text)

    def _starts_with(self, value: Any, side: Any) -> Truth:
        return self._text(value, side, lambda text, part: text.startswith(part))

    def _ends_with(self, value: Any, side: Any) -> Truth:
        return self._text(value, side, lambda text, part: text.endswith(part))

    def _glob(self, value: Any, side: Any) -> Truth:
        return self._text(value, side, lambda text, pattern: text_matches(pattern, text))

    def _matches(self, value: Any, side: Any) -> Truth:
        return self._expression(value, side, re.fullmatch)

    def _finds(self, value: Any, side: Any) -> Truth:
        return self._expression(value, side, re.search)

    def _expression(self, value: Any, side: Any, how: Callable[..., Any]) -> Truth:
        if not isinstance(value, str):
            return wrong(self.path)
        flags = re.DOTALL | re.ASCII | (re.IGNORECASE if self.fold else 0)
        return truth(any(how(pattern, value, flags) is not None for pattern in _several(side)))

    # --- shapes -------------------------------------------------------------------------------------------------------

    def _type(self, value: Any, side: Any) -> Truth:
        return truth(kind_of(value) in _several(side))

    def _keys(self, value: Any, side: Any) -> Truth:
        return truth(set(value) <= set(side)) if isinstance(value, dict) else wrong(self.path)

    def _schema(self, value: Any, side: Any) -> Truth:
        return truth(valid(value, side))

    def _every(self, value: Any, side: Any) -> Truth:
        if isinstance(value, list) and not value:
            return self._missing()
        return self._each(value, side, all_)

    def _some(self, value: Any, side: Any) -> Truth:
        return self._each(value, side, any_)

    def _each(self, value: Any, side: Any, fold: Callable[[list[Truth]], Truth]) -> Truth:
        if not isinstance(value, list):
            return wrong(self.path)
        name = f"{self.path}[]"
        elements = [Item(GONE if one is None else one, name) for one in value]
        if is_conditions(side):
            return fold([mapping(self.world, side, one) for one in elements])
        said = side if isinstance(side, Mapping) else {"eq": side}
        return fold([condition(self.world, name, one.value, said, one) for one in elements])

    # --- places -------------------------------------------------------------------------------------------------------

    def _within(self, value: Any, side: Any) -> Truth:
        return self._file(value, side, places.below)

    def _path_glob(self, value: Any, side: Any) -> Truth:
        return self._file(value, side, lambda path, pattern: text_matches(pattern, path))

    def _file(self, value: Any, side: Any, holds: Callable[[str, str], bool]) -> Truth:
        readings = places.file_readings(value, self.world.cwd) if isinstance(value, str) else None
        if readings is None:
            return wrong(self.path)
        return self._one_answer({any(holds(path, one) for one in _several(side)) for path in readings})

    def _host(self, value: Any, side: Any) -> Truth:
        found = places.url(value) if isinstance(value, str) else None
        if found is None:
            return wrong(self.path)
        return truth(any(places.host_matches(pattern, found.host) for pattern in _several(side)))

    def _url_glob(self, value: Any, side: Any) -> Truth:
        found = places.url(value) if isinstance(value, str) else None
        readings = None if found is None else places.url_paths(found.path)
        if found is None or readings is None:
            return wrong(self.path)
        patterns = [_UrlPattern(one) for one in _several(side)]
        return self._one_answer({any(one.matches(found, *reading) for one in patterns) for reading in readings})

    def _one_answer(self, answers: set[bool]) -> Truth:
        return truth(answers.pop()) if len(answers) == 1 else wrong(self.path)

    def _cidr(self, value: Any, side: Any) -> Truth:
        found = places.address(value) if isinstance(value, str) else None
        if found is None:
            return wrong(self.path)
        return truth(any(places.in_network(found, network) for network in _several(side)))


class _UrlPattern:
    """A pattern of `url_glob` in its parts."""

    def __init__(self, text: str) -> None:
        head, _, rest = text.partition("://")
        self.scheme = head.lower()
        rest, question, query = rest.partition("?")
        self.query = query if question else None
        authority, slash, path = rest.partition("/")
        self.path = slash + path or "/"
        self.decoded = places.decoded(self.path) or ""
        hit = re.fullmatch(r"(\[.*\]|[^:]*)(:(.*))?", authority)
        assert hit is not None
        self.host, self.port = hit[1], hit[3] or places.WEB[self.scheme]

    def matches(self, url: places.Url, path: str, as_decoded: bool) -> bool:
        """Part by part, with this reading of the path."""
        if (url.scheme, url.port) != (self.scheme, self.port) or not places.host_matches(self.host, url.host):
            return False
        pattern = self.decoded if as_decoded else self.path
        return text_matches(pattern, path) and self._query(url.query)

    def _query(self, query: str | None) -> bool:
        if self.query is None:
            return query is None
        return self.query == "**" or (query is not None and text_matches(self.query, query))


def is_conditions(side: Any) -> bool:
    """Whether the right side of `every` is conditions on `item`, not matchers on the element."""
    if not isinstance(side, Mapping):
        return False
    return any(key in ("all", "any", "not") or key == "item" or key.startswith("item.") for key in side)


def _several(side: Any) -> list[Any]:
    return side if isinstance(side, list) else [side]


def valid(value: Any, schema: Any) -> bool:
    """The few words of JSON Schema that are asked here."""
    if isinstance(schema, bool):
        return schema
    kinds = {"integer": kind_of(value) == "number" and float(value).is_integer()} if kind_of(value) == "number" else {}
    kind = schema.get("type")
    if kind is not None and not kinds.get(kind, kind_of(value) == kind or (kind == "null" and value is None)):
        return False
    if "enum" in schema and not any(kind_of(one) == kind_of(value) and one == value for one in schema["enum"]):
        return False
    if "minimum" in schema and kind_of(value) == "number" and value < schema["minimum"]:
        return False
    if isinstance(value, list):
        return all(valid(one, schema.get("items", True)) for one in value)
    if isinstance(value, dict):
        named = schema.get("properties", {})
        there = all(key in value for key in schema.get("required", ()))
        return there and all(valid(one, named.get(key, True)) for key, one in value.items())
    return True


# --- time -------------------------------------------------------------------------------------------------------------


def _time(world: World, said: Mapping[str, Any]) -> Truth:
    answers = [TRUE]
    if "after" in said:
        answers.append(truth(datetime.fromisoformat(said["after"]) <= world.now))
    if "before" in said:
        answers.append(truth(world.now < datetime.fromisoformat(said["before"])))
    if "during" in said:
        answers.append(truth(_during(world.now, said["during"])))
    return FALSE if FALSE in answers else TRUE


def _during(now: datetime, said: Mapping[str, Any]) -> bool:
    wall = now.astimezone(ZoneInfo(said["zone"]))
    days = said.get("days", DAYS)
    today, yesterday = DAYS[wall.weekday()], DAYS[(wall - timedelta(days=1)).weekday()]
    if "between" not in said:
        return today in days
    start, end = said["between"]
    clock = wall.strftime("%H:%M")
    if start < end:
        return today in days and start <= clock < end
    return (today in days and clock >= start) or (yesterday in days and clock < end)
