"""The asking server in the push style of Python: a tool stops in its middle and asks over the session. `push.py PORT`

Only sessions can carry that, so directly a modern client cannot answer. Built on the official Python SDK.
"""

import asyncio
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("push", version="1.0.0")


class Who(BaseModel):
    name: str


@server.tool()
def greet() -> str:
    """Says hello."""
    return "Hello."


@server.tool()
async def steps(ctx: Context) -> str:
    """Reports progress."""
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3)
        await asyncio.sleep(0.03)
    return "Three steps."


@server.tool()
async def ask(ctx: Context) -> str:
    """Asks the user."""
    answer = await ctx.elicit("What is your name?", Who)
    return f"{answer.action}: {getattr(getattr(answer, 'data', None), 'name', None)}"


@server.tool()
async def think(ctx: Context) -> str:
    """Asks the model."""
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text="Think of a number."))]
    reply = await ctx.session.create_message(messages, max_tokens=10, related_request_id=ctx.request_id)
    return f"thought: {reply.content}"


@server.tool()
async def where(ctx: Context) -> str:
    """Asks for the roots."""
    return f"roots: {[str(root.uri) for root in (await ctx.session.list_roots()).roots]}"


if __name__ == "__main__":
    server.run("streamable-http", port=int(sys.argv[1]))
