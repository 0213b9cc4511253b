"""The reference server on stdin and stdout, in the era asked for.

The SDK's entry looks at the first request and decides for the whole process. In the legacy era the loop of the
handshake is run alone, as in servers written before 2026-07-28: it answers `server/discover` with -32601. In the modern
era `initialize` is refused before it is handled.
"""

from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from features import create_server


async def serve_stdio(era):
    server = create_server()
    if era == "modern":
        server.middleware.insert(0, refuse_initialize)
    async with stdio_server() as (reader, writer):
        if era == "legacy":
            async with server.lifespan(server) as state:
                await serve_loop(server, reader, writer, lifespan_state=state)
        else:
            await server.run(reader, writer, server.create_initialization_options())


async def refuse_initialize(ctx, call_next):
    if ctx.method == "initialize":
        data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": (ctx.params or {}).get("protocolVersion", "")}
        raise MCPError(code=UNSUPPORTED_PROTOCOL_VERSION, message="Unsupported protocol version", data=data)
    return await call_next(ctx)
