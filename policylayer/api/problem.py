"""The one shape of every error that HTTP callers of ours see: RFC 9457, with a stable `code`.

Must not know routes. Never carries a value that the caller sent, nor a stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson

CONTENT_TYPE: Final = "application/problem+json"

CODES: Final[Mapping[str, int]] = {
    "bad_request": 400,
    "bad_parameter": 400,
    "bad_body": 400,
    "bad_cursor": 400,
    "unauthenticated": 401,
    "insufficient_role": 403,
    "self_approval": 403,
    "not_an_approver": 403,
    "bad_origin": 403,
    "not_found": 404,
    "not_decided": 409,
    "method_not_allowed": 405,
    "state": 409,
    "exists": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "bad_host": 421,
    "note_required": 422,
    "waiver": 422,
    "refused": 422,
    "too_many_attempts": 429,
    "internal": 500,
    "unavailable": 503,
}
"""Every code, with the status it comes with."""


NEWEST: Final = "`policylayer audit query` lists the newest, with their ids"
"""Where a decision is named that there is not."""

NO_TOKEN: Final = "no such token stands"
TOKENS: Final = "`policylayer token list` lists those that stand, with their ids"
NO_GRANT: Final = "no such grant stands"
GRANTS: Final = "`policylayer grant list` lists those that stand, with their ids"


class Problem(Exception):
    """An answer that is an error. `extra` are further members, `headers` further headers."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = CODES[code]
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self) -> bytes:
        """The JSON document."""
        return orjson.dumps(
            {
                "type": "about:blank",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "code": self.code,
                "detail": self.detail,
                **self.extra,
            }
        )
