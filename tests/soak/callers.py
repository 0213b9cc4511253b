"""The clients of the soak of calls: those that call and check, those that are asked, those that lose their streams and come
back, those that read slowly, and those that break off."""

import asyncio
import json
import time

from channel import READ_SECONDS, Connection, Lost, events, messages

MODERN = "2026-07-28"
LEGACY = ("2025-03-26", "2025-06-18", "2025-11-25")
META = "io.modelcontextprotocol/"
PLAIN = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HANGS_UP = 15
"""Seconds within which the gateway gives up a connection that sends nothing more."""


class Caller:
    """What all clients do: a call with a token of its own, and the check of what comes back."""

    era = "modern"
    declares = {}

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
        meta = {META + "protocolVersion": MODERN, META + "clientCapabilities": self.declares} if self.era == "modern" else {}
        if streamed:
            meta["progressToken"] = number
        params = {**params, "_meta": meta} if meta else params
        return number, json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()

    def headers(self, method, name=None):
        headers = {**PLAIN, "MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        return {**headers, "Mcp-Name": name} if name else headers

    async def call(self, connection, path, pad=0, delay=None, tool="echo", more=None):
        """One call, and whatever comes of it counted; `more` goes with its parameters. Returns its answer, if it got one."""
        token = more["arguments"]["token"] if more else self.world.token()
        streamed = self.world.chance.random() < 0.3
        delay = self.world.chance.choice((0, 0, 5, 50, 400)) if delay is None else delay
        arguments = {"token": token, "delay_ms": delay, "pad": pad}
        number, body = self.request("tools/call", {"name": tool, "arguments": arguments, **(more or {})}, streamed)
        begun = time.monotonic()
        await connection.send("POST", path, self.headers("tools/call", tool), body)
        status, headers = await connection.head()
        answers = []
        await self.read(connection, path, headers, (number, token), answers)
        self._check(token, number, status, answers, pad)
        if answers and _refusal(answers[0]) is not None:
            self._refused(path, begun, answers[0])
        return token, answers[0] if answers else {}

    async def read(self, connection, path, headers, call, answers):
        """Reads the answer to a call; returns the id of the last event."""
        number, token = call
        last = None
        async for event, message in events(connection, headers):
            last = event or last
            if message is None:
                continue
            if "method" not in message:
                answers.append(message)
            elif "id" in message:
                await self.answer(path, message, token)
            elif message["method"] == "notifications/cancelled":
                self.world.counts["questions taken back"] += 1  # its server was killed
            elif message.get("params", {}).get("progressToken") != number:
                self.world.found(f"progress of another call: {json.dumps(message)[:200]}")
        return last

    async def answer(self, path, question, token):
        self.world.found(f"{token} was asked {json.dumps(question)[:200]}")

    def _check(self, token, number, status, answers, pad):
        if len(answers) != 1:
            self.world.found(f"{token} got {len(answers)} answers with status {status}: {json.dumps(answers)[:300]}")
            return
        message = answers[0]
        if message.get("id") != number:
            self.world.found(f"{token} asked as {number} and got the answer of {message.get('id')}")
        elif _refusal(message) is not None:
            self.world.counts[f"refused with an error, {self.era}"] += 1
        elif message["result"].get("resultType") == "input_required":
            self.world.counts["asked, modern"] += 1
        else:
            said = json.loads(message["result"]["content"][0]["text"])
            if said["token"] != token or len(said["pad"]) != pad:
                self.world.found(f"{token} got the result of {said['token']}, {len(said['pad'])} of {pad} bytes")
            self.world.counts[f"answered, {self.era}"] += 1

    def _refused(self, path, begun, message):
        """A call is refused because its server was away, and is told why."""
        name, why = path.rpartition("/")[2], _refusal(message)
        if not why or not self.world.outages.excuse(name, begun):
            self.world.found(f"{name} was there, and a call to it was refused: {json.dumps(message)[:300]}")


def _refusal(message):
    """What an answer says of why the call failed; `None` when it did not."""
    if "error" in message:
        return message["error"].get("message", "")
    result = message["result"]
    return " ".join(part.get("text", "") for part in result["content"]) if result.get("isError") else None


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
                await self.work(connection, path)
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

    async def work(self, connection, path):
        await self.call(connection, path)

    async def read(self, connection, path, headers, call, answers, last=None):
        """A stream that ends before its answer is one that the client polls; `last` is the last event of an earlier connection."""
        last = await super().read(connection, path, headers, call, answers) or last
        begun = time.monotonic()
        while last and not answers and time.monotonic() - begun < READ_SECONDS:
            self.world.counts["polled"] += 1
            await asyncio.sleep(0.5)
            headers = await self.go_on(connection, path, last)
            last = await super().read(connection, path, headers, call, answers) or last
        return last

    async def go_on(self, connection, path, last):
        """Asks for what comes after an event; returns the headers of the answer."""
        wanted = {**self.headers(""), "Accept": "text/event-stream", "Last-Event-ID": last}
        await connection.send("GET", path, wanted)
        status, headers = await connection.head()
        if status != 200:
            self.world.found(f"the rest after {last} got status {status}")
        return headers

    async def _open(self, connection, path):
        client = {"name": "soak", "version": "1"}
        params = {"protocolVersion": self._version, "capabilities": self.declares, "clientInfo": client}
        number, body = self.request("initialize", params)
        begun = time.monotonic()
        await connection.send("POST", path, self.headers("initialize"), body)
        status, headers = await connection.head()
        answers = [message async for message in messages(connection, headers)]
        if len(answers) != 1 or answers[0].get("id") != number:
            self.world.found(f"initialize got status {status} and {json.dumps(answers)[:200]}")
            return False
        if "error" in answers[0]:
            self.world.counts["initialize refused"] += 1
            self._refused(path, begun, answers[0])
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
        """The standalone stream, polled by those who know that: nothing on it may answer a call."""
        connection = await Connection.open(self.world.place)
        last = None
        try:
            while True:
                wanted = {**self.headers(""), "Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
                await connection.send("GET", path, wanted)
                status, headers = await connection.head()
                self.world.counts["standalone streams"] += not last
                async for event, message in events(connection, headers):
                    last = event or last
                    if message is not None and "method" not in message and status == 200:
                        self.world.found(f"a response on a standalone stream: {json.dumps(message)[:200]}")
                if status != 200 or not last:
                    return
                await asyncio.sleep(0.5)
        except (Lost, OSError):
            pass  # it ends with its session
        finally:
            connection.close()


class Resumer(LegacyCaller):
    """Loses its connection in the middle of each call, and comes back for the rest of the answer on another."""

    def __init__(self, world, number):
        super().__init__(world, number)
        self._version = LEGACY[-1]

    async def work(self, connection, path):
        lost = await Connection.open(self.world.place)
        try:
            await self.call(lost, path)
        finally:
            lost.close()

    async def read(self, connection, path, headers, call, answers):
        """Leaves after the first event from which it can go on, and goes on elsewhere."""
        last = None
        async for event, message in events(connection, headers):
            if message is not None and "method" not in message:
                answers.append(message)
            if last := event:
                break
        if not last or answers:
            return last
        connection.reset()
        await asyncio.sleep(self.world.chance.uniform(0, 1))
        other = await Connection.open(self.world.place)
        try:
            headers = await self.go_on(other, path, last)
            self.world.counts["resumed"] += 1
            return await super().read(other, path, headers, call, answers, last)
        finally:
            other.close()


class LegacyAsked(LegacyCaller):
    """Calls a tool that asks, and answers on another connection while its stream is open."""

    declares = {"elicitation": {}}

    def __init__(self, world, number):
        super().__init__(world, number)
        self._version = LEGACY[1 + number // 10 % 2]

    def path(self):
        return _asking(self.world)

    async def work(self, connection, path):
        await self.call(connection, path, tool="ask", delay=0)

    async def answer(self, path, question, token):
        self.world.counts["asked, legacy"] += 1
        said = _answer(self.world, question["params"], token)
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": said}).encode()
        connection = await Connection.open(self.world.place)
        try:
            await connection.send("POST", path, self.headers(""), body)
            status, headers = await connection.head()
            async for _ in messages(connection, headers):
                pass
            if status != 202:
                self.world.found(f"the answer to a question got status {status}")
        finally:
            connection.close()


class ModernAsked(ModernCaller):
    """The same in rounds: it is told what is asked, and calls again with the answer."""

    declares = {"elicitation": {}}

    def path(self):
        return _asking(self.world)

    async def call(self, connection, path, pad=0, delay=0, tool="ask", more=None):
        token, answer = await super().call(connection, path, 0, 0, "ask", more)
        result = answer.get("result", {})
        if result.get("resultType") != "input_required":
            return token, answer
        await self.pause()
        asked = result["inputRequests"]
        said = {key: _answer(self.world, request["params"], token) for key, request in asked.items()}
        again = {"arguments": {"token": token, "delay_ms": 0, "pad": 0}, "inputResponses": said}
        if "requestState" in result:
            again["requestState"] = result["requestState"]
        return await super().call(connection, path, 0, 0, "ask", again)


def _asking(world):
    """A server to be asked by. A child that asks without saying in which call has a process for each, so it is rarely that."""
    names = [name for name in world.names if name != "child-legacy" or world.chance.random() < 0.2]
    return f"/mcp/s/{world.chance.choice(names)}"


def _answer(world, question, token):
    """What the user says to a question, which has to be that of this very call."""
    if token not in question["message"].split():
        world.found(f"{token} was asked: {question['message'][:200]}")
    return {"action": "accept", "content": {"word": token}}


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
