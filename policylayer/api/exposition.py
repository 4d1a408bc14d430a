"""The counters in Prometheus' text form. Must not know who counts (`proxy/metrics.py`) nor who may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from policylayer.api.services import Services
from policylayer.proxy.metrics import BOUNDS, HELP, TIMES
from policylayer.store.meter import SIZES, Meter


def exposition(services: Services) -> str:
    """All metrics as they stand now."""
    lines = [
        *_family("info", "gauge", "the version that runs", [((("version", services.facts.version),), 1)]),
        *_counters(services),
        *_gauges(services),
        *_times(services),
        *_store(services.store.meter),
    ]
    return "\n".join(lines) + "\n"


def _counters(services: Services) -> Iterable[str]:
    families: dict[str, list[tuple[tuple[tuple[str, str], ...], float]]] = defaultdict(list)
    for (name, labels), value in sorted(services.counts().items()):
        families[name].append((labels, value))
    for name, help in HELP.items():
        yield from _family(f"{name}_total", "counter", help, families.get(name, []))


def _gauges(services: Services) -> Iterable[str]:
    parts = [((("part", part.name),), float(part.ready)) for part in services.parts()]
    yield from _family("ready", "gauge", "whether a part is well", parts)
    yield from _details(services)


def _details(services: Services) -> Iterable[str]:
    """The states of breakers, and the revision, as the parts tell of themselves."""
    parts = {part.name: part.detail for part in services.parts()}
    breakers = [
        ((("server", name), ("state", told["breaker"])), 1.0) for name, told in parts.get("servers", {}).items()
    ]
    if "opa" in parts:
        breakers.append(((("server", "opa"), ("state", str(parts["opa"]["breaker"]))), 1.0))
    yield from _family("breaker", "gauge", "the state of a server's breaker", breakers)
    revision = parts.get("policy", {}).get("revision")
    active = [((("revision", str(revision)),), 1.0)] if revision else []
    yield from _family("revision_info", "gauge", "the policy revision that is active", active)


def _times(services: Services) -> Iterable[str]:
    found = services.times()
    for name, help in TIMES.items():
        if name in found:
            yield from _histogram(f"{name}_seconds", help, BOUNDS, found[name].classes, found[name].total)


def _store(meter: Meter) -> Iterable[str]:
    help = "callers that shared one commit of the database"
    yield from _histogram("store_commit_callers", help, SIZES, meter.sizes, meter.callers)
    for name, kind, help, value in (
        ("store_rows_total", "counter", "rows of the decision log written", meter.rows),
        ("store_shed_total", "counter", "callers turned away because the database was slow", meter.shed),
        ("store_waiting", "gauge", "callers that wait for the database", meter.waiting),
        ("store_waiting_bytes", "gauge", "what waits for the database, about", meter.waiting_bytes),
    ):
        yield from _family(name, kind, help, [((), value)])


def _histogram(name: str, help: str, bounds: Sequence[float], classes: Sequence[int], total: float) -> Iterable[str]:
    yield f"# HELP policylayer_{name} {help}"
    yield f"# TYPE policylayer_{name} histogram"
    counts = list(accumulate(classes))
    for bound, count in zip((*bounds, "+Inf"), counts, strict=True):
        yield f'policylayer_{name}_bucket{{le="{bound}"}} {count}'
    yield f"policylayer_{name}_sum {total:g}"
    yield f"policylayer_{name}_count {counts[-1]}"


def _family(
    name: str, kind: str, help: str, values: Iterable[tuple[tuple[tuple[str, str], ...], float]]
) -> Iterable[str]:
    yield f"# HELP policylayer_{name} {help}"
    yield f"# TYPE policylayer_{name} {kind}"
    for labels, value in values:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
        yield f"policylayer_{name}{{{inside}}} {value:g}" if inside else f"policylayer_{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
