#!/usr/bin/env python3
"""A stdio MCP server of the legacy era that leaves as much behind as it can.

Its one tool, `whoami`, answers with its process id, so that a caller knows which process served it. With
SOAK_BROOD=1 in its environment it starts a grandchild that leaves the process group and session (setsid), holds
none of the pipes and ignores SIGTERM, SIGINT and SIGHUP: whoever cleans up after this server has to find that
one too. The server itself is well behaved: it ends when its standard input does. Standard library only.
"""

import json
import os
import subprocess
import sys

GRANDCHILD = """
import signal
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("ignoring", flush=True)
while True:
    signal.pause()
"""

TOOLS = [{"name": "whoami", "description": "Says which process answers.", "inputSchema": {"type": "object"}}]


def start_grandchild():
    """Starts the grandchild and returns its process id once it ignores signals."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", GRANDCHILD],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.stdout.readline()
    return process.pid


def answer(method, params, grandchild):
    """The result of a request, or None for an unknown method."""
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion", "2025-11-25"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "soak-child", "version": "1"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        text = json.dumps({"pid": os.getpid(), "grandchild": grandchild})
        return {"content": [{"type": "text", "text": text}]}
    return None


def serve(answer):
    """Answers what comes on standard input, until it ends, with the result that `answer` has for a method and its params."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message.get("method"), message.get("params") or {})
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        if result is None:
            reply["error"] = {"code": -32601, "message": "no such method"}
        else:
            reply["result"] = result
        print(json.dumps(reply), flush=True)


def brood():
    """A grandchild's process id, where one is asked for."""
    return start_grandchild() if os.environ.get("SOAK_BROOD") == "1" else None


def main():
    grandchild = brood()
    serve(lambda method, params: answer(method, params, grandchild))


if __name__ == "__main__":
    main()
