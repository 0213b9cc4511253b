"""Real clients log in at the gateway itself, which is one plain OpenID client of the provider behind it.

The provider here knows one client, the gateway, and no other way in. The clients find their way from a bare 401: known by a
metadata document or by registration, asked for consent before they see the provider, refreshed, and each user with the tools
that a policy gives their groups.
"""

import json
import subprocess
from pathlib import Path

from ground import EVERYTHING, HELLO, HERE, post, run_client  # first: it says where `stage` is

from stage import NODE, PYTHON, free_port

SCOPE = "mcp"
POLICY = """
permit (principal in Group::"engineering", action, resource);
permit (principal in Group::"sales", action == Action::"tools/call", resource == Tool::"everything/echo");
"""
TYPESCRIPT, PYTHON_CLIENT = [NODE, HERE / "typescript.mjs"], [PYTHON, HERE / "python.py"]
BY_DOCUMENT, BY_REGISTRATION = "document", "registration"
LOGINS = (
    ("typescript-v2", TYPESCRIPT, "ada", [], BY_DOCUMENT),
    ("typescript-v2-auto", TYPESCRIPT, "bob", ["auto"], BY_REGISTRATION),
    ("python-mcp", PYTHON_CLIENT, "bob", [NODE], BY_DOCUMENT),
    ("python-mcp", PYTHON_CLIENT, "ada", [NODE], BY_REGISTRATION),
)


def walk(stage, binary, tally):
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    callback = f"{base}/as/callback"
    provider = stage.start("facade-provider", [NODE, HERE / "provider.mjs", callback], r"listening (http://\S+)").found[1]
    documents, authority = start_documents(stage)
    (stage.path / "by-group.cedar").write_text(POLICY)
    (stage.path / "secret").write_text("of-the-gateway-and-nobody-else\n")
    config = {
        "listen": f"127.0.0.1:{port}",
        "servers": {"everything": {"command": str(NODE), "args": [str(EVERYTHING)]}},
        "identity": {
            "scopes": [SCOPE],
            "facade": {
                "idp": {"issuer": provider, "client_id": "gateway", "client_secret": {"file": "secret"}},
                "registration": True,
                "documents": {"internal": [documents], "ca": str(authority)},
            },
        },
        "policy": {"files": ["by-group.cedar"]},
        "telemetry": {"log": {"filter": "info,portcullis_gateway=debug"}},
    }
    path = stage.path / "facade.json"
    path.write_text(json.dumps(config))
    command = [Path(binary).resolve(), "serve", "--config", path]
    stage.start("facade", command, r"(http://127\.0\.0\.1:\d+)/mcp")
    examine(stage, binary, tally, f"{base}/mcp", {})
    tools, tokens = {}, {}
    for number, (name, program, login, arguments, way) in enumerate(LOGINS):
        pages = stage.path / f"pages-{number}"
        environment = {"BROWSER_LOG": str(pages), "REFRESH": "1"}
        if way == BY_DOCUMENT:
            environment["CLIENT_DOCUMENT"] = f"{documents}/{'typescript' if program is TYPESCRIPT else 'python'}.json"
        told = run_client(stage, name, program, f"{base}/mcp", login, arguments, **environment)
        what = f"{name}, known by {way}, as {login}"
        tally.check(f"{what}: logs in and calls", told.get("said") == f"Echo: {login}", told)
        known = told.get("client") or ""
        expected = environment.get("CLIENT_DOCUMENT", "dcr-")
        tally.check(f"{what}: is known as it should be", known.startswith(expected), told)
        tally.check(f"{what}: its token is renewed by itself", told.get("refreshed") is True, told)
        seen = pages.read_text().splitlines() if pages.exists() else []
        asked = seen[:1] == ["Allow access"] and seen.count("Allow access") == 1 and len(seen) > 1
        tally.check(f"{what}: is asked here before the provider, and once", asked, seen)
        tools.setdefault(login, set()).add(told.get("tools"))
        tokens[login] = told.get("token", "")
    own = tools["bob"] == {1} and len(tools["ada"]) == 1 and (min(tools["ada"]) or 0) > 5
    tally.check("each user has the tools of their groups", own, tools)
    for login in ("ada", "bob"):
        who = f"user:{base}/as#{login}"
        tally.check(f"the log knows {login} by the gateway's own issuer", who in stage.log_of("facade"), who)
    said = stage.log_of("facade")
    tally.check("no token is in the log of the facade", not any(token and token in said for token in tokens.values()))
    examine(stage, binary, tally, f"{base}/mcp", {}, token=tokens["ada"])
    log_out(tally, provider, f"{base}/mcp", tokens)


def log_out(tally, provider, url, tokens):
    """The provider's own word that somebody has logged out there ends what they have here, and nothing of anybody else."""
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    before = {login: post(url, token, hello)[0] for login, token in tokens.items()}
    ended = post(f"{provider}/end/ada", None, {})[0]
    after = {login: post(url, token, hello)[0] for login, token in tokens.items()}
    tally.check("the gateway takes the provider's word that ada has logged out", ended == 204, ended)
    known = before == {"ada": 200, "bob": 200} and after == {"ada": 401, "bob": 200}
    tally.check("which ends ada's token and leaves bob's", known, (before, after))


def examine(stage, binary, tally, url, doubtful, token=None):
    """`portcullis doctor auth` finds a login that works, and doubts nothing but what is said here."""
    command = [Path(binary).resolve(), "doctor", "auth", url, "--json"]
    environment = {"PATH": ""}
    if token is not None:
        command += ["--token-env", "TOKEN"]
        environment["TOKEN"] = token
    done = subprocess.run(command, cwd=stage.path, env=environment, capture_output=True, text=True, timeout=60)
    found = json.loads(done.stdout or "{}").get("findings", [])
    odd = {finding["step"]: finding["verdict"] for finding in found if finding["verdict"] != "ok"}
    what = f"the doctor finds {'a token that gets in' if token else 'a login that works'} at {url}"
    tally.check(what, done.returncode == 0 and len(found) >= 8 and odd == doubtful, done.stdout + done.stderr)


def start_documents(stage):
    """A host of client documents, behind TLS, and the authority to trust for it."""
    authority, leaf, leaf_key = certificate(stage, "documents")
    command = [NODE, HERE / "documents.mjs", leaf, leaf_key]
    return stage.start("documents", command, r"listening (https://\S+)").found[1], authority


def certificate(stage, name):
    """An authority of its own, and a certificate of it for this machine, with its key."""
    authority, key = stage.path / f"{name}-ca.pem", stage.path / f"{name}-ca.key"
    leaf, request, leaf_key = (stage.path / f"{name}.{end}" for end in ("pem", "csr", "key"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
            "-subj", f"/CN={name} test authority", "-keyout", key, "-out", authority)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
            "-keyout", leaf_key, "-out", request)
    (stage.path / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-CAcreateserial", "-days", 2,
            "-extfile", stage.path / f"{name}.ext", "-out", leaf)
    return authority, leaf, leaf_key


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
