#!/usr/bin/env python3
"""Servers are called for the users of a real OpenID provider: by token exchange, and with accounts that they connect.

    delegation.py --bin target/release/portcullis

The provider is `oidc-provider` with two users. Both servers take its tokens for themselves alone, and tell whose they are.
Browsers log in at the provider by themselves. Exit codes are those of `run.py`.
"""

import json
import subprocess
import urllib.request

from ground import EVERYTHING, HERE, play, post, run_client  # first: it says where `stage` is

from stage import NODE, free_port

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def walk(stage, binary, tally):
    issuer = stage.start("provider", [NODE, HERE / "provider.mjs"], r"listening (http://\S+)").found[1]
    wiki, crm = (
        stage.start(name, [NODE, HERE / "protected.mjs", issuer], r"listening (http://\S+)").found[1]
        for name in ("wiki", "crm")
    )
    listen = f"127.0.0.1:{free_port()}"
    login = register(issuer, [f"http://{listen}/oauth/login"], ["authorization_code"])
    exchanger = register(issuer, [], [EXCHANGE, "client_credentials"])
    servers = {
        "everything": {"command": str(NODE), "args": [str(EVERYTHING)]},
        "wiki": {"url": wiki, "credentials": {"kind": "oauth", "private_network": True}},
        "crm": {"url": crm, "credentials": {"kind": "token-exchange", "issuer": issuer, **exchanger}},
    }
    identity = {"issuers": [{"issuer": issuer}], "scopes": ["mcp"], "login": {"issuer": issuer, **login}}
    base = stage.start_gateway(binary, servers, identity=identity, listen=listen)
    tokens = {}
    for user in ("ada", "bob"):
        told = run_client(stage, user, [NODE, HERE / "typescript.mjs"], f"{base}/mcp", user, [])
        tokens[user] = told.get("token", "")
        tally.check(f"{user} logs in", tokens[user] != "", told)
    for user in ("ada", "bob", "ada"):
        said = whoami(call(base, tokens[user], "crm__whoami"))
        tally.check(f"crm is called for {user}", said.get("sub") == user and said.get("aud") == crm, said)
        tally.check("and knows that the gateway acts", said.get("act", {}).get("sub") == exchanger["client_id"], said)
    connect(stage, tally, base, tokens, wiki)
    log = stage.log_of("gateway")
    tally.check("no token is in the log", not any(token and token in log for token in tokens.values()))


def connect(stage, tally, base, tokens, wiki):
    links = {user: link_of(call(base, token, "wiki__portcullis_connect_account")) for user, token in tokens.items()}
    tally.check("each user is given a link", all(links.values()) and links["ada"] != links["bob"], links)
    page = browse(stage, links["ada"], "bob")
    tally.check("bob cannot use ada's link", "not for you" in page, page)
    page = browse(stage, links["ada"], "ada")
    tally.check("ada connects an account in her browser", "Connected" in page, page)
    said = whoami(call(base, tokens["ada"], "wiki__whoami"))
    tally.check("wiki is called for ada", said.get("sub") == "ada" and said.get("aud") == wiki, said)
    again = link_of(call(base, tokens["bob"], "wiki__portcullis_connect_account"))
    tally.check("which connects nothing for bob", again is not None, again)
    page = browse(stage, links["ada"], "ada")
    tally.check("the link is over", "over" in page or "404" in page, page)


def call(base, token, name):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": name, "arguments": {}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    more = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": name}
    return json.loads(post(f"{base}/mcp", token, message, more=more)[2])


def whoami(answer):
    try:
        return json.loads(answer["result"]["content"][0]["text"])
    except (KeyError, ValueError):
        return answer


def link_of(answer):
    return answer.get("error", {}).get("data", {}).get("url")


def browse(stage, link, user):
    """What the last page says that a browser of somebody comes to."""
    command = [str(NODE), str(HERE / "browser.mjs"), link, "page", user]
    done = subprocess.run(command, cwd=stage.path, timeout=60, capture_output=True, text=True)
    return done.stdout + done.stderr


def register(issuer, redirect_uris, grant_types):
    """A client of the provider's, as an operator registers one."""
    metadata = {
        "redirect_uris": redirect_uris,
        "grant_types": grant_types,
        "response_types": ["code"] if redirect_uris else [],
        "application_type": "native" if redirect_uris else "web",
        "token_endpoint_auth_method": "client_secret_basic",
    }
    body, headers = json.dumps(metadata).encode(), {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{issuer}/reg", body, headers), timeout=10) as answer:
        told = json.load(answer)
    return {"client_id": told["client_id"], "client_secret": told["client_secret"]}


if __name__ == "__main__":
    play("Servers are called for the users of a real OpenID provider.", [walk], ["gateway"])
