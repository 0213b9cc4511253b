#!/usr/bin/env python3
"""An MCP server of one era with two tools: `echo` says back the token that it is called with, `ask` has the user say it.

    echo.py legacy|modern [PORT]        over HTTP on loopback when there is a port, else over stdio

`echo {token, delay_ms, pad}` waits, then answers `{"token": …, "pad": "xxx…"}`; with a progress token it reports progress
in between. `ask {token}` asks the user, in the words of its era, and answers `{"token": …, "pad": ""}` with what it was told. Each
token that it carries out is appended to the file SOAK_LEDGER, so that a call that was carried out twice shows. A legacy server over HTTP has sessions, and forgets them when it is killed. Standard library only.
"""

import asyncio
import json
import os
import sys
import uuid

ASKS = 20
"""Seconds within which a user has to answer."""

META = "io.modelcontextprotocol/"
INFO = {"name": "soak-echo", "version": "1"}
TAKES = {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
TOOLS = [
    {"name": "echo", "description": "Says the token back.", "inputSchema": TAKES},
    {"name": "ask", "description": "Has the user say the token.", "inputSchema": TAKES},
]


class Server:
    """What is common to both transports."""

    def __init__(self, era):
        self.era = era
        self._asked = {}
        self._ledger = os.open(os.environ["SOAK_LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def answer(self, message, notify):
        """The response to a request; `notify` sends what comes before it."""
        method, params = message.get("method"), message.get("params") or {}
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if method == "tools/call":
            work = self._ask if params.get("name") == "ask" else self._call
            return {**reply, "result": self._complete(await work(params, notify))}
        result = self._about(method, params)
        if result is None:
            return {**reply, "error": {"code": -32601, "message": "no such method"}}
        return {**reply, "result": result}

    def _about(self, method, params):
        if self.era == "legacy":
            if method == "initialize":
                version = params.get("protocolVersion", "2025-11-25")
                return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": INFO}
            return {"ping": {}, "tools/list": {"tools": TOOLS}}.get(method)
        if method == "server/discover":
            found = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        elif method == "tools/list":
            found = {"tools": TOOLS}
        else:
            return None
        return self._complete({**found, "ttlMs": 60000, "cacheScope": "public"})

    def _complete(self, result):
        if self.era == "legacy":
            return result
        return {"resultType": "complete", **result, "_meta": {META + "serverInfo": INFO}}

    def told(self, message):
        """Takes an answer of the client."""
        asked = self._asked.pop(message.get("id"), None)
        if asked is not None and not asked.done():
            asked.set_result(message.get("result") or {})

    async def _ask(self, params, notify):
        token = params["arguments"]["token"]
        schema = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
        question = {"message": token, "requestedSchema": schema}
        if self.era == "modern":
            if "inputResponses" not in params:
                request = {"method": "elicitation/create", "params": {"mode": "form", **question}}
                return {"resultType": "input_required", "requestState": token, "inputRequests": {"word": request}}
            said = params["inputResponses"]["word"] if params.get("requestState") == token else {}
        else:
            said = await self._asking(question, notify)
        os.write(self._ledger, f"{token}\n".encode())
        if said.get("action") != "accept":
            return {"content": [{"type": "text", "text": "nobody said it"}], "isError": True}
        text = json.dumps({"token": said["content"]["word"], "pad": ""})
        return {"content": [{"type": "text", "text": text}]}

    async def _asking(self, question, notify):
        """Asks on the way of a call; without an answer in time there is none."""
        number, asked = uuid.uuid4().hex, asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        await notify({"jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": question})
        try:
            async with asyncio.timeout(ASKS):
                return await asked
        except TimeoutError:
            return {}
        finally:
            self._asked.pop(number, None)

    async def _call(self, params, notify):
        arguments = params.get("arguments") or {}
        os.write(self._ledger, f"{arguments['token']}\n".encode())
        progress = (params.get("_meta") or {}).get("progressToken")
        if progress is not None:
            told = {"progressToken": progress, "progress": 1}
            await notify({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
        await asyncio.sleep(arguments.get("delay_ms", 0) / 1000)
        text = json.dumps({"token": arguments["token"], "pad": "x" * arguments.get("pad", 0)})
        return {"content": [{"type": "text", "text": text}]}


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
        elif "id" in message:
            server.told(message)


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
    if "method" not in message:
        server.told(message)
    if "id" not in message or "method" not in message:
        return await plain(writer, "202 Accepted", b"")
    params = message.get("params") or {}
    asks = server.era == "legacy" and params.get("name") == "ask"
    if not asks and "progressToken" not in (params.get("_meta") or {}):

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
