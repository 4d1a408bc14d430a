"""The recording server of the attacks: with streams, tasks, annotated tools, and lists that never end.

What it received, and whether a row let it through, `Watched` keeps. What it does instead of answering properly is in
tests/support/misbehaviour.py; three rounds of questions are added to that here.
"""

from __future__ import annotations

import asyncio
import base64
from asyncio import StreamWriter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.invariants import Watched
from tests.support.misbehaviour import BEHAVIOURS, SSE_HEAD, chunk, event, http, message, result_of
from tests.support.recording import SCHEMA, TOOLS, Received

ROUTED = {
    "type": "object",
    "properties": {
        "tenant": {"type": "string", "x-mcp-header": "Tenant"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
    },
}
ROUNDS = 3


async def _three_rounds(writer: StreamWriter, received: Received) -> None:
    """Asks three times, each time another question, then answers."""
    state = received.params.get("requestState")
    number = 0 if state is None else int(str(state).removeprefix("round-"))
    if number == ROUNDS:
        writer.write(http(message(received, result=result_of(received, "three rounds done"))))
        return
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    form = {"mode": "form", "message": f"question {number + 1}?", "requestedSchema": schema}
    asked = {f"q{number + 1}": {"method": "elicitation/create", "params": form}}
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": f"round-{number + 1}"}
    writer.write(http(message(received, result=result)))


async def _asks_sampling(writer: StreamWriter, received: Received) -> None:
    """Asks for the agent's own model, which no rule here allows."""
    content = {"type": "text", "text": "CANARY-PROMPT"}
    params = {"messages": [{"role": "user", "content": content}], "maxTokens": 10}
    asked = {"s": {"method": "sampling/createMessage", "params": params}}
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": "x"}
    writer.write(http(message(received, result=result)))


async def _asks_page(writer: StreamWriter, received: Received) -> None:
    """Asks the person to open the page that the arguments name."""
    page = {"mode": "url", "message": "open", "elicitationId": "1", "url": received.params["arguments"]["url"]}
    asked = {"p": {"method": "elicitation/create", "params": page}}
    result = {"resultType": "input_required", "inputRequests": asked, "requestState": "x"}
    writer.write(http(message(received, result=result)))


async def _said(writer: StreamWriter, received: Received) -> None:
    """Says the bytes that the arguments hold."""
    arguments = received.params["arguments"]
    writer.write(base64.b64decode(arguments["said"]))
    await writer.drain()
    if arguments["close"]:
        writer.close()


BEHAVIOURS.update(said=_said)
BEHAVIOURS.update(three_rounds=_three_rounds, asks_sampling=_asks_sampling, asks_page=_asks_page)


@dataclass
class Server(Watched):
    """A recording server. `lists`: how tools/list is answered; `said` are texts that its GET streams carry."""

    lists: str = "proper"
    said: tuple[bytes, ...] = ()

    def __init__(self, name: str, arrived: Callable[[str, Received], None], lists: str = "proper") -> None:
        super().__init__(name, arrived, tools=(*TOOLS, "pay", "routed"))
        self.lists = lists
        self.said = ()

    async def _answer(self, writer: Any, received: Received) -> None:
        if received.verb == "GET" and received.header("mcp-session-id") is not None:
            writer.write(SSE_HEAD + chunk(b": open\n\n") + b"".join(chunk(event(text)) for text in self.said))
            await writer.drain()
            await asyncio.Event().wait()
        await super()._answer(writer, received)

    def _proper(self, received: Received) -> bytes:
        if received.method == "tools/list" and self.lists == "broken":
            return http(message(received, error={"code": -32603, "message": "no list"}))
        if received.method == "tools/list" and self.lists == "endless":
            number = int(received.params.get("cursor") or 0) + 1
            more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"} if received.modern else {}
            tools = [self._tool(f"tool-{number}")]
            return http(message(received, result={"tools": tools, "nextCursor": str(number), **more}))
        if received.method in ("prompts/get", "resources/read", "completion/complete") and received.id is not None:
            return http(message(received, result=self._got(received)))
        if received.method in ("tasks/get", "tasks/result", "tasks/cancel") and received.id is not None:
            task = {"taskId": received.params.get("taskId"), "status": "completed"}
            result = result_of(received, "the task's result") if received.method == "tasks/result" else task
            return http(message(received, result=result))
        return super()._proper(received)

    def _got(self, received: Received) -> dict[str, Any]:
        more = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if received.modern else {}
        if received.method == "resources/read":
            return {"contents": [{"uri": received.params["uri"], "text": "one"}], **more}
        if received.method == "completion/complete":
            return {"completion": {"values": ["world"]}, **more}
        return {"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}], **more}

    def _called(self, received: Received) -> dict[str, Any]:
        if "task" in received.params:
            created = "2026-11-23T00:00:00Z"
            task = {"taskId": f"task-{len(self.calls)}", "status": "working", "createdAt": created, "ttl": 60000}
            return {"task": {**task, "lastUpdatedAt": created}}
        return super()._called(received)

    def _tool(self, name: str) -> dict[str, Any]:
        made = super()._tool(name)
        return {**made, "inputSchema": ROUTED if name == "routed" else SCHEMA}
