"""MCP by hand, so that no SDK smooths over a difference: two eras, over a child's pipes and over Streamable HTTP.

A `Link` carries JSON-RPC messages and gives back, for each request, the whole answer: `{"result": …}` or
`{"error": …}`. `Legacy` and `Modern` are the two eras on top of a link. Whatever a server asks in between is refused
with -32601, since no client capability is declared; notifications are dropped. Numbers keep their text (`Decimal`), so
1.0 that became 1 is a difference.
"""

import base64
import http.client
import json
import queue
import subprocess
import threading
import time
from decimal import Decimal

LEGACY, MODERN = "legacy", "modern"
VERSION = {LEGACY: "2025-11-25", MODERN: "2026-07-28"}
CLIENT = {"name": "portcullis-sweep", "version": "1"}
META = "io.modelcontextprotocol/"
STOP_SECONDS = 5


class Silence(Exception):
    """No answer came: the time was over, the process ended, or the connection broke."""


def read(text):
    """A JSON text; raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def canonical(value):
    """The same text for the same value, whatever the order of its members."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


class Stdio:
    """A server as a child process."""

    def __init__(self, command, env, cwd):
        self._process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._messages = queue.Queue()
        self._next = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            try:
                message = read(line.decode())
            except ValueError:
                continue  # some servers print greetings here
            if isinstance(message, dict):
                self._messages.put(message)
        self._messages.put(None)

    def _write(self, message):
        try:
            self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}, default=float).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Silence(f"cannot write: {error}") from error

    def request(self, method, params, seconds):
        self._next += 1
        self._write({"id": self._next, "method": method, **({} if params is None else {"params": params})})
        end = time.monotonic() + seconds
        while True:
            try:
                message = self._messages.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise Silence(f"no answer within {seconds} s") from None
            if message is None:
                self._messages.put(None)
                raise Silence("the process ended")
            if "method" in message:
                if "id" in message:
                    self._write({"id": message["id"], "error": {"code": -32601, "message": "not supported"}})
            elif message.get("id") in (self._next, str(self._next)):
                return {key: message[key] for key in ("result", "error") if key in message}
            elif message.get("id") is None and "error" in message:
                return {"error": message["error"]}  # a server that could not read the request

    def notify(self, method, params=None):
        self._write({"method": method, **({} if params is None else {"params": params})})

    def close(self):
        try:
            self._process.stdin.close()
        except OSError:
            pass
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)


class Http:
    """An endpoint of the gateway. One connection, one request at a time."""

    def __init__(self, host, port, path):
        self._place, self._path = (host, port), path
        self._next = 0
        self.headers = {}

    def request(self, method, params, seconds):
        self._next += 1
        body = {"jsonrpc": "2.0", "id": self._next, "method": method}
        if params is not None:
            body["params"] = params
        status, headers, text = self._post(body, seconds)
        if session := headers.get("mcp-session-id"):
            self.headers["Mcp-Session-Id"] = session
        message = last_message(headers.get("content-type", ""), text, self._next)
        if message is None:
            raise Silence(f"HTTP status {status} and {text[:200]!r}")
        answer = {key: message[key] for key in ("result", "error") if key in message}
        return {**answer, "status": status}

    def notify(self, method, params=None):
        body = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            body["params"] = params
        status, _, text = self._post(body, 10)
        if status != 202:
            raise Silence(f"a notification was answered with {status} {text[:200]!r}")

    def _post(self, body, seconds):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        connection = http.client.HTTPConnection(*self._place, timeout=seconds)
        try:
            connection.request("POST", self._path, json.dumps(body, default=float), {**headers, **self.headers})
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Silence(f"HTTP: {error!r}") from error
        finally:
            connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text

    def close(self):
        if "Mcp-Session-Id" in self.headers:
            connection = http.client.HTTPConnection(*self._place, timeout=10)
            try:
                connection.request("DELETE", self._path, headers=self.headers)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                pass  # the gateway is ended next
            finally:
                connection.close()


def last_message(kind, text, wanted):
    """The response with the id `wanted` in an HTTP body, plain or as an event stream."""
    texts = [text]
    if kind.startswith("text/event-stream"):
        events = text.replace("\r\n", "\n").split("\n\n")
        texts = ["\n".join(line[5:].strip() for line in event.split("\n") if line.startswith("data:")) for event in events]
    for one in texts:
        try:
            message = read(one)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("id") == wanted and "method" not in message:
            return message
    return None


class Legacy:
    """A client that opens a session with `initialize`."""

    era = LEGACY

    def __init__(self, link):
        self._link = link

    def hello(self, seconds):
        params = {"protocolVersion": VERSION[LEGACY], "capabilities": {}, "clientInfo": CLIENT}
        answer = self._link.request("initialize", params, seconds)
        if "result" in answer:
            if isinstance(self._link, Http):
                self._link.headers["MCP-Protocol-Version"] = str(answer["result"]["protocolVersion"])
            self._link.notify("notifications/initialized")
        return answer

    def ask(self, method, params, seconds, schema=None):
        del schema
        return self._link.request(method, params or None, seconds)


class Modern:
    """A client whose every request carries all that a server has to know."""

    era = MODERN

    def __init__(self, link):
        self._link = link

    def hello(self, seconds):
        return self.ask("server/discover", {}, seconds)

    def ask(self, method, params, seconds, schema=None):
        meta = {META + "protocolVersion": VERSION[MODERN], META + "clientCapabilities": {}, META + "clientInfo": CLIENT}
        if isinstance(self._link, Http):
            self._link.headers = {"MCP-Protocol-Version": VERSION[MODERN], "Mcp-Method": method}
            if (name := params.get("name", params.get("uri"))) is not None and "ref" not in params:
                self._link.headers["Mcp-Name"] = header_value(name)
            for name, value in mirrored(schema or {}, params.get("arguments") or {}):
                self._link.headers[f"Mcp-Param-{name}"] = header_value(value)
        return self._link.request(method, {**params, "_meta": meta}, seconds)


def mirrored(schema, arguments):
    """The arguments that `x-mcp-header` of an input schema wants as headers."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for key, inner in (properties or {}).items():
        value = arguments.get(key)
        if not isinstance(inner, dict) or value is None:
            continue
        if "x-mcp-header" in inner:
            yield inner["x-mcp-header"], {True: "true", False: "false"}.get(value, str(value))
        elif isinstance(value, dict):
            yield from mirrored(inner, value)


def header_value(text):
    """The text itself where a header can hold it, else its Base64 form."""
    plain = all(" " <= letter <= "~" for letter in text) and text == text.strip() and not text.startswith("=?base64?")
    return text if plain else f"=?base64?{base64.b64encode(text.encode()).decode()}?="
