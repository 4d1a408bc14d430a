"""The counters in Prometheus' text form. Must not know who counts (`proxy/metrics.py`) nor who may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from policylayer.api.services import Services
from policylayer.proxy.metrics import HELP


def exposition(services: Services) -> str:
    """All metrics as they stand now."""
    lines = [
        *_family("info", "gauge", "the version that runs", [((("version", services.facts.version),), 1)]),
        *_counters(services),
        *_gauges(services),
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
