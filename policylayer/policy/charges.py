"""Pure: which counters a call charges, by how much, and under which key. Must not know what has been used so far.

A summand that is missing, negative or no number, or a `by` value that is missing or no scalar, is a problem, and the
call is denied at once (`decide`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from policylayer.core.decision import Charge, HoldRule, RuleRef
from policylayer.policy import numbers
from policylayer.policy.ast import Limit, Path
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, error
from policylayer.policy.truth import Problem, missing, wrong
from policylayer.policy.values import BROKEN, Context, Reader, reader, text_of

ONE: Final = Decimal(1)
LONGEST_SUMMAND: Final = 64
"""Characters of a decimal text that is summed; a longer one is not read, so that counters stay numbers of a size."""
FROM_THE_CALL: Final = frozenset({"args", "input", "target"})
"""Roots of what an agent writes into a call, which may be a secret, or what a rule redacts."""

LONGEST_KEY: Final = 512
"""A longer key is replaced by its digest: equal keys stay equal, and nobody can fill the store with them."""


@dataclass(frozen=True, slots=True, eq=False)
class LimitPlan:
    """One limit of one rule. `sum` reads the summand (None: one for each call)."""

    counter: str
    max: Decimal
    window: int
    rule: RuleRef
    hold: HoldRule | None
    by: tuple[tuple[Reader, str], ...]
    sum: tuple[Reader, str] | None
    decimal: bool
    reads: frozenset[Path]
    private: bool

    def charge(self, ctx: Context) -> Charge | Problem:
        """What this call charges, or why that cannot be told."""
        amount = ONE if self.sum is None else self._amount(ctx, *self.sum)
        keys = [_key_part(read(ctx), field) for read, field in self.by]
        problems = [part for part in (amount, *keys) if isinstance(part, Problem)]
        if problems or isinstance(amount, Problem):
            return sum(problems[1:], problems[0])
        key = _short(f"[{','.join(part for part in keys if isinstance(part, str))}]")
        return Charge(self.counter, key, amount, self.max, self.window, self.rule, self.hold, self.private)

    def _amount(self, ctx: Context, read: Reader, field: str) -> Decimal | Problem:
        value = read(ctx)
        if value is None:
            return missing(field)
        if self.decimal:
            readable = isinstance(value, str) and len(value) <= LONGEST_SUMMAND
            amount = numbers.read_decimal(value) if readable else None
        else:
            amount = numbers.exact(value) if numbers.is_number(value) else None
        return wrong(field) if amount is None or amount < 0 else amount


def _key_part(value: Any, field: str) -> str | Problem:
    """The canonical text of a `by` value: equal for values that conditions find equal."""
    if value is None:
        return missing(field)
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return numbers.text(value) if value is not BROKEN and numbers.is_number(value) else wrong(field)


def _short(key: str) -> str:
    if len(key) <= LONGEST_KEY:
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def plan(limit: Limit, counter: str, rule: RuleRef, hold: HoldRule | None, sink: list[Diagnostic]) -> LimitPlan | None:
    """The plan of a limit; None, reported, where a path is not one."""
    paths = limit.by if limit.sum is None else (*limit.by, limit.sum)
    readers: dict[Path, Reader] = {}
    for path in paths:
        read = reader(path)
        if read is None or path[0] == "item":
            sink.append(error(Code.UNKNOWN_PATH, limit.span, f"there is no path `{text_of(path)}`"))
            return None
        readers[path] = read
    described: Callable[[Path], tuple[Reader, str]] = lambda path: (readers[path], text_of(path))  # noqa: E731
    return LimitPlan(
        counter=counter,
        max=limit.max,
        window=limit.per,
        rule=rule,
        hold=hold if limit.over == "require_approval" else None,
        by=tuple(map(described, limit.by)),
        sum=None if limit.sum is None else described(limit.sum),
        decimal=limit.decimal,
        reads=frozenset(paths),
        private=any(path[0] in FROM_THE_CALL for path in limit.by),
    )
