"""What the reference server offers: one low-level server object with every tool, prompt and resource the suite names.

Tools, prompts and resources are plain data and give plain data, as it is on the wire; here it becomes the SDK's types,
which the SDK writes in the version that the client speaks.
"""

from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    CompleteResult,
    EmptyResult,
    GetPromptResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
)

from content import Announcer, content_tools, text
from dialogue import Call, Unanswered, dialogue_prompts, dialogue_tools
from documents import prompts, read_resource, resource_templates, resources

NAME = "portcullis-reference-python"
LIST_HINT = CacheHint(ttl_ms=5000, scope="public")
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
WORDS = ("paris", "park", "party")


def create_server():
    """Makes the server object; one serves every session and every request of the process."""
    bus = InMemorySubscriptionBus()
    tools = {tool.name: tool for tool in (*content_tools(Announcer(bus)), *dialogue_tools)}
    templates = {prompt.name: prompt for prompt in (*prompts, *dialogue_prompts)}
    watched = set()

    async def call_tool(ctx, params):
        tool = find(tools, params.name, "tool")
        return await answer_or_ask(CallToolResult, Call(ctx, params, tool), report_failure(tool.run))

    async def get_prompt(ctx, params):
        prompt = find(templates, params.name, "prompt")
        return await answer_or_ask(GetPromptResult, Call(ctx, params, prompt), prompt.run)

    async def subscribe(_ctx, params):
        watched.add(str(params.uri))
        return EmptyResult()

    async def unsubscribe(_ctx, params):
        watched.discard(str(params.uri))
        return EmptyResult()

    server = ReferenceServer(
        NAME,
        version="1.0.0",
        instructions="A server for conformance tests.",
        cache_hints={method: LIST_HINT for method in LISTS},
        on_list_tools=listing(ListToolsResult, "tools", [tool.listed() for tool in tools.values()]),
        on_call_tool=call_tool,
        on_list_prompts=listing(ListPromptsResult, "prompts", [prompt.listed() for prompt in templates.values()]),
        on_get_prompt=get_prompt,
        on_list_resources=listing(ListResourcesResult, "resources", resources),
        on_list_resource_templates=listing(ListResourceTemplatesResult, "resourceTemplates", resource_templates),
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_completion=complete,
        on_set_logging_level=set_level,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


class ReferenceServer(Server):
    """Says to legacy clients, too, that its lists may change: the SDK leaves that to whoever runs the server."""

    def create_initialization_options(self, notification_options=None, *rest, **named):
        everything = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(notification_options or everything, *rest, **named)


def find(table, name, kind):
    if name not in table:
        raise MCPError(code=INVALID_PARAMS, message=f"Unknown {kind}: {name}")
    return table[name]


async def answer_or_ask(kind, call, run):
    try:
        return kind.model_validate(await run(call))
    except Unanswered as unanswered:
        return unanswered.result()


def report_failure(run):
    """A tool that fails says so in its result, where the model sees it; what is for the client passes."""

    async def reported(call):
        try:
            return await run(call)
        except (Unanswered, MCPError):
            raise
        except Exception as error:
            return {"content": [text(str(error))], "isError": True}

    return reported


def listing(kind, member, items):
    async def handle(_ctx, _params):
        return kind.model_validate({member: items})

    return handle


async def complete(_ctx, params):
    values = [word for word in WORDS if word.startswith(params.argument.value)]
    return CompleteResult.model_validate({"completion": {"values": values, "total": len(values), "hasMore": False}})


async def set_level(_ctx, _params):
    return EmptyResult()
