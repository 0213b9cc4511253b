"""With which `credentials` the gateway calls the suite's mock server, for each scenario of authorization.

What a scenario hands to a client (`MCP_CONFORMANCE_CONTEXT`) is what an operator would write down. A secret goes only
where the operator says: so where there is one, the authorization server is looked up beforehand, as an operator does.
"""

import json
import os
import urllib.request
from urllib.parse import urlsplit

CLIENT_DOCUMENT = "https://conformance-test.local/client-metadata.json"
"""The client id that the suite wants to see where an authorization server reads such documents."""


def credentials_for(scenario, url, directory):
    """The `credentials` of the server at `url`; files that they need are put into `directory`."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    everywhere = {"private_network": True}  # the mocks live on loopback
    match scenario.removeprefix("auth/"):
        case "client-credentials-jwt":
            own = {"client_id": context["client_id"], "private_key": context["private_key_pem"]}
            return {"kind": "client-credentials", "issuer": issuer_of(url), **own, **everywhere}
        case "client-credentials-basic":
            return {"kind": "client-credentials", "issuer": issuer_of(url), **client(context), **everywhere}
        case "pre-registration":
            return {"kind": "oauth", "issuer": issuer_of(url), **client(context), **everywhere}
        case "enterprise-managed-authorization":
            idp = {"token_url": context["idp_token_endpoint"], "client_id": context["idp_client_id"]}
            subject = {"subject_token": context["idp_id_token"], "subject_token_type": "id-token"}
            own = {"issuer": issuer_of(url), **client(context), "idp": idp, **subject}
            return {"kind": "id-jag", **own, **everywhere}
        case "wif-jwt-bearer":
            file = directory / "workload.jwt"
            file.write_text(context["valid_jwt"])
            own = {"client_id": context["client_id"], "token_file": str(file)}
            return {"kind": "workload-identity", **own, **everywhere}
        case name:
            dpop = {"dpop": True} if name.startswith("dpop") else {}
            return {"kind": "oauth", "client_metadata_url": CLIENT_DOCUMENT, **dpop, **everywhere}


def client(context):
    return {"client_id": context["client_id"], "client_secret": context["client_secret"]}


def issuer_of(url):
    """The authorization server that the mock names."""
    place = urlsplit(url)
    document = f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource{place.path}"
    with urllib.request.urlopen(document, timeout=5) as answer:
        return json.load(answer)["authorization_servers"][0]
