"""The process that judges one revision and ends.

Started by `judge.py` with an empty environment and nothing open; it warms up while the files come to rest. One pickled
`Case` in, one pickled `Finding` out; both ends are this program. What is done is in `judging.py`.
"""

from __future__ import annotations

import gc
import pickle
import resource
import sys
from typing import Final

from policylayer.revisions.judging import Case, judge

MEMORY: Final = 2 << 30
"""Bytes of address space."""


def main() -> None:
    """One case."""
    gc.disable()  # It ends before there is anything worth looking for.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    case: Case = pickle.load(sys.stdin.buffer)
    resource.setrlimit(resource.RLIMIT_CPU, (case.seconds, case.seconds))
    sys.stdout.buffer.write(pickle.dumps(judge(case)))


if __name__ == "__main__":
    main()
