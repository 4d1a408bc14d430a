"""An OPA server as the engine: the same document, the same results, a deadline of our own, a breaker that fails closed.

The only file that knows `opa_client`; whatever it, aiohttp or a JSON parser raises becomes an `engine_error` finding.
Its retries are off: they repeat requests. The path asked comes from the configuration only. A missing `result` is not
applicable. Must not know what a finding leads to (`policy/decide.py`).
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from opa_client.opa_async import AsyncOpaClient

from policylayer.clock import Clock
from policylayer.core.call import Question
from policylayer.core.decision import RuleRef
from policylayer.core.finding import Finding
from policylayer.core.immutable import immutable
from policylayer.rego.document import Describe, document
from policylayer.rego.results import engine_failed, findings, unreadable

OPEN_AFTER: Final = 5
"""Failures in a row that open the breaker."""
OPEN_SECONDS: Final = 2.0
ANSWER_LIMIT: Final = 1024 * 1024
REVISION_MODULE: Final = "policylayer/revision.rego"


@immutable
class OpaSettings:
    """`path` is the decision's document, `deadline` in seconds for one evaluation; `push`: we manage OPA's policies."""

    url: str
    path: str = "policylayer/decision"
    token: str | None = None
    ca: str | None = None
    deadline: float = 0.25
    push: bool = False


class Unusable(Exception):
    """The server's answer is no answer; the message says why."""


class PolicyFailed(Exception):
    """The server is in order; the policy itself failed (a conflict, a builtin's error)."""


class _Client(AsyncOpaClient):  # type: ignore[misc]
    """The library's client with a CA file of our choice, no proxies from the environment, no redirects to follow."""

    ca: str | None = None

    async def _init_session(self) -> None:
        context = ssl.create_default_context(cafile=self.ca) if self.ssl else None
        connector = aiohttp.TCPConnector(ssl=context) if context else aiohttp.TCPConnector()
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        self._session = aiohttp.ClientSession(
            headers=self.headers, connector=connector, timeout=timeout, trust_env=False
        )


class OpaServer:
    """Findings from one OPA server."""

    def __init__(self, settings: OpaSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._client: Any = None
        self._failures = 0
        self._open_until = 0.0
        self.revision: str | None = None

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

    async def findings(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        """What the server says of one question, within the deadline."""
        return await self._ask(document(question, describe))

    async def listed_one(self, question: Question, describe: Describe) -> tuple[Finding, ...]:
        """The findings for one list entry, without arguments."""
        return await self._ask(document(question, describe, "list"))

    async def listed(self, questions: Sequence[Question], describe: Describe) -> list[tuple[Finding, ...]]:
        """The findings for list entries, a few at a time."""
        gate = asyncio.Semaphore(8)

        async def one(question: Question) -> tuple[Finding, ...]:
            async with gate:
                return await self.listed_one(question, describe)

        return list(await asyncio.gather(*(one(question) for question in questions)))

    @property
    def pushes(self) -> bool:
        """Whether the server's policies are ours to manage."""
        return self.settings.push

    async def push(self, files: Mapping[str, bytes], revision: str) -> str | None:
        """Make the server hold exactly these files and this revision, and read that back; or why it does not."""
        wanted = {f"policylayer/{name}": text.decode() for name, text in files.items()}
        wanted[REVISION_MODULE] = f"package policylayer.revision\n\nvalue := {orjson.dumps(revision).decode()}\n"
        try:
            async with asyncio.timeout(30):
                held = {name for name in await self._client.get_policies_list() if name.startswith("policylayer/")}
                for name, text in wanted.items():
                    await self._client.update_policy_from_string(text, quote(name, safe=""), rego_compat=False)
                for name in sorted(held - set(wanted)):
                    await self._client.delete_policy(quote(name, safe=""))
                await self.read_revision()
        except Exception as failure:
            return f"it refused the policies: {_kind(failure)}"
        return None if self.revision == revision else "it names another revision"

    async def read_revision(self) -> None:
        """Ask which revision is active: ours where we push, else a digest of the bundles' revisions."""
        if self.settings.push:
            answer = await self._client.query_rule({}, "policylayer/revision", "value")
            self.revision = answer.get("result")
            return
        answer = await self._client.query_rule({}, "system", query_params={"provenance": "true"})
        bundles = answer.get("provenance", {}).get("bundles", {})
        named = {name: each.get("revision", "") for name, each in sorted(bundles.items())}
        self.revision = "opa:" + hashlib.sha256(orjson.dumps(named)).hexdigest() if named else None

    async def _ask(self, asked: dict[str, Any]) -> tuple[Finding, ...]:
        if self._clock.monotonic() < self._open_until:
            return (engine_failed("is unreachable (not asked again yet)", self._locate),)
        try:
            async with asyncio.timeout(self.settings.deadline):
                answer = await self._query(asked)
        except TimeoutError:
            return self._failed("timed out")
        except PolicyFailed as failure:
            self._failures = 0
            return (unreadable(f"failed: {failure}", self._locate),)
        except Unusable as failure:
            return self._failed(str(failure))
        except Exception as failure:
            return self._failed(f"failed: {_kind(failure)}")
        self._failures = 0
        if "result" not in answer:
            return ()
        engine_id = answer.get("decision_id")
        read = findings(answer["result"], self._locate)
        return tuple(replace(each, engine_id=engine_id) for each in read) if isinstance(engine_id, str) else read

    async def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One POST to the data API; the library's own method reads answers of any size, so this reads a bounded one."""
        url = f"{self._client.root_url}/data/{quote(self.settings.path)}?strict-builtin-errors=true"
        body = orjson.dumps({"input": asked})
        headers = {"content-type": "application/json"}
        async with self._client._request("POST", url, data=body, headers=headers, allow_redirects=False) as response:
            text = await response.content.read(ANSWER_LIMIT + 1)
            while len(text) <= ANSWER_LIMIT and (more := await response.content.read(ANSWER_LIMIT + 1)):
                text += more
        return _read(response.status, text)

    def _failed(self, why: str) -> tuple[Finding, ...]:
        self._failures += 1
        if self._failures >= OPEN_AFTER:
            self._open_until = self._clock.monotonic() + OPEN_SECONDS
        return (engine_failed(why, self._locate),)

    def _locate(self, rule: str | None) -> RuleRef:
        return RuleRef("rego", rule or "decision", self.settings.path, 1)


def _read(status: int, text: bytes) -> dict[str, Any]:
    """The server's answer, or why it is none. OPA tells a policy's own failure by errors with a code `eval_…`."""
    if len(text) > ANSWER_LIMIT:
        raise Unusable("answered more than is read")
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        answer = None
    if status != 200:
        errors = answer.get("errors") if isinstance(answer, dict) else None
        codes = [each.get("code") for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
        if failed := [code for code in codes if isinstance(code, str) and code.startswith("eval_")]:
            raise PolicyFailed(failed[0][:60])
        raise Unusable(f"answered with status {status}")
    if not isinstance(answer, dict):
        raise Unusable("answered something that is no result")
    return answer


def _kind(failure: Exception) -> str:
    """What kind of failure it was; the text of a foreign exception can hold addresses and tokens."""
    return type(failure).__name__
