"""The contents of the conformance fixture: schemas, forms, questions, resources and prompts. No behaviour."""

from __future__ import annotations

import base64
import re
import struct
from typing import Any

import mcp_types as types

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = base64.b64encode(
    b"RIFF"
    + struct.pack("<I", 36)
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data"
    + struct.pack("<I", 0)
).decode()
IMAGE = types.ImageContent(data=PNG, mime_type="image/png")
AUDIO = types.AudioContent(data=WAV, mime_type="audio/wav")


def embedded(uri: str, text: str, kind: str = "text/plain") -> types.EmbeddedResource:
    """A resource inside a result."""
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=kind, text=text))


def user(content: Any) -> types.PromptMessage:
    """A message of the user's."""
    return types.PromptMessage(
        role="user", content=types.TextContent(text=content) if isinstance(content, str) else content
    )


# --- schemas of tools -------------------------------------------------------------------------------------------------

RICH: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _strings(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": [*names], **more}


SCHEMAS: dict[str, dict[str, Any]] = {
    "json_schema_2020_12_tool": RICH,
    "test_sampling": _strings("prompt"),
    "test_elicitation": _strings("message"),
    "test_header_param": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
}

# --- forms and questions ----------------------------------------------------------------------------------------------

USER_FORM = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}
DEFAULTS_FORM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}


def _titled(prefix: str, *titles: str) -> list[dict[str, str]]:
    return [{"const": f"{prefix}{number}", "title": title} for number, title in enumerate(titles, start=1)]


ENUMS_FORM = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": _titled("value", "First Option", "Second Option", "Third Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": _titled("value", "First Choice", "Second Choice", "Third Choice")},
        },
    },
    "required": [],
}


def form(message: str, **fields: str) -> dict[str, Any]:
    """An elicitation of a form with required fields of these types."""
    schema = {"type": "object", "properties": {n: {"type": t} for n, t in fields.items()}, "required": [*fields]}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def sample(text: str, most: int) -> dict[str, Any]:
    """A request for a model's answer."""
    message = {"role": "user", "content": {"type": "text", "text": text}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": most}}


NAME_QUESTION = form("What is your name?", name="string")
CONFIRM_QUESTION = form("Please confirm", ok="boolean")
CAPITAL_QUESTION = sample("What is the capital of France?", 100)
GREETING_QUESTION = sample("Generate a greeting", 50)
ROOTS_QUESTION = {"method": "roots/list", "params": {}}

# --- resources --------------------------------------------------------------------------------------------------------

RESOURCES = [
    types.Resource(
        uri="test://static-text", name="Static text", description="A static text resource", mime_type="text/plain"
    ),
    types.Resource(
        uri="test://static-binary", name="Static binary", description="A static image", mime_type="image/png"
    ),
    types.Resource(
        uri="test://watched-resource", name="Watched", description="A resource to watch", mime_type="text/plain"
    ),
]
TEMPLATES = [
    types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="Template", description="Data", mime_type="application/json"
    )
]


def read(uri: str) -> types.TextResourceContents | types.BlobResourceContents | None:
    """The contents of a resource."""
    if uri == "test://static-text":
        text = "This is the content of the static text resource."
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text=text)
    if uri == "test://static-binary":
        return types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri == "test://watched-resource":
        return types.TextResourceContents(uri=uri, mime_type="text/plain", text="watched")
    if found := re.fullmatch(r"test://template/([^/]+)/data", uri):
        id = found.group(1)
        text = f'{{"id":"{id}","templateTest":true,"data":"Data for ID: {id}"}}'
        return types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
    return None


# --- prompts ----------------------------------------------------------------------------------------------------------


def _prompt(name: str, *arguments: str) -> types.Prompt:
    listed = [types.PromptArgument(name=one, description=f"The {one}", required=True) for one in arguments]
    return types.Prompt(name=name, description=f"Conformance prompt {name}", arguments=listed)


PROMPTS = [
    _prompt("test_simple_prompt"),
    _prompt("test_prompt_with_arguments", "arg1", "arg2"),
    _prompt("test_prompt_with_embedded_resource", "resourceUri"),
    _prompt("test_prompt_with_image"),
    _prompt("test_input_required_result_prompt"),
]


def prompt(name: str, given: dict[str, str]) -> list[types.PromptMessage] | None:
    """The messages of a prompt."""
    if name == "test_simple_prompt":
        return [user("This is a simple prompt for testing.")]
    if name == "test_prompt_with_arguments":
        return [user(f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'")]
    if name == "test_prompt_with_embedded_resource":
        resource = embedded(given.get("resourceUri", ""), "Embedded resource content for testing.")
        return [user(resource), user("Please process the embedded resource above.")]
    if name == "test_prompt_with_image":
        return [user(IMAGE), user("Please analyze the image above.")]
    return None
