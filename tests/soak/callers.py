"""The clients of the soak of calls: those that call and check, those that read slowly, and those that break off."""

import asyncio
import json

from channel import Connection, Lost, messages

MODERN = "2026-07-28"
LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")
META = "io.modelcontextprotocol/"
PLAIN = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HANGS_UP = 15
"""Seconds within which the gateway gives up a connection that sends nothing more."""


class Caller:
    """What all clients do: a call with a token of its own, and the check of what comes back."""

    era = "modern"
    pace = None

    def __init__(self, world, number):
        self.world, self.number = world, number
        self._id = 0

    async def run(self):
        """Until the run is over."""
        await asyncio.sleep(self.world.chance.uniform(0, 1))
        while not self.world.over():
            try:
                await self.visit()
            except Lost as lost:
                self.world.found(f"{type(self).__name__} {self.number}: {lost}")
            except OSError as error:
                self.world.found(f"{type(self).__name__} {self.number}: {error!r}")

    async def visit(self):
        raise NotImplementedError

    def path(self):
        return f"/mcp/s/{self.world.chance.choice(self.world.names)}"

    async def pause(self):
        await asyncio.sleep(self.world.chance.uniform(0.2, 0.9))

    def request(self, method, params, streamed=False):
        """The id and the body of a request."""
        self._id += 1
        number = self.number * 1_000_000 + self._id
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": {}} if self.era == "modern" else {}
        if streamed:
            meta["progressToken"] = number
        params = {**params, "_meta": meta} if meta else params
        return number, json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()

    def headers(self, method, name=None):
        headers = {**PLAIN, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        return {**headers, "Mcp-Name": name} if name else headers

    async def call(self, connection, path, pad=0, delay=None):
        """One call, and whatever comes of it counted."""
        token = self.world.token()
        streamed = self.world.chance.random() < 0.3
        delay = self.world.chance.choice((0, 0, 5, 50, 400)) if delay is None else delay
        arguments = {"token": token, "delay_ms": delay, "pad": pad}
        number, body = self.request("tools/call", {"name": "echo", "arguments": arguments}, streamed)
        await connection.send("POST", path, self.headers("tools/call", "echo"), body)
        status, headers = await connection.head()
        answers = []
        async for message in messages(connection, headers):
            if "method" not in message:
                answers.append(message)
            elif message.get("params", {}).get("progressToken") != number:
                self.world.found(f"progress of another call: {json.dumps(message)[:200]}")
        self._check(token, number, status, answers, pad)

    def _check(self, token, number, status, answers, pad):
        if len(answers) != 1:
            self.world.found(f"{token} got {len(answers)} answers with status {status}: {json.dumps(answers)[:300]}")
            return
        message = answers[0]
        if message.get("id") != number:
            self.world.found(f"{token} asked as {number} and got the answer of {message.get('id')}")
        elif "error" in message or message["result"].get("isError"):
            self.world.counts[f"refused with an error, {self.era}"] += 1
        else:
            said = json.loads(message["result"]["content"][0]["text"])
            if said["token"] != token or len(said["pad"]) != pad:
                self.world.found(f"{token} got the result of {said['token']}, {len(said['pad'])} of {pad} bytes")
            self.world.counts[f"answered, {self.era}"] += 1


class ModernCaller(Caller):
    """A few calls on one connection, then a new one; now and then it breaks a call off, which cancels it."""

    async def visit(self):
        connection = await Connection.open(self.world.place)
        try:
            for _ in range(self.world.chance.randrange(1, 20)):
                if self.world.over():
                    return
                await self.call(connection, self.path())
                await self.pause()
        finally:
            connection.close()


class LegacyCaller(Caller):
    """A session with a server: calls, mostly a standalone stream beside them, and in two of three cases a DELETE."""

    era = "legacy"

    def __init__(self, world, number):
        super().__init__(world, number)
        self._version = LEGACY[number % len(LEGACY)]
        self._session = None

    def headers(self, method, name=None):
        headers = {**PLAIN, "MCP-Protocol-Version": self._version}
        return {**headers, "Mcp-Session-Id": self._session} if self._session else headers

    async def visit(self):
        path = self.path()
        connection = await Connection.open(self.world.place)
        stream = None
        try:
            if not await self._open(connection, path):
                await self.pause()
                return
            if self.world.chance.random() < 0.5:
                stream = asyncio.create_task(self._listen(path))
            for _ in range(self.world.chance.randrange(1, 20)):
                if self.world.over():
                    break
                await self.call(connection, path)
                await self.pause()
            if self.world.chance.random() < 0.7:
                await connection.send("DELETE", path, self.headers(""))
                _, headers = await connection.head()
                async for _ in messages(connection, headers):
                    pass
        finally:
            if stream:
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)
            connection.close()
            self._session = None

    async def _open(self, connection, path):
        client = {"name": "soak", "version": "1"}
        params = {"protocolVersion": self._version, "capabilities": {}, "clientInfo": client}
        number, body = self.request("initialize", params)
        await connection.send("POST", path, self.headers("initialize"), body)
        status, headers = await connection.head()
        answers = [message async for message in messages(connection, headers)]
        if len(answers) != 1 or answers[0].get("id") != number:
            self.world.found(f"initialize got status {status} and {json.dumps(answers)[:200]}")
            return False
        if "error" in answers[0]:
            self.world.counts["initialize refused"] += 1
            return False
        self._session = headers["mcp-session-id"]
        body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        await connection.send("POST", path, self.headers(""), body)
        status, headers = await connection.head()
        async for _ in messages(connection, headers):
            pass
        if status != 202:
            self.world.found(f"notifications/initialized got status {status}")
        return True

    async def _listen(self, path):
        """The standalone stream: nothing on it may answer a call."""
        connection = await Connection.open(self.world.place)
        try:
            await connection.send("GET", path, {**self.headers(""), "Accept": "text/event-stream"})
            _, headers = await connection.head()
            self.world.counts["standalone streams"] += 1
            async for message in messages(connection, headers):
                if "method" not in message:
                    self.world.found(f"a response on a standalone stream: {json.dumps(message)[:200]}")
        except (Lost, OSError):
            pass  # it ends with its session
        finally:
            connection.close()


class SlowReader(Caller):
    """Asks for much and reads it in small bites; every fourth reads nothing and leaves after a while."""

    async def visit(self):
        connection = await Connection.open(self.world.place, pace=(16 << 10, 0.02))
        try:
            if self.world.chance.random() < 0.25:
                arguments = {"token": self.world.token(), "pad": 2 << 20}
                _, body = self.request("tools/call", {"name": "echo", "arguments": arguments})
                await connection.send("POST", self.path(), self.headers("tools/call", "echo"), body)
                await asyncio.sleep(self.world.chance.uniform(0.5, 4))
                self.world.counts["read nothing"] += 1
                connection.reset()
            else:
                await self.call(connection, self.path(), pad=512 << 10, delay=0)
                self.world.counts["read slowly"] += 1
        finally:
            connection.close()
        await self.pause()


class HalfOpen(Caller):
    """Connects and does not go through with it."""

    async def visit(self):
        connection = await Connection.open(self.world.place)
        arguments = {"token": self.world.token(), "delay_ms": 300}
        _, body = self.request("tools/call", {"name": "echo", "arguments": arguments})
        way = self.world.chance.choice(("half a head", "half a body", "vanish", "leave in the middle"))
        try:
            cut = {"half a head": 40, "half a body": -20}.get(way)
            await connection.send("POST", self.path(), self.headers("tools/call", "echo"), body, cut)
            if way == "vanish":
                connection.reset()
            elif way == "leave in the middle":
                await asyncio.sleep(self.world.chance.uniform(0, 0.3))
            elif not await connection.ended(HANGS_UP):
                self.world.found(f"a connection with {way} is still open after {HANGS_UP} s")
            self.world.counts["half-open"] += 1
        finally:
            connection.close()
        await self.pause()
