"""FastMCP's client, which negotiates the era and pages by itself. `python python_fastmcp.py URL`"""

from contextlib import asynccontextmanager

from fastmcp import Client
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference

from exercise import Adapter, run


@asynccontextmanager
async def connect(url):
    async with Client(url) as client:
        yield Adapter(
            version=client.protocol_version,
            list_tools=client.list_tools,
            call_tool=lambda name, arguments, on_progress: client.call_tool_mcp(
                name, arguments, progress_handler=on_progress
            ),
            list_resources=client.list_resources,
            list_templates=client.list_resource_templates,
            read_resource=client.read_resource,
            list_prompts=client.list_prompts,
            get_prompt=client.get_prompt,
            complete=lambda ref, argument: complete(client, ref, argument),
            ping=client.ping,
            protocol_error=MCPError,
        )


async def complete(client, ref, argument):
    kind = PromptReference if ref["type"] == "ref/prompt" else ResourceTemplateReference
    return (await client.complete(kind(**ref), argument)).values


if __name__ == "__main__":
    run(connect)
