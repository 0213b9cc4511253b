#!/usr/bin/env python3
"""A stdio MCP server of which there are several versions: each answer says which one gives it, and what it was asked.

The version is its argument. With SOAK_BROOD=1 it has a grandchild as `child.py` has one, and any process that it is killed by
leaves that behind. Standard library only.
"""

import json
import os
import sys

import child


def answer(version, method, params):
    """The result of a request, or None for an unknown method."""
    if method == "initialize":
        revision = params.get("protocolVersion", "2025-11-25")
        info = {"name": "soak-versions", "version": version}
        return {"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "ping":
        return {}
    if method == "tools/list":
        schema = {"type": "object", "properties": {"token": {"type": "string"}}}
        return {"tools": [{"name": "answer", "description": f"Answers as {version}.", "inputSchema": schema}]}
    if method == "tools/call":
        said = {"version": version, "token": params.get("arguments", {}).get("token"), "pid": os.getpid()}
        return {"content": [{"type": "text", "text": json.dumps(said)}]}
    return None


def main():
    version = sys.argv[1]
    child.brood()
    child.serve(lambda method, params: answer(version, method, params))


if __name__ == "__main__":
    main()
