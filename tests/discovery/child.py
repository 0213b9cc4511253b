"""An MCP server (2025-11-25, stdio) that lists the tools of a file, `child.py TOOLS.json`, and answers each call with its own
process id."""

import json
import os
import sys

TOOLS = json.load(open(sys.argv[1]))
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "made-up", "version": "1"},
}


def answer(method):
    if method == "initialize":
        return {"result": HELLO}
    if method == "tools/list":
        return {"result": {"tools": TOOLS}}
    if method == "tools/call":
        return {"result": {"content": [{"type": "text", "text": str(os.getpid())}]}}
    return {"error": {"code": -32601, "message": "no such method"}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request["method"])}), flush=True)
