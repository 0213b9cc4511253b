"""Real clients log in at the gateway before each large identity provider, as a fake of what is recorded of it (`quirks.mjs`).

None of these providers can log an MCP client in by itself. The clients know nothing of that: they are told the URL of the gateway and
find their way from a bare 401, and the provider is asked for nothing that it would refuse.
"""

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from ground import EVERYTHING, HERE, eventually, run_client  # first: it says where `stage` is

from facade import PYTHON_CLIENT, SCOPE, TYPESCRIPT, certificate
from stage import NODE, free_port

TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
# Each profile: who `ada` is by its tokens, the group that she has her tools by, and the tenants that are let in.
PROFILES = {
    "entra": (f"{TENANT}.00000000-0000-0000-0000-00000000000a", "5e1f1a9e-0000-4000-8000-000000000001", [TENANT]),
    "okta": ("00u-ada", "staff", None),
    "google": ("1101694844742-ada", None, ["example.com"]),
    "cognito": ("c-ada", "staff", None),
}
CLIENTS = (("typescript-v2", TYPESCRIPT, []), ("typescript-v2-auto", TYPESCRIPT, ["auto"]), ("python-mcp", PYTHON_CLIENT, [NODE]))
LOGS = tuple(f"{kind}-{profile}" for profile in PROFILES for kind in ("quirks", "gateway"))


def walk(stage, binary, tally):
    authority, leaf, leaf_key = certificate(stage, "quirks")
    (stage.path / "quirks-secret").write_text("of-the-gateway-and-nobody-else\n")
    for profile in PROFILES:
        log_in(stage, binary, tally, profile, (authority, leaf, leaf_key))


def log_in(stage, binary, tally, profile, certificates):
    subject, group, tenants = PROFILES[profile]
    authority, leaf, leaf_key = certificates
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [NODE, HERE / "quirks.mjs", profile, leaf, leaf_key, f"{base}/as/callback"]
    issuer = stage.start(f"quirks-{profile}", command, r"listening (https://\S+)").found[1]
    scope = f'in Group::"{group}"' if group else ""
    (stage.path / f"{profile}.cedar").write_text(f"permit (principal {scope}, action, resource);\n")
    idp = {"issuer": issuer, "client_id": "gateway", "client_secret": {"file": "quirks-secret"}, "profile": profile,
           "ca": str(authority), **({"tenants": tenants} if tenants else {})}
    config = {
        "listen": f"127.0.0.1:{port}",
        "servers": {"everything": {"command": str(NODE), "args": [str(EVERYTHING)]}},
        "identity": {"scopes": [SCOPE], "facade": {"idp": idp, "registration": True}},
        "policy": {"files": [f"{profile}.cedar"]},
        "telemetry": {"log": {"filter": "info,portcullis_gateway=debug"}},
    }
    path = stage.path / f"{profile}.json"
    path.write_text(json.dumps(config))
    stage.start(f"gateway-{profile}", [Path(binary).resolve(), "serve", "--config", path], r"(http://127\.0\.0\.1:\d+)/mcp")
    trusting = {"NODE_EXTRA_CA_CERTS": str(authority)}
    for name, program, arguments in CLIENTS:
        told = run_client(stage, name, program, f"{base}/mcp", "ada", arguments, **trusting)
        what = f"{profile}: {name}"
        tally.check(f"{what} logs in and calls", told.get("said") == "Echo: ada", told)
        tally.check(f"{what} has the tools of its user's group", (told.get("tools") or 0) > 5, told)
    who = f"user:{base}/as#{subject}"
    tally.check(f"{profile}: the log knows ada as {subject}", eventually(lambda: who in stage.log_of(f"gateway-{profile}")), who)
    refused = [line for line in stage.log_of(f"quirks-{profile}").splitlines() if line.startswith("refused")]
    tally.check(f"{profile} is asked for nothing that it refuses", refused == [], refused)
    alone = by_itself(issuer, authority, f"{base}/as/callback")
    tally.check(f"{profile} alone is of no use to a client", all(status >= 400 for status in alone.values()), alone)
    if profile == "google":
        told = run_client(stage, "typescript-v2", TYPESCRIPT, f"{base}/mcp", "eve", [], **trusting)
        said = stage.log_of(f"gateway-{profile}")
        out = "error" in told and "people of that tenant are not let in here" in said
        tally.check(f"{profile}: whoever is of another organization is not let in", out, told)


def by_itself(issuer, authority, callback):
    """What a client is answered that goes to the provider itself: about the metadata and registration of OAuth, and a scope of ours."""
    origin = "/".join(issuer.split("/")[:3])
    path = issuer.removeprefix(origin)
    asked = urllib.parse.urlencode({"client_id": "gateway", "redirect_uri": callback, "response_type": "code", "scope": f"openid {SCOPE}"})
    context = ssl.create_default_context(cafile=authority)

    def ask(url, body=None):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    metadata = json.loads(ask(f"{issuer}/.well-known/openid-configuration")[1])
    return {
        "metadata": ask(f"{origin}/.well-known/oauth-authorization-server{path}")[0],
        "registration": ask(metadata.get("registration_endpoint", f"{origin}/register"), b"{}")[0],
        "scope": ask(f"{metadata['authorization_endpoint']}?{asked}")[0],
    }
