"""A gateway that only checks tokens, before an OpenID provider that does all that MCP clients need: resource indicators, JWT access
tokens, registration. Nothing of the gateway's own logs anybody in.

Two users are in different groups there. Each sees the tools of their groups, and may call no others. One tool needs a scope that no
token has at first: the clients are told so, and log in again for it by themselves.
"""

import json

from ground import EVERYTHING, HELLO, HERE, post, run_client  # first: it says where `stage` is

from stage import NODE, PYTHON

SCOPE, MORE = "mcp", "mcp:write"
ECHO, SUM = "everything__echo", "everything__get-sum"
POLICY = f"""
permit (principal in Group::"engineering", action, resource in Server::"everything");
permit (principal in Group::"sales", action, resource == Tool::"everything/echo");
@id("sums-by-scope")
forbid (principal, action == Action::"tools/call", resource == Tool::"everything/get-sum")
unless {{ context has scopes && context.scopes.contains("{MORE}") }};
"""
CLIENTS = (
    ("typescript-v2", [NODE, HERE / "typescript.mjs"], []),
    ("typescript-v2-auto", [NODE, HERE / "typescript.mjs"], ["auto"]),
    ("python-mcp", [PYTHON, HERE / "python.py"], [NODE]),
)


def walk(stage, binary, tally):
    provider = [NODE, HERE / "provider.mjs"]
    issuer = stage.start("groups-provider", provider, r"listening (http://\S+)").found[1]
    (stage.path / "of-groups.cedar").write_text(POLICY)
    config = {
        "listen": "127.0.0.1:0",
        "servers": {"everything": {"command": str(NODE), "args": [str(EVERYTHING)]}},
        "identity": {"issuers": [{"issuer": issuer}], "scopes": [SCOPE], "step_up": [MORE]},
        "policy": {"files": ["of-groups.cedar"]},
    }
    path = stage.path / "groups.json"
    path.write_text(json.dumps(config))
    command = [binary.resolve(), "serve", "--config", path]
    url = stage.start("groups", command, r"(http://127\.0\.0\.1:\d+)/mcp").found[1] + "/mcp"
    tokens = {}
    for name, program, arguments in CLIENTS:
        told = run_client(stage, name, program, url, "ada", arguments, STEP_UP=SUM)
        tally.check(f"{name} of engineering sees all tools", (told.get("tools") or 0) > 5, told)
        tally.check(f"{name} of engineering calls one that its first token is good for", told.get("said") == "Echo: ada", told)
        stepped = told.get("stepped") or ""
        tally.check(f"{name} logs in again by itself for one that needs more", "5" in stepped and "without a login" not in stepped, told)
        tokens["ada"] = told.get("token", "")
        told = run_client(stage, name, program, url, "bob", arguments)
        tally.check(f"{name} of sales sees the tool of its group and no other", told.get("tools") == 1, told)
        tally.check(f"{name} of sales calls it", told.get("said") == "Echo: bob", told)
        tokens["bob"] = told.get("token", "")
    by_hand(tally, url, tokens)


def by_hand(tally, url, tokens):
    """What is not for a group is nothing to it, whatever scopes there are; nobody of sales is sent to log in for it."""
    for who, tool, expected in (("ada", SUM, 200), ("bob", ECHO, 200)):
        status, _, answer = call(url, tokens[who], tool)
        tally.check(f"{who} calls {tool} by hand", status == expected and b'"result"' in answer, (status, answer))
    status, headers, answer = call(url, tokens["bob"], SUM)
    nothing = status == 200 and b"-32602" in answer and "www-authenticate" not in headers
    tally.check("a tool of another group is a name of nothing", nothing, (status, headers, answer))
    status, _, other = call(url, tokens["bob"], "everything__nothing")
    same = other.replace(b"everything__nothing", SUM.encode()) == answer
    tally.check("and is answered as one, byte for byte", status == 200 and same, (other, answer))


def call(url, token, tool):
    """One call in a session of its own."""
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    _, headers, _ = post(url, token, hello)
    session = headers.get("mcp-session-id", "")
    post(url, token, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
    arguments = {"a": 2, "b": 3} if tool == SUM else {"message": "by hand"}
    params = {"name": tool, "arguments": arguments}
    return post(url, token, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}, session)
