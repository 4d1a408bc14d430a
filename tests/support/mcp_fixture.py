"""The server that the conformance suite tests against: every tool, prompt and resource that its scenarios name.

Built on the low-level server of the `mcp` SDK, both eras on one endpoint. As a program:
`python -m tests.support.mcp_fixture --port 0` prints `listening on URL`. What a tool must do is said by the suite
itself (`@modelcontextprotocol/conformance list`, and the messages of failing checks).
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import mcp_types as types
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

from policylayer.examples.hosting import listen
from tests.support import mcp_fixture_data as data
from tests.support.mcp_fixture_tools import BUS, MODERN, TOOLS, Context, Result, answer_of, ask

# --- lists, resources, prompts ----------------------------------------------------------------------------------------


async def list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=name,
                description=f"Conformance tool {name}",
                input_schema=data.SCHEMAS.get(name, {"type": "object", "properties": {}}),
            )
            for name in TOOLS
        ]
    )


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> Result:
    function = TOOLS.get(params.name)
    if function is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
    return await function(ctx, params)


async def list_resources(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=data.RESOURCES)


async def list_templates(
    ctx: Context, params: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult(resource_templates=data.TEMPLATES)


async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    contents = data.read(str(params.uri))
    if contents is None:
        code = types.INVALID_PARAMS if ctx.protocol_version >= MODERN else -32002
        raise MCPError(code, "Resource not found", {"uri": str(params.uri)})
    return types.ReadResourceResult(contents=[contents])


async def accept(ctx: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def list_prompts(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
    return types.ListPromptsResult(prompts=data.PROMPTS)


async def get_prompt(
    ctx: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    if params.name == "test_input_required_result_prompt":
        given = answer_of(params, "user_context", types.ElicitResult)
        if given is None:
            return ask({"user_context": data.form("What context should the prompt use?", context="string")})
        return types.GetPromptResult(messages=[data.user(f"Use this context: {given.content.get('context')}")])
    messages = data.prompt(params.name, params.arguments or {})
    if messages is None:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return types.GetPromptResult(messages=messages)


async def complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


class Events(EventStore):
    """Keeps all events of all streams, so that a dropped stream can be resumed."""

    def __init__(self) -> None:
        self._events: list[tuple[StreamId, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: StreamId, message: types.JSONRPCMessage | None) -> EventId:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        if not last_event_id.isdigit() or not 0 < int(last_event_id) <= len(self._events):
            return None
        stream = self._events[int(last_event_id) - 1][0]
        for number, (its, message) in enumerate(list(self._events), start=1):
            if its == stream and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def build() -> Server[Any]:
    """The server with all of the above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        server: Server[Any] = Server(
            "conformance-fixture",
            version="1.0.0",
            get_tool_input_schema=data.SCHEMAS.get,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
            on_list_resources=list_resources,
            on_list_resource_templates=list_templates,
            on_read_resource=read_resource,
            on_subscribe_resource=accept,
            on_unsubscribe_resource=accept,
            on_subscriptions_listen=ListenHandler(BUS),
            on_list_prompts=list_prompts,
            on_get_prompt=get_prompt,
            on_completion=complete,
            on_set_logging_level=accept,
        )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience="fixture"))
    return server


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="the conformance fixture server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/mcp", help="where the endpoint is")
    given = parser.parse_args()
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    app = build().streamable_http_app(streamable_http_path=given.path, event_store=Events(), retry_interval=500)
    listen(app, given.port, given.path)


if __name__ == "__main__":
    main()
