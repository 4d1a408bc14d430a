"""What is remembered by what others send is bounded in bytes: each cache is named here, and looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import policylayer
from policylayer.core import secret_shapes
from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.redact import Redactor
from policylayer.policy.load import load
from policylayer.proxy import client_ip

ROOT = Path(policylayer.__file__).parent
OURS = "keyed by what the operator writes, or by nothing"
HEAD = "keyed by parts of one request's head, which is small"
SHORT = "asked only for short keys: see below"
BOUNDED = {
    "core/masking.py": {"masker": OURS},
    "core/redact.py": {"parse_path": OURS},
    "core/secret_shapes.py": {"_names_secret": SHORT, "_remembered_plain": SHORT},
    "identity/credential.py": {"presented": HEAD},
    "policy/check_beaten.py": {"_covers": OURS, "_covers_who": OURS},
    "policy/directory.py": {"self._work_out": "keyed by principals, whose names credentials bound"},
    "policy/dotted.py": {"cut": OURS},
    "policy/index.py": {
        "self._work_out_principal": "keyed by principals, whose names credentials bound",
        "self._work_out_server": OURS,
    },
    "policy/parse_conditions.py": {"_table": OURS},
    "policy/policy_set.py": {"self._entry": SHORT, "self._reads": SHORT},
    "policy/recorded.py": {"_unknown": "for replaying, in a command", "Subject": "for replaying, in a command"},
    "policy/replay.py": {"self._of_names": SHORT, "self._work_out": "for replaying, in a command"},
    "policy/scalars.py": {"plain": OURS},
    "policy/tool_schema.py": {"matches": "for checking policies, in a command"},
    "policy/tool_truth.py": {"_context": OURS},
    "proxy/client_ip.py": {"_plain": HEAD, "_read": SHORT},
    "proxy/downstream.py": {"_encoded": "keyed by heads of ours"},
    "proxy/fitness.py": {"_accept": HEAD},
    "rego/embedded.py": {"self._argument_paths": OURS},
    "serve/exchange.py": {"answer_head": "keyed by heads of ours"},
    "store/damage.py": {"_misfits": "keyed by the types of a row's cells"},
    "upstream/http.py": {"self._make": HEAD},
    "upstream/pool.py": {"_context": OURS},
    "wire/stand_ins.py": {"_validator": "keyed by schemas of at most 64 KiB", "_cost": "keyed by the same"},
}
CACHE = re.compile(r"lru_cache\([^)]*\)\(([\w.]+)\)|@(?:lru_cache|cache)\b(?:\([^)]*\))?\n\s*def (\w+)")


@pytest.mark.shows("proxy.5")
def test_every_cache_is_known_to_be_bounded() -> None:
    """RES: who adds one says here what its keys are; one that callers or servers choose needs a bound on its length."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        names = [next(filter(None, match.groups())) for match in CACHE.finditer(path.read_text())]
        if names:
            found[path.relative_to(ROOT).as_posix()] = set(names)
        assert len(re.findall(r"\b(?:lru_cache|cache)\(", path.read_text())) <= len(names), path
    assert found == {path: set(names) for path, names in BOUNDED.items()}


def policy_set() -> Any:
    text = b"policy: p\napplies_to: {principals: '*', servers: '*'}\nrules:\n- {id: a, tools: ['*'], effect: allow}\n"
    return load({"p.yaml": text}).policy_set


def asks(made: Any) -> Callable[[str], object]:
    def ask(text: str) -> object:
        call = Call("s", "resources/read", f"file:///{text}", {}, b"", b"", "2025-11-25")
        return made.decide(Question(call, Subject("agent:a"), ServerFacts("s"), datetime(2026, 1, 1, tzinfo=UTC)))

    return ask


def keys() -> list[tuple[str, Any, Callable[[str], object]]]:
    made = policy_set()
    redactor = Redactor(lambda _: "")
    proxies = (ip_network("10.0.0.0/8"),)
    return [
        ("keys of arguments", secret_shapes._remembered_name, lambda t: secret_shapes.names_secret(t, frozenset())),
        (
            "plain keys",
            secret_shapes._remembered_plain,
            lambda text: redactor.view("redacted", {text: "%41" * 9}),
        ),
        ("decided targets", made._remembered, asks(made)),
        ("read targets", made._read, lambda text: made.reads("s", "resources/read", text)),
        ("read methods", made._read, lambda text: made.reads("s", text, None)),
        ("hops", client_ip._read, lambda text: client_ip.client_ip("10.0.0.1", (text,), proxies)),
    ]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(("what", "cache", "ask"), keys(), ids=lambda value: value if isinstance(value, str) else "")
def test_long_keys_are_not_remembered(what: str, cache: Any, ask: Callable[[str], object]) -> None:
    """RES: a few thousand keys of megabytes each would be all the memory there is."""
    cache.cache_clear()
    ask("short")
    before = cache.cache_info().currsize
    assert before >= 1, what
    for number in range(10):
        ask(f"{number}" + "x" * 10_000)
    assert cache.cache_info().currsize <= before + 1, what
