#!/usr/bin/env python3
"""Real clients log in at a real OpenID provider, by themselves, from a bare 401, and stay who they are.

    run.py --bin target/release/portcullis

The provider is `oidc-provider` with two users; behind the gateway stands server-everything. Each client is told nothing but
the URL of the gateway. Then their tokens are misused; and, in `groups.py`, each has the tools of their groups there, and logs in again for
one that needs a scope more. In the second part (`facade.py`) the gateway logs them in itself, and
the provider is asked for nothing but a plain OpenID login; in the last (`quirks.py`), each large provider stands behind it, as a fake
of its recorded behaviour. Exit code 0 when everything was as it must be, 1 when something was
not, 2 for wrong usage, 3 when a program does not start.
"""

from ground import EVERYTHING, HELLO, HERE, eventually, play, post, run_client  # first: it says where `stage` is

import facade
import groups
import quirks
from stage import NODE, PYTHON

SCOPE = "mcp"
CLIENTS = (
    ("typescript-v2", [NODE, HERE / "typescript.mjs"], "ada", [], "2025-"),
    ("typescript-v2-auto", [NODE, HERE / "typescript.mjs"], "bob", ["auto"], "2026-"),
    ("python-mcp", [PYTHON, HERE / "python.py"], "ada", [NODE], "2026-"),
)


def walk(stage, binary, tally):
    issuer = stage.start("provider", [NODE, HERE / "provider.mjs"], r"listening (http://\S+)").found[1]
    servers = {"everything": {"command": str(NODE), "args": [str(EVERYTHING)]}}
    identity = {"issuers": [{"issuer": issuer}], "scopes": [SCOPE]}
    telemetry = {"log": {"filter": "info,portcullis_gateway=debug"}}
    base = stage.start_gateway(binary, servers, identity=identity, telemetry=telemetry)
    tokens = {}
    for name, program, login, arguments, era in CLIENTS:
        told = run_client(stage, name, program, f"{base}/mcp", login, arguments)
        tally.check(f"{name} logs in as {login} and calls", told.get("said") == f"Echo: {login}", told)
        tally.check(f"{name} speaks {era}", str(told.get("era")).startswith(era), told)
        tokens[login] = told.get("token", "")
        who = f"user:{issuer}#{login}"
        tally.check(f"the log knows {login}", eventually(lambda: who in stage.log_of("gateway")), who)
    misuse(tally, base, tokens)
    facade.examine(stage, binary, tally, f"{base}/mcp", {"registration": "warning"})
    said = stage.log_of("gateway")
    tally.check("no token is in the log", not any(token and token in said for token in tokens.values()))


def misuse(tally, base, tokens):
    status, headers, _ = post(f"{base}/mcp", None, {})
    challenge = headers.get("www-authenticate", "")
    tally.check("a bare request is told where to log in", status == 401 and "resource_metadata=" in challenge, headers)
    tally.check("and with which scope", f'scope="{SCOPE}"' in challenge, challenge)
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    status, headers, _ = post(f"{base}/mcp", tokens["ada"], hello)
    session = headers.get("mcp-session-id", "")
    tally.check("ada opens a session", status == 200 and session != "", status)
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    for who, expected in (("ada", 200), ("bob", 404)):
        status, _, _ = post(f"{base}/mcp", tokens[who], ping, session)
        tally.check(f"for {who}, ada's session is {expected}", status == expected, status)
    status, _, _ = post(f"{base}/mcp/s/everything", tokens["ada"], hello)
    tally.check("a token for /mcp is none for /mcp/s/everything", status == 401, status)
    head, claims, signature = tokens["bob"].split(".")
    mixed = ".".join([head, tokens["ada"].split(".")[1], signature])
    status, _, _ = post(f"{base}/mcp", mixed, hello)
    tally.check("bob's signature under ada's claims is refused", status == 401, status)


if __name__ == "__main__":
    description = "Real clients log in at a real OpenID provider."
    logs = ("gateway", "groups", "groups-provider", "facade", "facade-provider", *quirks.LOGS)
    play(description, [walk, groups.walk, facade.walk, quirks.walk], logs)
