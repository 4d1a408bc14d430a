"""The frame between proxy and worker: four bytes of length, big-endian, then one JSON object. Knows nothing else."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct(">I")
