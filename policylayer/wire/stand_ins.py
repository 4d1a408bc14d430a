"""Pure: what stands for masked values in a result that must fit an outputSchema, or that there is nothing that fits.

`[masked]` is no date and 0 may be too small, so others are tried where the schema complains of a masked value, a few
rounds of them; nothing is chosen that says something (a member of an enum, say). Must not know why a value is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NoReturn

import jsonschema_rs
import orjson

from policylayer.core.call import Json
from policylayer.core.schema_cost import ENDLESS, Cost
from policylayer.wire.splice import Path

TEXTS: Final = (
    *("", "masked@masked.invalid", "https://masked.invalid/", "1970-01-01T00:00:00Z", "1970-01-01", "00:00:00Z"),
    *("0.0.0.0", "::", "masked.invalid", "00000000-0000-0000-0000-000000000000", "P0D", "0"),
)
"""After `[masked]`: something of each format."""

NUMBERS: Final = (1, -1, 100)
COMPLAINTS: Final = 1000
"""Complaints that are looked at in one round."""

MOST_WORK: Final = 8_000_000
"""Checks that all validating of one value may make. A schema that could make more at one go says nothing, as one that
cannot be read."""

EXPRESSION: Final = 1 << 20
"""Bytes that one compiled expression of a schema may take."""

Validator = jsonschema_rs.Draft202012Validator


def fitting(schema: bytes, before: Json, after: Json, masked: Mapping[Path, Json]) -> dict[Path, Json] | None:
    """What to put at each masked path so that `after` fits the schema; None where nothing does.

    Where the schema cannot be read, or the server's own value (`before`) does not fit it, anything does.
    """
    rounds = MOST_WORK // _work(schema, before)
    validator = _validator(schema) if rounds else None
    if validator is None or not _fits(validator, before):
        return dict(masked)
    chosen, holder = dict(masked), [after]
    left = {path: iter(_others(value)) for path, value in masked.items()}
    for _ in range(rounds):
        blamed = _blamed(validator, holder[0], chosen)
        if not blamed:
            return None if blamed is None else chosen
        tried = False
        for path in blamed:
            other = next(left[path], None)
            if other is not None:
                tried, chosen[path] = True, other
                _put(holder, (0, *path), other)
        if not tried:
            break
    return None


def _others(value: Json) -> Iterable[Json]:
    if isinstance(value, str):
        return TEXTS
    return (True,) if isinstance(value, bool) else NUMBERS


def _blamed(validator: Validator, value: Json, masked: Iterable[Path]) -> set[Path] | None:
    """The masked paths that complaints are about; none if there are no complaints, None if none is about them."""
    at = {tuple(error.instance_path) for error in islice(validator.iter_errors(value), COMPLAINTS)}
    if not at:
        return set()
    return {path for path in masked if any(path[:length] in at for length in range(len(path) + 1))} or None


def _put(value: Any, path: Path, new: Json) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def _work(schema: bytes, value: Json) -> int:
    """What validating takes at most: servers write schemas and values, and everybody waits for it."""
    try:
        cost = _cost(schema)
        return max(cost.work(value, len(orjson.dumps(value))), 1)
    except (TypeError, ValueError):
        return ENDLESS


@lru_cache(maxsize=64)
def _cost(schema: bytes) -> Cost:
    return Cost(orjson.loads(schema))


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Validator | None:
    """The schema's validator, as strict as a client's; nothing is fetched, and expressions take linear time."""
    try:
        return Validator(
            orjson.loads(schema),
            retriever=_refuse_to_fetch,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=EXPRESSION),
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError, RecursionError):
        return None


def _fits(validator: Validator, value: Json) -> bool:
    try:
        return validator.is_valid(value)
    except (ValueError, TypeError, RecursionError):
        return False


def _refuse_to_fetch(uri: str) -> NoReturn:
    raise ValueError(f"schemas are not fetched: {uri[:100]}")
