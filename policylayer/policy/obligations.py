"""Pure: the obligations of all matching rules as one; the stricter wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from policylayer.core.decision import Mask, Obligations
from policylayer.policy.rules import Duties

NONE: Final = Obligations()


def merge(redact: tuple[str, ...], duties: Iterable[Duties | Obligations | None]) -> Obligations:
    """Everything that is redacted, masked or labelled by one of them; the smallest cap; the shortest earning."""
    found = [duty for duty in duties if duty is not None]
    if not found:
        return Obligations(redact=redact) if redact else NONE
    masks = dict.fromkeys(mask for duty in found for mask in duty.mask)
    caps = [duty.cap for duty in found if duty.cap is not None]
    earn: dict[str, int] = {}
    for duty in found:
        for label, seconds in duty.earn.items():
            earn[label] = min(seconds, earn.get(label, seconds))
    return Obligations(
        redact=_paths(redact, found),
        mask=tuple(sorted(masks, key=_mask_order)),
        cap=min(caps, default=None),
        label=frozenset().union(*(duty.label for duty in found)),
        earn=dict(sorted(earn.items())),
    )


def redaction(redact: tuple[str, ...], duties: Iterable[Duties | Obligations | None]) -> Obligations:
    """Only what concerns the record."""
    found = [duty for duty in duties if duty is not None]
    paths = _paths(redact, found)
    return Obligations(redact=paths) if paths else NONE


def softened(obligations: Obligations) -> Obligations:
    """What is left on a server in observe mode: results pass as they are; record and labels are kept."""
    if not obligations.mask and obligations.cap is None:
        return obligations
    return replace(obligations, mask=(), cap=None)


def _paths(redact: tuple[str, ...], duties: Iterable[Duties | Obligations]) -> tuple[str, ...]:
    return tuple(sorted({*redact, *(path for duty in duties for path in duty.redact)}))


def _mask_order(mask: Mask) -> tuple[str, str, str]:
    return mask.path or "", mask.pattern or "", mask.regex or ""
