"""Tools that answer by themselves: every kind of content, schemas that must survive untouched, notifications on the
way, a stream closed in mid-call, and the triggers of change notifications.

Names and argument shapes are the suite's. The first tool must accept a call without arguments: header scenarios call
whichever tool the list puts first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio
from mcp.server.subscriptions import PromptsListChanged, ToolsListChanged
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
"""A red pixel."""
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
"""A WAV file without samples."""

STEP_SECONDS = 0.05
"""Long enough for notifications to travel as separate events."""
AFTER_CLOSE_SECONDS = 0.1
"""Longer than a client needs to see its stream closed."""

RICH_SCHEMA = {
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
"""The parts of JSON Schema 2020-12 that careless intermediaries drop."""

MIRRORED_SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "description": "Mirrored into Mcp-Param-Region", "x-mcp-header": "Region"},
        "level": {"type": "integer", "description": "Not mirrored"},
    },
}


@dataclass(frozen=True)
class Tool:
    """A tool; `run` takes the call and returns the result. A stateful one trusts answers only with its own state."""

    name: str
    description: str
    run: Callable
    schema: dict | None = None
    stateful: bool = False

    def listed(self):
        schema = self.schema or {"type": "object", "properties": {}}
        return {"name": self.name, "description": self.description, "inputSchema": schema}


class Announcer:
    """Tells whoever listens that a list changed: modern streams by the bus, a legacy client on its own session."""

    def __init__(self, bus):
        self._bus = bus

    async def tools(self, session):
        await self._bus.publish(ToolsListChanged())
        if session.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await session.send_tool_list_changed()

    async def prompts(self, session):
        await self._bus.publish(PromptsListChanged())
        if session.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            await session.send_prompt_list_changed()


def text(value):
    return {"type": "text", "text": value}


def image():
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def embedded(uri, mime_type, content):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": content}}


def answer(*content):
    return {"content": list(content)}


def always(*content):
    async def run(_call):
        return answer(*content)

    return run


async def mirror(call):
    return answer(text(f"region={call.arguments.get('region', 'none')}"))


async def echo(call):
    return answer(text(repr(call.arguments)))


async def fail(_call):
    raise RuntimeError("This tool fails on purpose")


async def log_three_times(call):
    for step in ("started", "processing", "completed"):
        await log(call, f"Tool {step}")
        await anyio.sleep(STEP_SECONDS)
    return answer(text("Logged three times."))


async def log_if_asked(call):
    await log(call, "Only for requests that set a log level")
    return answer(text("Logged if asked to."))


async def log(call, data):
    await call.ctx.session.send_log_message("info", data, related_request_id=call.ctx.request_id)


async def report_progress(call):
    for progress in (0, 50, 100):
        await call.ctx.session.report_progress(progress, 100, f"{progress} of 100")
        await anyio.sleep(STEP_SECONDS)
    return answer(text("Reported three times."))


async def close_stream(call):
    if call.ctx.close_sse_stream is not None:
        await call.ctx.close_sse_stream()
    await anyio.sleep(AFTER_CLOSE_SECONDS)
    return answer(text("You came back for this."))


def content_tools(announcer):
    def trigger(announce, change):
        async def run(call):
            await announce(call.ctx.session)
            return answer(text(f"Announced: {change}."))

        return run

    mixed = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    whole = embedded("test://embedded-resource", "text/plain", "The text of an embedded resource.")
    changed = "Says that the list of {} changed, though it did not"
    return (
        Tool("test_simple_text", "Answers with text", always(text("A plain text answer."))),
        Tool("test_x_mcp_header", "Has an argument that clients repeat in an HTTP header", mirror, MIRRORED_SCHEMA),
        Tool("json_schema_2020_12_tool", "Has a schema that must arrive unchanged", echo, RICH_SCHEMA),
        Tool("test_image_content", "Answers with an image", always(image())),
        Tool(
            "test_audio_content", "Answers with audio", always({"type": "audio", "data": WAV, "mimeType": "audio/wav"})
        ),
        Tool("test_embedded_resource", "Answers with an embedded resource", always(whole)),
        Tool(
            "test_multiple_content_types",
            "Answers with text, an image and a resource",
            always(text("Three kinds of content:"), image(), mixed),
        ),
        Tool("test_error_handling", "Always fails", fail),
        Tool(
            "test_streaming_elicitation",
            "Answers without asking anything, so its stream holds no request",
            always(text("Nothing was asked.")),
        ),
        Tool("test_tool_with_logging", "Logs three times before it answers", log_three_times),
        Tool("test_logging_tool", "Logs only when the request asks for logs", log_if_asked),
        Tool("test_tool_with_progress", "Reports progress three times before it answers", report_progress),
        Tool(
            "test_reconnection",
            "Closes the response stream before it answers; the answer is fetched by reconnecting",
            close_stream,
        ),
        Tool("test_trigger_tool_change", changed.format("tools"), trigger(announcer.tools, "tools")),
        Tool("test_trigger_prompt_change", changed.format("prompts"), trigger(announcer.prompts, "prompts")),
    )
