"""The tools of the conformance fixture (`mcp_fixture.py`), each as its scenarios want it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged

from tests.support import mcp_fixture_data as data

Context = ServerRequestContext[Any, Any]
Result = types.CallToolResult | types.InputRequiredResult
Tool = Callable[[Context, types.CallToolRequestParams], Awaitable[Result]]

MODERN = "2026-07-28"
BUS = InMemorySubscriptionBus()
TOOLS: dict[str, Tool] = {}


def tool(name: str) -> Callable[[Tool], Tool]:
    """Register a tool."""

    def register(function: Tool) -> Tool:
        TOOLS[name] = function
        return function

    return register


def said(*content: Any, **more: Any) -> types.CallToolResult:
    """A result of text and other content."""
    parts = [types.TextContent(text=part) if isinstance(part, str) else part for part in content]
    return types.CallToolResult(content=parts, **more)


def ask(requests: dict[str, Any], state: str | None = None) -> types.InputRequiredResult:
    """Ask the client for input."""
    return types.InputRequiredResult.model_validate({"inputRequests": requests, "requestState": state})


def answer_of(params: Any, key: str, kind: type[Any]) -> Any:
    """The client's usable answer to one question, or None."""
    found = (params.input_responses or {}).get(key)
    if not isinstance(found, kind):
        return None
    return None if isinstance(found, types.ElicitResult) and found.content is None else found


# --- plain tools ------------------------------------------------------------------------------------------------------


@tool("test_simple_text")
async def simple_text(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said("This is a simple text response for testing.")


@tool("test_image_content")
async def image(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said(data.IMAGE)


@tool("test_audio_content")
async def audio(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said(data.AUDIO)


@tool("test_embedded_resource")
async def embedded(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said(data.embedded("test://embedded-resource", "This is an embedded resource content."))


@tool("test_multiple_content_types")
async def mixed(ctx: Context, params: types.CallToolRequestParams) -> Result:
    text = '{"test":"data","value":123}'
    return said(
        "Multiple content types test:",
        data.IMAGE,
        data.embedded("test://mixed-content-resource", text, "application/json"),
    )


@tool("test_error_handling")
async def failing(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said("This tool intentionally returns an error for testing", is_error=True)


@tool("test_tool_with_logging")
async def logging(ctx: Context, params: types.CallToolRequestParams) -> Result:
    for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)
        await anyio.sleep(0.05)
    return said("Tool with logging executed successfully")


@tool("test_logging_tool")
async def logging_once(ctx: Context, params: types.CallToolRequestParams) -> Result:
    await ctx.session.send_log_message("info", "logged", related_request_id=ctx.request_id)
    return said("logged if asked to")


@tool("test_tool_with_progress")
async def progress(ctx: Context, params: types.CallToolRequestParams) -> Result:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await anyio.sleep(0.05)
    return said("Tool with progress executed successfully")


@tool("test_reconnection")
async def reconnection(ctx: Context, params: types.CallToolRequestParams) -> Result:
    await anyio.sleep(0.1)
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    await anyio.sleep(0.1)
    return said("Reconnection test completed successfully. If you received this, the client properly reconnected.")


@tool("greet")
async def greet(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said(f"Hello, {(params.arguments or {}).get('name', 'world')}!")


@tool("slow_compute")
async def slow_compute(ctx: Context, params: types.CallToolRequestParams) -> Result:
    """The suite would have a task of this; a server without the tasks extension just answers."""
    return said("computed")


@tool("json_schema_2020_12_tool")
async def rich_schema(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said("a tool with a rich schema")


@tool("test_header_param")
async def header_param(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return said(f"region {(params.arguments or {}).get('region')}")


@tool("test_trigger_tool_change")
async def tools_changed(ctx: Context, params: types.CallToolRequestParams) -> Result:
    await BUS.publish(ToolsListChanged())
    return said("announced")


@tool("test_trigger_prompt_change")
async def prompts_changed(ctx: Context, params: types.CallToolRequestParams) -> Result:
    await BUS.publish(PromptsListChanged())
    return said("announced")


# --- tools that ask the client, handshake era -------------------------------------------------------------------------


@tool("test_sampling")
async def sampling(ctx: Context, params: types.CallToolRequestParams) -> Result:
    prompt = types.SamplingMessage(role="user", content=types.TextContent(text=(params.arguments or {})["prompt"]))
    result = await ctx.session.create_message([prompt], max_tokens=100, related_request_id=ctx.request_id)
    text = result.content.text if isinstance(result.content, types.TextContent) else ""
    return said(f"LLM response: {text}")


async def elicited(ctx: Context, message: str, schema: dict[str, Any], prefix: str) -> Result:
    """Ask a form of the user, and tell what came of it."""
    if ctx.protocol_version >= MODERN:
        return said("not at this revision", is_error=True)
    result = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return said(f"{prefix}: action={result.action}, content={result.content}")


@tool("test_elicitation")
async def elicitation(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return await elicited(ctx, (params.arguments or {})["message"], data.USER_FORM, "User response")


@tool("test_elicitation_sep1034_defaults")
async def elicitation_defaults(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return await elicited(ctx, "Please review the defaults", data.DEFAULTS_FORM, "Elicitation completed")


@tool("test_elicitation_sep1330_enums")
async def elicitation_enums(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return await elicited(ctx, "Please choose", data.ENUMS_FORM, "Elicitation completed")


# --- tools that ask the client, 2026-07-28 ----------------------------------------------------------------------------


@tool("test_missing_capability")
async def missing_capability(ctx: Context, params: types.CallToolRequestParams) -> Result:
    declared = ctx.session.client_capabilities
    if declared is None or declared.sampling is None:
        required = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs the sampling capability", required)
    return said("the capability is there")


@tool("test_streaming_elicitation")
async def streaming_elicitation(ctx: Context, params: types.CallToolRequestParams) -> Result:
    if answer_of(params, "user_name", types.ElicitResult):
        return said("done")
    await ctx.session.report_progress(1, 2)
    return ask({"user_name": data.NAME_QUESTION})


@tool("test_input_required_result_elicitation")
async def ask_name(ctx: Context, params: types.CallToolRequestParams) -> Result:
    given = answer_of(params, "user_name", types.ElicitResult)
    return said(f"Hello, {given.content.get('name')}!") if given else ask({"user_name": data.NAME_QUESTION})


@tool("test_input_required_result_sampling")
async def ask_sampling(ctx: Context, params: types.CallToolRequestParams) -> Result:
    given = answer_of(params, "capital_question", types.CreateMessageResult)
    return said(given.content.text) if given else ask({"capital_question": data.CAPITAL_QUESTION})


@tool("test_input_required_result_list_roots")
async def ask_roots(ctx: Context, params: types.CallToolRequestParams) -> Result:
    given = answer_of(params, "client_roots", types.ListRootsResult)
    if given is None:
        return ask({"client_roots": data.ROOTS_QUESTION})
    return said("roots: " + ", ".join(str(root.uri) for root in given.roots))


@tool("test_input_required_result_request_state")
async def ask_with_state(ctx: Context, params: types.CallToolRequestParams) -> Result:
    if params.request_state == "asked" and answer_of(params, "confirm", types.ElicitResult):
        return said("state-ok")
    return ask({"confirm": data.CONFIRM_QUESTION}, "asked")


@tool("test_input_required_result_tampered_state")
async def ask_sealed(ctx: Context, params: types.CallToolRequestParams) -> Result:
    return await ask_with_state(ctx, params)


@tool("test_input_required_result_multiple_inputs")
async def ask_several(ctx: Context, params: types.CallToolRequestParams) -> Result:
    questions = {
        "user_name": data.NAME_QUESTION,
        "greeting": data.GREETING_QUESTION,
        "client_roots": data.ROOTS_QUESTION,
    }
    if params.request_state == "several" and questions.keys() <= (params.input_responses or {}).keys():
        return said("all inputs received")
    return ask(questions, "several")


@tool("test_input_required_result_multi_round")
async def ask_twice(ctx: Context, params: types.CallToolRequestParams) -> Result:
    if params.request_state == "round-2" and answer_of(params, "step2", types.ElicitResult):
        return said("both steps done")
    if params.request_state == "round-1" and answer_of(params, "step1", types.ElicitResult):
        return ask({"step2": data.form("Step 2: What is your favorite color?", color="string")}, "round-2")
    return ask({"step1": data.form("Step 1: What is your name?", name="string")}, "round-1")


@tool("test_input_required_result_capabilities")
async def ask_what_can_be_asked(ctx: Context, params: types.CallToolRequestParams) -> Result:
    declared = ctx.session.client_capabilities or types.ClientCapabilities()
    questions: dict[str, Any] = {}
    if declared.sampling is not None:
        questions["capital_question"] = data.CAPITAL_QUESTION
    if declared.elicitation is not None:
        questions["user_name"] = data.NAME_QUESTION
    if questions.keys() <= (params.input_responses or {}).keys():
        return said("nothing left to ask")
    return ask(questions)
