"""Pure: how much of a message is read before it is refused.

Must not know what a message means; `strict_json` and `message` apply these.
"""

from __future__ import annotations

from typing import Final

from policylayer.core.immutable import immutable


@immutable
class Limits:
    """Caps of one message. Sizes are bytes, `name` is characters; `depth` and `nodes` concern the whole message."""

    size: int = 4 * 1024 * 1024
    depth: int = 64
    nodes: int = 200_000
    meta: int = 16 * 1024
    id: int = 256
    name: int = 128
    uri: int = 8 * 1024
    resources: int = 64


DEFAULT: Final = Limits()
"""What agents may send. The node cap keeps the decoded form of a 4 MiB body within a few times its size."""

SERVER: Final = Limits(size=32 * 1024 * 1024, depth=128, nodes=1_000_000)
"""What servers may send, unless the server's settings say otherwise: results are larger than calls."""
