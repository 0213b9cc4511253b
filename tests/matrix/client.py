"""A Python client that can be asked for everything. `client.py mcp|mcp-legacy|mcp1|fastmcp PROFILE URL`

`mcp1` runs under version 1 of the official SDK, the others under version 2. Same arguments and output as client.mjs.
"""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager

OPERATION_SECONDS = 15
UPDATE_SECONDS = 8
ROOT = "file:///matrix/root"


class Failed(Exception):
    """An operation that did not do what it should."""


def answer_for(schema):
    """An answer for every field of a form that is required."""
    properties = schema.get("properties", {})
    values = {"boolean": True, "integer": 1, "number": 1}
    names = schema.get("required", list(properties))
    return {name: values.get(properties[name].get("type"), "Ada") for name in names}


class Peer:
    """A connected client: `call(tool, arguments, progress)` gives a result, `subscribe(uri)` is a context."""

    def __init__(self, version, list_tools, call, subscribe, updates):
        self.version, self.list_tools, self.call = version, list_tools, call
        self.subscribe, self.updates = subscribe, updates


def _callbacks(types, updates):
    """The answers of the official SDK's clients; both generations take the same ones."""

    async def elicit(_context, params):
        schema = getattr(params, "requested_schema", None) or params.requestedSchema
        return types.ElicitResult(action="accept", content=answer_for(schema))

    async def sample(_context, _params):
        content = types.TextContent(type="text", text="forty-two")
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    async def roots(_context):
        return types.ListRootsResult(roots=[types.Root(uri=ROOT, name="root")])

    async def on_message(message):
        message = getattr(message, "root", message)
        if isinstance(message, types.ResourceUpdatedNotification):
            updates.append(str(message.params.uri))

    return elicit, sample, roots, on_message


@asynccontextmanager
async def connect_mcp(url, mode):
    from mcp import Client, types

    updates = []
    elicit, sample, roots, on_message = _callbacks(types, updates)
    client = Client(
        url, mode=mode, elicitation_callback=elicit, sampling_callback=sample, list_roots_callback=roots,
        message_handler=on_message,
    )

    @asynccontextmanager
    async def subscribe(uri):
        if client.protocol_version < "2026":
            await client.subscribe_resource(uri)
            yield
            return
        async with client.listen(resource_subscriptions=[uri]) as subscription:
            task = asyncio.create_task(_follow(subscription, updates))
            yield
            task.cancel()

    async with client:
        def call(tool, arguments, progress):
            return client.call_tool(tool, arguments, progress_callback=progress)

        yield Peer(client.protocol_version, client.list_tools, call, subscribe, updates)


async def _follow(subscription, updates):
    async for event in subscription:
        updates.append(str(getattr(event, "uri", "")))


@asynccontextmanager
async def connect_mcp1(url, _mode):
    from mcp import ClientSession, types
    from mcp.client.streamable_http import streamablehttp_client

    updates = []
    elicit, sample, roots, on_message = _callbacks(types, updates)

    async with streamablehttp_client(url) as (read, write, _), ClientSession(
        read, write, elicitation_callback=elicit, sampling_callback=sample, list_roots_callback=roots,
        message_handler=on_message,
    ) as session:
        hello = await session.initialize()

        @asynccontextmanager
        async def subscribe(uri):
            await session.subscribe_resource(uri)
            yield

        def call(tool, arguments, progress):
            return session.call_tool(tool, arguments, progress_callback=progress)

        yield Peer(hello.protocolVersion, session.list_tools, call, subscribe, updates)


@asynccontextmanager
async def connect_fastmcp(url, _mode):
    from fastmcp import Client
    from fastmcp.client.elicitation import ElicitResult

    async def elicit(_message, _kind, params, _context):
        schema = getattr(params, "requested_schema", None) or params.requestedSchema
        return ElicitResult(action="accept", content=answer_for(schema))

    async def sample(_messages, _params, _context):
        return "forty-two"

    client = Client(url, elicitation_handler=elicit, sampling_handler=sample, roots=[ROOT])
    async with client:
        async def list_tools():
            return type("Page", (), {"tools": await client.list_tools()})

        def call(tool, arguments, progress):
            return client.call_tool_mcp(tool, arguments, progress_handler=progress)

        # FastMCP's client has no subscriptions of its own.
        yield Peer(client.protocol_version, list_tools, call, None, [])


async def operate(peer, profile):
    """Every operation of the profile, each with `ok` or the reason why not."""

    async def call(fact, progress=None):
        result = await peer.call(fact["tool"], fact["arguments"], progress)
        said = " ".join(getattr(block, "text", "") for block in result.content)
        if getattr(result, "is_error", getattr(result, "isError", False)):
            raise Failed(f"is an error: {said}")
        if fact.get("text", "") not in said:
            raise Failed(f"{fact['text']} is not in {said}")

    async def list_tools():
        names = [tool.name for tool in (await peer.list_tools()).tools]
        if profile["list"] not in names:
            raise Failed(f"no {profile['list']}")

    async def progress():
        seen = []

        async def on_progress(step, _total, _message):
            seen.append(step)

        await call(profile["progress"], on_progress)
        if not seen:
            raise Failed(f"progress came {len(seen)} times")

    async def subscribe():
        async with peer.subscribe(profile["subscribe"]["uri"]):
            for _ in range(profile["subscribe"].get("tries", 1)):
                await call(profile["subscribe"])
                end = time.monotonic() + UPDATE_SECONDS
                while time.monotonic() < end:
                    if profile["subscribe"]["uri"] in peer.updates:
                        return
                    await asyncio.sleep(0.05)
        raise Failed("no notifications/resources/updated")

    operations = {"list": list_tools, "progress": progress}
    operations |= {name: (lambda name=name: call(profile[name])) for name in ("call", "elicitation", "sampling", "roots")}
    if peer.subscribe:
        operations["subscribe"] = subscribe
    results = {}
    for name in ("list", "call", "progress", "elicitation", "sampling", "roots", "subscribe"):
        if name in profile and name in operations:
            try:
                async with asyncio.timeout(OPERATION_SECONDS + 2 * UPDATE_SECONDS):
                    await operations[name]()
                results[name] = "ok"
            except Exception as error:  # whatever it is, the operation failed
                results[name] = f"{type(error).__name__}: {error}"
    return results


async def main():
    kind, profile, url = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    connect = {"mcp1": connect_mcp1, "fastmcp": connect_fastmcp}.get(kind, connect_mcp)
    version, results = "none", {}
    try:
        async with connect(url, "legacy" if kind == "mcp-legacy" else "auto") as peer:
            version = peer.version
            results = await operate(peer, profile)
            print(json.dumps({"version": version, "results": results}), flush=True)
    except BaseException as error:  # exception groups of task groups included
        if not results:
            results = {name: f"cannot connect: {_innermost(error)}" for name in profile}
            print(json.dumps({"version": version, "results": results}), flush=True)


def _innermost(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    asyncio.run(main())
