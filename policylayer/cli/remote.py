"""The API over HTTP, as `reach.py` needs it. Must not know any route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

import httpx2
import orjson

from policylayer.cli.exits import CommandError, UsageError
from policylayer.cli.reach import problem
from policylayer.config import values

PREFIX: Final = "/api/v1"
TIMEOUT: Final = 30.0
ERRNO: Final = re.compile(r"^\[errno -?[0-9]+\] |^\[ssl: \w+\] | \(_ssl\.c:[0-9]+\)$")
"""What the system and the TLS library put around their own words, which say all of it."""

PLAIN: Final = ("wrong_version_number", "record_layer_failure", "http_request")
"""How the TLS library calls an answer that is no TLS."""


class Remote:
    """A client of one proxy's API."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        if values.base_url(self.url) is None:
            raise UsageError("--url is not the proxy's URL", "write it like `http://127.0.0.1:8080`, without a path")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError("--token is not a token", "copy it whole, as `policylayer token create` showed it")
        headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
        self._client = httpx2.Client(
            base_url=self.url + PREFIX, headers=headers, timeout=TIMEOUT, follow_redirects=False, trust_env=False
        )

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON that the route answers."""
        try:
            answer = self._client.request(method, path, params=dict(query or {}), json=body)
        except httpx2.TimeoutException:
            raise CommandError(f"`{self.url}` did not answer in {TIMEOUT:g}s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _not_reached(self.url, str(error).lower() or type(error).__name__) from None
        try:
            value = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            raise CommandError(f"`{self.url}` did not answer as policylayer does", "look at --url") from None
        if answer.is_success:
            return value
        raise problem(value, answer.status_code)


def _not_reached(url: str, why: str) -> CommandError:
    if url.startswith("https:") and any(name in why for name in PLAIN):
        plain = f"http:{url.removeprefix('https:')}"
        return CommandError(f"what listens at `{url}` speaks http, not https", f"is it `--url {plain}`?")
    help = "is the proxy running (`policylayer serve`), and is --url where it listens?"
    return CommandError(f"cannot reach `{url}`: {ERRNO.sub('', why)}", help)
