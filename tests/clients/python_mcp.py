"""The official Python SDK, which finds out by itself which era the server speaks. `python python_mcp.py URL [sse]`

With `sse` the URL is that of an HTTP+SSE stream.
"""

import sys
from contextlib import asynccontextmanager

from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.types import PromptReference, ResourceTemplateReference

from exercise import Adapter, run


@asynccontextmanager
async def connect(url):
    async with Client(sse_client(url) if sys.argv[2:] == ["sse"] else url) as client:
        yield Adapter(
            version=client.protocol_version,
            list_tools=lambda: all_pages(client.list_tools, "tools"),
            call_tool=lambda name, arguments, on_progress: client.call_tool(
                name, arguments, progress_callback=on_progress
            ),
            list_resources=lambda: all_pages(client.list_resources, "resources"),
            list_templates=lambda: all_pages(client.list_resource_templates, "resource_templates"),
            read_resource=lambda uri: field(client.read_resource(uri), "contents"),
            list_prompts=lambda: all_pages(client.list_prompts, "prompts"),
            get_prompt=client.get_prompt,
            complete=lambda ref, argument: complete(client, ref, argument),
            ping=client.send_ping,
            protocol_error=MCPError,
        )


async def all_pages(method, name):
    """Lists are paged by hand: an absent cursor, not an empty one, is the end."""
    items, cursor = [], None
    while True:
        page = await method(cursor=cursor)
        items += getattr(page, name)
        cursor = page.next_cursor
        if cursor is None:
            return items


async def field(result, name):
    return getattr(await result, name)


async def complete(client, ref, argument):
    kind = PromptReference if ref["type"] == "ref/prompt" else ResourceTemplateReference
    result = await client.complete(kind(**ref), argument)
    return result.completion.values


if __name__ == "__main__":
    run(connect)
