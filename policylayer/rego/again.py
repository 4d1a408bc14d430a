"""What an engine may be asked of a call of which not all is known any more: only what it reads nothing unknown for.

Must not know where such calls come from (`policy/recorded.py`), nor who asks about them.
"""

from __future__ import annotations

from collections.abc import Callable

from policylayer.core.call import Question
from policylayer.core.immutable import immutable
from policylayer.policy import inside
from policylayer.policy.ast import Path
from policylayer.policy.conditions import TIME
from policylayer.policy.inside_kept import is_open, unknown_in
from policylayer.policy.recorded import ANNOTATIONS, OF_TOOLS
from policylayer.policy.values import Unknown

Reads = Callable[[Question], frozenset[Path] | None]
"""What an engine reads of a question; None: it is not asked about such."""

INSIDE: tuple[Path, ...] = (("args",),)
"""What is lacking where it is not even known which calls are inside."""


@immutable
class Again:
    """What to ask: the call and those inside it; none where the engine has no say. `lacking` are the paths that it
    reads and that are not known: then nothing is asked."""

    questions: tuple[Question, ...] = ()
    lacking: tuple[Path, ...] = ()


def asked_again(question: Question, unknown: Unknown, reads: Reads) -> Again:
    """What an engine is to be asked about a question, and about the calls inside it."""
    pairs = [(question, unknown)]
    found = inside.asked(question)
    if found is not None:
        if is_open(found, unknown):
            return Again(lacking=INSIDE)
        inner = zip(found.layers[1:], found.questions[1:], strict=True)
        pairs += [(each, unknown_in(layer, unknown)) for layer, each in inner]
    read = [reads(each) for each, _ in pairs]
    if all(each is None for each in read):
        return Again()
    looks = zip(pairs, read, strict=True)
    lacking = {path for (_, what), each in looks for path in filter(_not_known(what).touches, each or ())}
    return Again(lacking=tuple(sorted(lacking))) if lacking else Again(tuple(each for each, _ in pairs))


def _not_known(unknown: Unknown) -> Unknown:
    """What is not known of the document that an engine gets: hints are kept for what YAML believes only, and the time
    only about. It says nothing of risks."""
    paths = (path for path in unknown.paths if path not in OF_TOOLS)
    return Unknown((*paths, TIME, ANNOTATIONS))
