"""The process in which Rego is parsed and evaluated: frames in on descriptor 0, out on 1; it can be killed.

The first frame loads units (texts) and is answered with their problems; the next ones evaluate. Started by `pool.py`
with an empty environment and a memory cap; must not import the proxy. What the frames ask is in `units.py`.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from policylayer.rego.frames import HEADER


def _read(size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = os.read(0, size - len(parts))
        if not chunk:
            sys.exit(0)
        parts += chunk
    return bytes(parts)


def _write(body: bytes) -> None:
    view = memoryview(HEADER.pack(len(body)) + body)
    while view:
        view = view[os.write(1, view) :]


def main() -> None:
    """Serve frames until the pipe closes. `argv[1]` is the memory cap in bytes."""
    cap = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))  # not RLIMIT_AS: the engine reserves a gigabyte it never uses
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    from policylayer.rego.units import Units  # only now: the engine's allocator must meet the cap when it starts

    units = Units()
    while True:
        (size,) = HEADER.unpack(_read(HEADER.size))
        _write(json.dumps(units.answer(json.loads(_read(size)))).encode())  # noqa: TID251 - the proxy's own frames


if __name__ == "__main__":
    main()
