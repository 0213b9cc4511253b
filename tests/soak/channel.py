"""HTTP/1.1 by hand for clients that behave well and for those that do not. Standard library only."""

import asyncio
import json
import socket
import struct

READ_SECONDS = 40
"""Longer than the gateway may take for a call; who waits in vain for so long has lost it."""


class Lost(Exception):
    """A request that got no answer at all."""


class Connection:
    """One connection; `pace` reads slowly: so many bytes, then a pause of so many seconds."""

    def __init__(self, reader, writer, pace):
        self._reader, self._writer, self._pace = reader, writer, pace

    @classmethod
    async def open(cls, place, pace=None):
        sock = socket.socket()
        if pace:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, place)
        limit = 1 << 16 if pace is None else 4096
        return cls(*await asyncio.open_connection(sock=sock, limit=limit), pace)

    async def send(self, method, path, headers, body=b"", cut=None):
        """Sends a request, or only its first `cut` bytes."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {text}" for name, text in headers.items())]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        data = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        self._writer.write(data if cut is None else data[:cut])
        await self._writer.drain()

    async def head(self):
        """Status and headers. Raises Lost."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                text = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Lost(f"no response: {error!r}") from error
        status, *lines = text.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines if line)
        return int(status.split()[1]), {name.strip().lower(): value.strip() for name, _, value in fields}

    async def body(self, headers):
        """The pieces of a body as they come. Raises Lost when it breaks off."""
        try:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(await self._line(), 16):
                    async for piece in self._exactly(size):
                        yield piece
                    await self._line()
                await self._line()
            else:
                async for piece in self._exactly(int(headers.get("content-length", 0))):
                    yield piece
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            raise Lost(f"the response broke off: {error!r}") from error

    async def _line(self):
        async with asyncio.timeout(READ_SECONDS):
            return (await self._reader.readuntil(b"\r\n")).strip()

    async def _exactly(self, size):
        while size:
            piece = min(size, self._pace[0] if self._pace else 1 << 16)
            async with asyncio.timeout(READ_SECONDS):
                data = await self._reader.read(piece)
            if not data:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(data)
            yield data
            if self._pace:
                await asyncio.sleep(self._pace[1])

    async def ended(self, seconds):
        """Whether the other side hangs up within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(4096):
                    pass
        except OSError:
            pass
        except TimeoutError:
            return False
        return True

    def close(self):
        self._writer.close()

    def reset(self):
        """Vanishes: the other side gets a reset, not an end."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


async def messages(connection, headers):
    """The JSON-RPC messages of a response, plain or as an event stream."""
    async for _, message in events(connection, headers):
        if message is not None:
            yield message


async def events(connection, headers):
    """The events of a response as (id, message), either of which may be None; a plain answer is one without an id."""
    if not headers.get("content-type", "").startswith("text/event-stream"):
        body = b"".join([piece async for piece in connection.body(headers)])
        if body:
            yield None, json.loads(body)
        return
    rest = b""
    async for piece in connection.body(headers):
        rest += piece
        while b"\n\n" in rest:
            event, rest = rest.split(b"\n\n", 1)
            lines = event.split(b"\n")
            data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
            numbers = [line[3:].strip().decode() for line in lines if line.startswith(b"id:")]
            yield numbers[-1] if numbers else None, json.loads(data) if data else None
