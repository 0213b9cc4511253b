#!/usr/bin/env python3
"""An MCP server of one era with one tool, `echo`, which says back the token that it is called with.

    echo.py legacy|modern [PORT]        over HTTP on loopback when there is a port, else over stdio

`echo {token, delay_ms, pad}` waits, then answers `{"token": …, "pad": "xxx…"}`; with a progress token it reports progress
in between. Each token that it carries out is appended to the file SOAK_LEDGER, so that a call that was carried out twice
shows. A legacy server over HTTP has sessions, and forgets them when it is killed. Standard library only.
"""

import asyncio
import json
import os
import sys
import uuid

META = "io.modelcontextprotocol/"
INFO = {"name": "soak-echo", "version": "1"}
TOOL = {
    "name": "echo",
    "description": "Says the token back.",
    "inputSchema": {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]},
}


class Server:
    """What is common to both transports."""

    def __init__(self, era):
        self.era = era
        self._ledger = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def answer(self, message, notify):
        """The response to a request; `notify` sends what comes before it."""
        method, params = message.get("method"), message.get("params") or {}
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if method == "tools/call":
            return {**reply, "result": await self._call(params, notify)}
        result = self._about(method, params)
        if result is None:
            return {**reply, "error": {"code": -32601, "message": "no such method"}}
        return {**reply, "result": result}

    def _about(self, method, params):
        if self.era == "legacy":
            if method == "initialize":
                version = params.get("protocolVersion", "2025-11-25")
                return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": INFO}
            return {"ping": {}, "tools/list": {"tools": [TOOL]}}.get(method)
        if method == "server/discover":
            found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        elif method == "tools/list":
            found = {"tools": [TOOL]}
        else:
            return None
        return self._complete({**found, "ttlMs": 60000, "cacheScope": "public"})

    def _complete(self, result):
        if self.era == "legacy":
            return result
        return {**result, "resultType": "complete", "_meta": {META + "serverInfo": INFO}}

    async def _call(self, params, notify):
        arguments = params.get("arguments") or {}
        os.write(self._ledger, f"{arguments['token']}\n".encode())
        progress = (params.get("_meta") or {}).get("progressToken")
        if progress is not None:
            told = {"progressToken": progress, "progress": 1}
            await notify({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
        await asyncio.sleep(arguments.get("delay_ms", 0) / 1000)
        text = json.dumps({"token": arguments["token"], "pad": "x" * arguments.get("pad", 0)})
        return self._complete({"content": [{"type": "text", "text": text}]})


async def serve_stdio(server):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def send(message):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    async def work(message):
        await send(await server.answer(message, send))

    tasks = set()
    while line := await reader.readline():
        message = json.loads(line)
        if "id" in message and "method" in message:
            task = asyncio.create_task(work(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def serve_http(server, port):
    sessions = set()

    async def handle(reader, writer):
        try:
            while await exchange(server, sessions, reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gateway has hung up
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", port, limit=1 << 24)
    print("listening", flush=True)
    await listener.serve_forever()


async def exchange(server, sessions, reader, writer):
    """One request and its answer; false when the connection is over."""
    head = await reader.readuntil(b"\r\n\r\n")
    request, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if not request.startswith("POST"):
        return await plain(writer, "405 Method Not Allowed", b"")
    message = json.loads(body)
    new = []
    if server.era == "legacy":
        if message.get("method") == "initialize":
            sessions.add(session := uuid.uuid4().hex)
            new = [f"Mcp-Session-Id: {session}"]
        elif headers.get("mcp-session-id") not in sessions:
            return await plain(writer, "404 Not Found", b"")
    if "id" not in message:
        return await plain(writer, "202 Accepted", b"")
    if "progressToken" not in ((message.get("params") or {}).get("_meta") or {}):

        async def ignore(_):
            pass

        return await plain(writer, "200 OK", json.dumps(await server.answer(message, ignore)).encode(), *new)
    return await stream(server, message, writer)


async def plain(writer, status, body, *headers):
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()
    return True


async def stream(server, message, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def send(event):
        data = f"data: {json.dumps(event)}\n\n".encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()

    await send(await server.answer(message, send))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def main():
    server = Server(sys.argv[1])
    serve = serve_http(server, int(sys.argv[2])) if len(sys.argv) > 2 else serve_stdio(server)
    asyncio.run(serve)


if __name__ == "__main__":
    main()
