"""The connection to one OPA server: a deadline of our own, a breaker that fails closed, bounded answers, no retries.

The only file that knows `opa_client` and aiohttp; whatever they or a JSON parser raise becomes an `Unanswered`. The
library's retries are off: they repeat requests. Must not know what is asked, nor what an answer means (`server.py`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from opa_client.opa_async import AsyncOpaClient

from policylayer.clock import Clock
from policylayer.core.immutable import immutable

OPEN_AFTER: Final = 5
"""Failures in a row that open the breaker."""
OPEN_SECONDS: Final = 2.0
ANSWER_LIMIT: Final = 1024 * 1024
LIST_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of an answer, and of a list of modules with their texts, that are read."""
WRITE_SECONDS: Final = 10.0
"""For one module: the server compiles all that it holds anew."""


@immutable
class OpaSettings:
    """`path` is the decision's document, `deadline` in seconds for one evaluation; `push`: we manage OPA's policies."""

    url: str
    path: str = "policylayer/decision"
    token: str | None = None
    ca: str | None = None
    deadline: float = 0.25
    push: bool = False


class Unanswered(Exception):
    """No answer that can be used; the message continues `the Rego engine …`."""


class PolicyFailed(Exception):
    """The server is in order; the policy itself failed (a conflict, a builtin's error)."""


class NotTaken(Exception):
    """The server read a module and refused it; the message is its own, about our policies."""


class _Client(AsyncOpaClient):  # type: ignore[misc]
    """The library's client with a CA file of our choice, no proxies from the environment, no redirects to follow."""

    ca: str | None = None
    connections = 0

    async def _init_session(self) -> None:
        context = ssl.create_default_context(cafile=self.ca) if self.ssl else None
        connector = aiohttp.TCPConnector(ssl=context) if context else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        opened = aiohttp.TraceConfig()
        opened.on_connection_create_end.append(self._opened)
        self._session = aiohttp.ClientSession(
            headers=self.headers, connector=connector, timeout=timeout, trust_env=False, trace_configs=[opened]
        )

    async def _opened(self, *_: Any) -> None:
        self.connections += 1


class Connection:
    """One OPA server's HTTP interface."""

    def __init__(self, settings: OpaSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._client: Any = None
        self._failures = 0
        self._open_until = 0.0

    async def start(self) -> None:
        """Open the client; the server need not be there yet."""
        parts = urlsplit(self.settings.url)
        secure = parts.scheme == "https"
        client = _Client(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if secure else 8181),
            ssl=secure,
            token=self.settings.token,
            retries=0,
            timeout=self.settings.deadline * 4,
        )
        client.ca = self.settings.ca
        self._client = await client.__aenter__()

    async def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            await self._client.__aexit__(None, None, None)

    @property
    def state(self) -> str:
        """`closed` (in order), `open` (failing closed until tried again), for /readyz and metrics."""
        return "open" if self._clock.monotonic() < self._open_until else "closed"

    @property
    def connections(self) -> int:
        """How many have been opened so far: what a server that was started anew answers comes over a new one."""
        return int(self._client.connections)

    async def ask(self, path: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a document is for this input, within the deadline. Raises `Unanswered`, `PolicyFailed`."""
        if self._clock.monotonic() < self._open_until:
            raise Unanswered("is unreachable (not asked again yet)")
        try:
            async with asyncio.timeout(self.settings.deadline):
                answer = _read(*await self._data(path, "strict-builtin-errors=true", document))
        except PolicyFailed:
            self._failures = 0
            raise
        except Exception as failure:
            self._failures += 1
            if self._failures >= OPEN_AFTER:
                self._open_until = self._clock.monotonic() + OPEN_SECONDS
            raise _unanswered(failure) from None
        self._failures = 0
        return answer

    async def has_rules(self, path: str) -> bool:
        """Whether there is a rule for this document, whatever it is for an input: then it is in an evaluation's trace.

        Raises `Unanswered`. Of a long trace the beginning will do.
        """
        try:
            async with asyncio.timeout(self.settings.deadline):
                status, text = await self._data(path, "explain=full", {})
        except Exception as failure:
            raise _unanswered(failure) from None
        if status == 200:
            return b'"op":"index"' in text  # No string of a policy can look so: its quotes are escaped.
        try:
            return bool(_read(status, text))
        except PolicyFailed:
            return True
        except Unanswered as failure:
            raise failure from None

    async def put(self, name: str, text: str) -> None:
        """Put one module on the server. Raises `NotTaken` where the server refuses it, `Unanswered`."""
        status, answer = await self._policies("PUT", name, text.encode())
        if status == 400:
            raise NotTaken(_refusal(answer))
        if status != 200:
            raise Unanswered(f"answered with status {status}")

    async def delete(self, name: str) -> None:
        """Take one module off the server; one that is not there is gone. Raises `Unanswered`."""
        status, _ = await self._policies("DELETE", name)
        if status not in (200, 404):
            raise Unanswered(f"answered with status {status}")

    async def modules(self) -> dict[str, str]:
        """The text of every module on the server by its name. Raises `Unanswered`."""
        status, answer = await self._policies("GET")
        if status != 200:
            _no(status)
        try:
            return {each["id"]: each.get("raw", "") for each in orjson.loads(answer).get("result", ())}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise Unanswered("answered something that is no list of modules") from None

    async def _data(self, path: str, query: str, document: Mapping[str, Any]) -> tuple[int, bytes]:
        body = orjson.dumps({"input": document})
        return await self._send("POST", f"data/{quote(path)}?{query}", body, "application/json", ANSWER_LIMIT)

    async def _policies(self, method: str, name: str | None = None, body: bytes | None = None) -> tuple[int, bytes]:
        path = "policies" if name is None else f"policies/{quote(name, safe='')}"
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await self._send(method, path, body, "text/plain", LIST_LIMIT)
        except Exception as failure:
            raise _unanswered(failure) from None

    async def _send(self, method: str, path: str, body: bytes | None, kind: str, limit: int) -> tuple[int, bytes]:
        """One request; the library's own methods read answers of any size, so this reads a bounded one."""
        url, headers = f"{self._client.root_url}/{path}", {"content-type": kind}
        options = {"data": body, "headers": headers, "allow_redirects": False, "timeout": _OWN_DEADLINE}
        async with self._client._request(method, url, **options) as response:
            text = await response.content.read(limit + 1)
            while len(text) <= limit and (more := await response.content.read(limit + 1)):
                text += more
        return response.status, text


_OWN_DEADLINE: Final = aiohttp.ClientTimeout(total=None)
"""Who asks has set one."""


def _read(status: int, text: bytes) -> dict[str, Any]:
    """The server's answer, or why it is none. OPA tells a policy's own failure by errors with a code `eval_…`."""
    if len(text) > ANSWER_LIMIT:
        raise Unanswered("answered more than is read")
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        answer = None
    if status != 200:
        failed = [code for each in _errors(answer) if (code := str(each.get("code"))).startswith("eval_")]
        if failed:
            raise PolicyFailed(failed[0][:60])
        _no(status)
    if not isinstance(answer, dict):
        raise Unanswered("answered something that is no result")
    return answer


def _errors(answer: Any) -> list[dict[str, Any]]:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    return [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


def _refusal(text: bytes) -> str:
    """The first error that the server tells of a module: what, and in which line."""
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        answer = None
    for each in _errors(answer):
        place = each.get("location")
        row = place.get("row") if isinstance(place, dict) else None
        message = "".join(c for c in str(each.get("message"))[:300] if c.isprintable())
        return f"line {row}: {message}" if isinstance(row, int) else message
    return "without saying why"


def _no(status: int) -> Any:
    raise Unanswered(f"answered with status {status}")


WAYS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, "timed out"),
    (aiohttp.ClientConnectorDNSError, "cannot be reached: the name of its host is not known"),
    (aiohttp.ClientSSLError, "cannot be reached: no trusted encrypted connection comes about"),
    (aiohttp.ClientConnectorError, "cannot be reached: nothing answers there"),
    (aiohttp.ServerConnectionError, "ended the connection without an answer"),
    (aiohttp.ClientResponseError, "answered something that is no HTTP"),
    (aiohttp.ClientError, "cannot be asked: the connection broke"),
    (OSError, "cannot be asked: the connection broke"),
)
"""How asking fails, the first that fits."""


def _unanswered(failure: Exception) -> Unanswered:
    """The failure in our words; the text of a foreign exception can hold addresses and tokens."""
    if isinstance(failure, Unanswered):
        return failure
    return Unanswered(next((said for kind, said in WAYS if isinstance(failure, kind)), "cannot be asked"))
