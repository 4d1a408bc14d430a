"""Pure: how much of a message is read before it is refused.

Must not know what a message means; `core/strict_json.py` and `message` apply these.
"""

from __future__ import annotations

from typing import Final

from policylayer.core.immutable import immutable
from policylayer.core.strict_json import Bounds
from policylayer.core.text import LONGEST_NAME


@immutable
class Limits(Bounds):
    """Caps of one message. Sizes are bytes, `name` is characters; `depth` and `nodes` concern the whole message."""

    meta: int = 16 * 1024
    id: int = 256
    name: int = LONGEST_NAME
    uri: int = 8 * 1024
    resources: int = 64


DEFAULT: Final = Limits()
"""What agents may send."""

SERVER: Final = Limits(size=32 * 1024 * 1024, depth=128, nodes=500_000)
"""What servers may send, unless the server's settings say otherwise: results are larger than calls. A list
of 2,000 tools, each with 30 described parameters and results, has 400,000 values."""
