"""Metrics: Prometheus' own reader understands them, and finds what happened."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from policylayer.api.exposition import exposition
from policylayer.api.services import Part
from policylayer.core.decision import Decision, Effect, ReasonCode, RuleRef
from policylayer.proxy.metrics import RULES, Metrics
from tests.api.rig import api

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_happened_is_found_by_prometheus(tmp_path: Path) -> None:
    async with api(tmp_path) as rig:
        metrics = Metrics()
        rule = RuleRef('p"\n', "r\\", "p.yaml", 1)
        decision = Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, "sha256:00", rules=(rule,))
        for seconds in (0.0002, 0.3, 60):
            metrics.decided(decision, 150, seconds)
        rig.services.counts, rig.services.times = lambda: metrics.counts, lambda: metrics.times
        rig.parts.append(Part("servers", True, {"shop": {"breaker": "closed"}}))
        rig.parts.append(Part("policy", True, {"revision": "sha256:00"}))
        await rig.backstage.recorder.event("something", "user:a", {})
        found = samples(exposition(rig.services))
    decided = (("effect", "allow"), ("enforced", "allow"), ("reason_code", "rule"))
    assert found["policylayer_decisions_total", decided] == 3
    assert found["policylayer_rules_total", (("rule", 'p"\n/r\\'),)] == 3
    assert found["policylayer_record_seconds_bucket", (("le", "0.00025"),)] == 1
    assert found["policylayer_record_seconds_bucket", (("le", "10.0"),)] == 2
    assert found["policylayer_record_seconds_bucket", (("le", "+Inf"),)] == 3
    assert found["policylayer_decide_seconds_count", ()] == 3
    assert found["policylayer_breaker", (("server", "shop"), ("state", "closed"))] == 1
    assert found["policylayer_revision_info", (("revision", "sha256:00"),)] == 1
    assert found["policylayer_store_rows_total", ()] >= 1
    assert found["policylayer_store_commit_callers_count", ()] >= 1
    assert found["policylayer_store_waiting", ()] == 0


def test_rules_that_come_and_go_do_not_grow_without_end() -> None:
    metrics = Metrics()
    for number in range(RULES + 50):
        rule = RuleRef("p", f"r{number}", "p.yaml", 1)
        metrics.decided(Decision(Effect.DENY, ReasonCode.RULE, Effect.DENY, "", rules=(rule,)), None, 0.0)
    names = Counter(name for name, _ in metrics.counts)
    assert names["rules"] == RULES + 1
    assert metrics.of("rules", rule="others") == 50
