"""The reference server of the Tasks extension: the tools that the suite's `tasks-*` scenarios name.

    server.py --http PORT    prints `listening http://127.0.0.1:PORT/mcp`
    server.py --stdio

The official TypeScript and Python SDKs do not implement the extension yet. `fastmcp-tasks` does, on an engine of its
own; it keeps its tasks in memory here. Every tool is a few lines, since what counts is how its task is created, asked,
cancelled and read. Listens on loopback only.
"""

import argparse
import asyncio
import socket
from datetime import timedelta

import uvicorn
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, ElicitRequest, InputRequiredResult

PATH = "/mcp"
POLL = timedelta(milliseconds=200)
OPTIONAL = TaskConfig(mode="optional", poll_interval=POLL)
REQUIRED = TaskConfig(mode="required", poll_interval=POLL)
COMPOSED = "test_tool_with_task"
"""The tool that asks before its task exists."""


class Extension(TasksExtension):
    """Runs the first round of one tool in the call, and makes a task of the second with what was answered."""

    async def intercept_tool_call(self, params, context, call_next):
        if params.name == COMPOSED:
            if not context.input_responses:
                return await call_next()
            name = context.input_responses["user_name"].content["name"]
            params = params.model_copy(update={"arguments": {"name": name}})
        return await super().intercept_tool_call(params, context, call_next)


server = FastMCP("portcullis-reference-tasks", version="1.0.0")
server.add_extension(Extension())


def ask_for(field, message, kind="string"):
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    params = {"message": message, "requestedSchema": schema}
    return ElicitRequest.model_validate({"method": "elicitation/create", "params": params})


@server.tool
def greet(name: str) -> str:
    """Answers at once, never as a task"""
    return f"Hello, {name}!"


@server.tool(task=OPTIONAL)
async def slow_compute(seconds: float = 1, label: str = "compute") -> str:
    """Sleeps, then answers"""
    await asyncio.sleep(seconds)
    return f"{label} after {seconds} s"


@server.tool(task=REQUIRED)
async def failing_job() -> str:
    """Fails as a tool does"""
    await asyncio.sleep(1)
    raise ToolError("This job fails on purpose")


@server.tool(task=OPTIONAL)
async def protocol_error_job() -> str:
    """Fails as a protocol does"""
    raise MCPError(code=INTERNAL_ERROR, message="This job breaks on purpose")


@server.tool(task=REQUIRED)
async def confirm_delete(ctx: Context, filename: str = "file.txt") -> str | InputRequiredResult:
    """Asks one thing in the middle"""
    reply = (ctx.input_responses or {}).get("confirm")
    if reply is None:
        return InputRequiredResult(input_requests={"confirm": ask_for("confirm", f"Delete {filename}?", "boolean")})
    return f"{filename}: {reply.content}"


@server.tool(task=REQUIRED)
async def multi_input(ctx: Context) -> str | InputRequiredResult:
    """Asks two things at the same time"""
    answered = ctx.input_responses or {}
    missing = [key for key in ("first", "second") if key not in answered]
    if missing:
        return InputRequiredResult(input_requests={key: ask_for("name", f"The {key} name?") for key in missing})
    return "Both were answered."


@server.tool(name=COMPOSED, task=REQUIRED)
async def ask_then_work(ctx: Context, name: str = "") -> str | InputRequiredResult:
    """Asks in the call, then works in a task"""
    if name:
        return f"Hello, {name}!"
    return InputRequiredResult(input_requests={"user_name": ask_for("name", "What is your name?")})


async def serve_http(port):
    app = server.http_app(path=PATH)
    listener = socket.create_server(("127.0.0.1", port))
    print(f"listening http://127.0.0.1:{listener.getsockname()[1]}{PATH}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


def main():
    parser = argparse.ArgumentParser(description="A reference MCP server of the Tasks extension.")
    transport = parser.add_mutually_exclusive_group(required=True)
    transport.add_argument("--http", type=int, metavar="PORT", help="0 lets the system choose")
    transport.add_argument("--stdio", action="store_true")
    options = parser.parse_args()
    if options.stdio:
        server.run(transport="stdio", show_banner=False)
    else:
        asyncio.run(serve_http(options.http))


if __name__ == "__main__":
    main()
