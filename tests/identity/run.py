#!/usr/bin/env python3
"""Real clients log in at a real OpenID provider, by themselves, from a bare 401, and stay who they are.

    run.py --bin target/release/portcullis

The provider is `oidc-provider` with two users; behind the gateway stands server-everything. Each client is told nothing but
the URL of the gateway. Then their tokens are misused. In the second half (`facade.py`) the gateway logs them in itself, and
the provider is asked for nothing but a plain OpenID login. Exit code 0 when everything was as it must be, 1 when something was
not, 2 for wrong usage, 3 when a program does not start.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import facade
from stage import NODE, PEERS, PYTHON, Stage, StageError, install_peers

CLIENT_SECONDS = 60
EVERYTHING = PEERS / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
SCOPE = "mcp"
CLIENTS = (
    ("typescript-v2", [NODE, HERE / "typescript.mjs"], "ada", [], "2025-"),
    ("typescript-v2-auto", [NODE, HERE / "typescript.mjs"], "bob", ["auto"], "2026-"),
    ("python-mcp", [PYTHON, HERE / "python.py"], "ada", [NODE], "2026-"),
)


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, ok, seen=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok  ' if ok else 'FAIL'}  {what}{'' if ok else f': {seen}'}")


def main():
    parser = argparse.ArgumentParser(description="Real clients log in at a real OpenID provider.")
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    options = parser.parse_args()
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    tally = Tally()
    try:
        install_peers()
        with Stage() as stage:
            try:
                walk(stage, options.bin, tally)
                facade.walk(stage, options.bin, tally, run_client)
            finally:
                if tally.failed:
                    for name in ("gateway", "facade", "facade-provider"):
                        print(f"\nLast lines of {name}:\n{stage.log_of(name)[-3000:]}\n")
            print(f"{tally.passed} passed, {tally.failed} failed ({stage.seconds():.1f} s)")
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    sys.exit(1 if tally.failed else 0)


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


def run_client(stage, name, program, url, login, arguments, **environment):
    command = [str(part) for part in [*program, url, login, *arguments]]
    environment = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=stage.path, timeout=CLIENT_SECONDS, capture_output=True, text=True, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"{name} took longer than {CLIENT_SECONDS} s"}
    if done.returncode != 0:
        return {"error": (done.stderr or done.stdout)[-3000:]}
    return json.loads(done.stdout.splitlines()[-1])


def misuse(tally, base, tokens):
    status, headers, _ = post(f"{base}/mcp", None, {})
    challenge = headers.get("www-authenticate", "")
    tally.check("a bare request is told where to log in", status == 401 and "resource_metadata=" in challenge, headers)
    tally.check("and with which scope", f'scope="{SCOPE}"' in challenge, challenge)
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
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


def post(url, token, message, session=None, more=None):
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **(more or {})}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if session is not None:
        headers["mcp-session-id"] = session
    request = urllib.request.Request(url, json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def eventually(ask, seconds=10):
    end = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    main()
