"""The reference server on Streamable HTTP: sessions for the legacy era, self-contained requests for the modern one.

The SDK tells the eras apart by the version header. A server that is held to one era gets a gate before it: without its
header a modern request looks to the SDK like what an old server would see, a message without a session; and a modern
server has no `initialize`. Host and Origin have to be loopback names. There is no authorization here.
"""

import contextlib
import json
import socket

import uvicorn
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from features import create_server

PATH = "/mcp"
VERSION_HEADER = b"mcp-protocol-version"
RETRY_MS = 500
"""What a client is told to wait before it comes back to a stream that was closed on it."""
SECURITY = TransportSecuritySettings(
    enable_dns_rebinding_protection=True,
    allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
    allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
)


async def serve_http(port, era):
    """Listens on loopback until the process is ended."""
    manager = Sessions(create_server(), retry_interval=RETRY_MS, security_settings=SECURITY)
    endpoint = GATES[era](manager.handle_request)

    @contextlib.asynccontextmanager
    async def lifespan(_app):
        async with manager.run():
            yield

    app = Starlette(routes=[Route(PATH, endpoint=endpoint)], lifespan=lifespan)
    listener = socket.create_server(("127.0.0.1", port))
    print(f"listening http://127.0.0.1:{listener.getsockname()[1]}{PATH}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve(sockets=[listener])


class Sessions(StreamableHTTPSessionManager):
    """Gives every session a log of its own: the SDK names streams by request id, so sessions would share them."""

    @property
    def event_store(self):
        return EventLog()

    @event_store.setter
    def event_store(self, _store):
        pass  # set by the constructor, to nothing


class EventLog(EventStore):
    """The events of one session, in order; an event's id is its position."""

    def __init__(self):
        self._events = []

    async def store_event(self, stream_id, message):
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id) if last_event_id.isdecimal() else len(self._events)
        if last >= len(self._events):
            return None
        stream = self._events[last][0]
        for position, (other, message) in enumerate(self._events):
            priming = message is None
            if position > last and other == stream and not priming:
                await send_callback(EventMessage(message, str(position)))
        return stream


class Gate:
    """An ASGI endpoint before the SDK's; a class, so that Starlette does not take it for a function of a request."""

    def __init__(self, inner):
        self.inner = inner

    async def __call__(self, scope, receive, send):
        await self.inner(scope, receive, send)


class LegacyGate(Gate):
    async def __call__(self, scope, receive, send):
        if version_of(scope) not in HANDSHAKE_PROTOCOL_VERSIONS:
            headers = [(name, value) for name, value in scope["headers"] if name != VERSION_HEADER]
            scope = {**scope, "headers": headers}
        await self.inner(scope, receive, send)


class ModernGate(Gate):
    async def __call__(self, scope, receive, send):
        version = version_of(scope)
        if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
            body = await read_json(receive)
            return await refusal(body, version)(scope, receive, send)
        await self.inner(scope, receive, send)


GATES = {"dual": Gate, "legacy": LegacyGate, "modern": ModernGate}


def version_of(scope):
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == VERSION_HEADER]
    return found[0] if found else None


async def read_json(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        return json.loads(body)
    except ValueError:
        return None


def refusal(body, version):
    """What a modern server says to a client of the other era: which versions it speaks."""
    request = body if isinstance(body, dict) else {}
    asked = request.get("params", {}).get("protocolVersion") if isinstance(request.get("params"), dict) else None
    data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": version or asked or ""}
    error = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": "Unsupported protocol version", "data": data}
    return JSONResponse({"jsonrpc": "2.0", "id": request.get("id"), "error": error}, status_code=400)
