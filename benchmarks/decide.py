"""What a decision by policy files costs: sets of 1, 100 and 1,000 rules asked about a call of 1 KB.

    python -m benchmarks.decide [--times 2000]

Three sets of each size: `tools`, whose other rules name other tools; `principals`, whose other rules name other
principals; and `all`, whose rules all concern the call and look at its arguments. `known` is a caller and a tool that
were there before, as in traffic; `first` a caller's first call of a tool, whose rules must be found. Must not know the
proxy: no bytes, no log.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect
from policylayer.policy.load import load
from policylayer.policy.policy_set import PolicySet

RULES = (1, 100, 1_000)
BLOCK = 50
"""Decisions to one reading of the clock."""


def _rule(name: str, more: str) -> str:
    return f"  - {{id: {name}, {more}, when: {{args.amount: {{gt: 0, lte: 100}}}}, effect: allow}}\n"


OTHERS: dict[str, Callable[[int], str]] = {
    "tools": lambda number: _rule(f"r{number}", f'tools: [other_{number}, "area{number}_*"]'),
    "principals": lambda number: _rule(f"r{number}", f'tools: [pay], principals: ["agent:n{number}"]'),
    "all": lambda number: _rule(f"r{number}", "tools: [pay]"),
}


def policy_set(kind: str, rules: int) -> PolicySet:
    """A set of so many rules, the first of which allows the call."""
    text = 'policy: bench\napplies_to: {principals: ["*"], servers: ["*"]}\nrules:\n' + _rule("small", "tools: [pay]")
    text += "".join(OTHERS[kind](number) for number in range(1, rules))
    people = "principals:\n  agent:a: {}\n" + "".join(f"  agent:n{number}: {{}}\n" for number in range(1, rules))
    made = load({"principals.yaml": people.encode(), "bench.yaml": text.encode()}).policy_set
    assert made is not None
    return made


def question(subject: str = "agent:a") -> Question:
    """A call of about 1 KB."""
    arguments = {"amount": 42, "currency": "eur", "tags": ["a", "b"], "note": "x" * 900}
    call = Call("shop", "tools/call", "pay", arguments, b"", b"", "2026-07-28")
    return Question(call, Subject(subject), ServerFacts("shop"), datetime(2026, 1, 1, tzinfo=UTC))


def _block_us(policies: PolicySet, questions: list[Question]) -> float:
    begun = time.perf_counter()
    for asked in questions:
        policies.decide(asked)
    return (time.perf_counter() - begun) / len(questions) * 1e6


def measure(times: int = 2_000) -> dict[str, dict[str, float]]:
    """Microseconds of one decision, the middle of blocks that alternate between all sets."""
    sets = {(kind, rules): policy_set(kind, rules) for rules in RULES for kind in OTHERS}
    asked = question()
    taken: dict[tuple[str, int, str], list[float]] = {}
    for policies in sets.values():
        assert policies.decide(asked).effect is Effect.ALLOW
        _block_us(policies, [asked] * BLOCK)
    for turn in range(max(times // BLOCK, 1)):
        # Nobody called `agent:<turn>-<n>` was there before, and no rule names one.
        new = [replace(asked, subject=Subject(f"agent:{turn}-{number}")) for number in range(BLOCK)]
        for (kind, rules), policies in sets.items():
            taken.setdefault((kind, rules, "known"), []).append(_block_us(policies, [asked] * BLOCK))
            taken.setdefault((kind, rules, "first"), []).append(_block_us(policies, new))
    middle = {place: statistics.median(found) for place, found in taken.items()}
    return {
        str(rules): {
            "known": middle["tools", rules, "known"],
            **{f"{kind}, {when}": middle[kind, rules, when] for kind in OTHERS for when in ("known", "first")},
        }
        for rules in RULES
    }


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """As Markdown."""
    heads = [name for name in next(iter(found.values())) if name != "known"]
    said = [f"about {'this call' if name.startswith('all') else 'other ' + name.partition(',')[0]}" for name in heads]
    said = [f"{each},{name.partition(',')[2]}" for each, name in zip(said, heads, strict=True)]
    lines = [f"| `decide`, us a call of 1 KB; rules: | {' | '.join(said)} |", "|---|" + "---:|" * len(heads)]
    for rules, row in found.items():
        lines.append(f"| {int(rules):,} | " + " | ".join(f"{row[name]:.1f}" for name in heads) + " |")
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2_000)
    print("\n".join(table(measure(parser.parse_args().times))))


if __name__ == "__main__":
    main()
