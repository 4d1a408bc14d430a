"""Pure: input that is refused before policy sees it.

Must not know where the refused bytes came from. What becomes of a rejection on the wire is in `replies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from policylayer.core.call import Json
from policylayer.core.immutable import immutable

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

Id: TypeAlias = int | str


@immutable
class Rejection:
    """Why input is refused: `status` of the HTTP answer, `code` of the JSON-RPC error.

    `reason` is a short slug for the record; `message` is for the sender and never repeats what it sent.
    `id` is the request's, once it is known to be a valid one; `data` what the specification asks the error to carry.
    """

    status: int
    code: int
    reason: str
    message: str
    id: Id | None = None
    data: Mapping[str, Json] | None = None
