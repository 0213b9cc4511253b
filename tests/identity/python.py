"""The Python SDK finds out from a 401 where to log in, registers, logs in and calls. `python python.py URL LOGIN NODE`

With CLIENT_DOCUMENT, it has its metadata at that URL instead of registering. With REFRESH, it finds its token expired after the
first call. With STEP_UP, it calls a tool of that name as well, for which its token may not be good. Prints one line of JSON: the era, what the tool said, and the token, for the test to misuse.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

URL, LOGIN, NODE = sys.argv[1:4]
DOCUMENT, REFRESH = os.environ.get("CLIENT_DOCUMENT"), "REFRESH" in os.environ
REDIRECT = "http://127.0.0.1:33419/callback"
BROWSER = Path(__file__).resolve().parent / "browser.mjs"


class Storage:
    """Keeps everything for as long as the process lives."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Browser:
    async def open(self, url):
        self.url = url

    async def come_back(self):
        command = [NODE, str(BROWSER), self.url, REDIRECT, LOGIN]
        back = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        answer = {name: values[0] for name, values in parse_qs(urlparse(back).query).items()}
        return AuthorizationCodeResult(code=answer["code"], state=answer.get("state"), iss=answer.get("iss"))


async def main():
    storage, browser = Storage(), Browser()
    metadata = OAuthClientMetadata(
        client_name="portcullis test",
        redirect_uris=[REDIRECT],
        grant_types=["authorization_code", "refresh_token"] if REFRESH else ["authorization_code"],
        response_types=["code"],
        token_endpoint_auth_method="none",
        application_type="native",
    )
    provider = OAuthClientProvider(
        URL, metadata, storage, browser.open, browser.come_back, client_metadata_url=DOCUMENT
    )
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with Client(streamable_http_client(URL, http_client=http)) as client:
            tools = await client.list_tools()
            result = await client.call_tool("everything__echo", {"message": LOGIN})
            first, refreshed = storage.tokens.access_token, None
            if REFRESH:
                provider.context.token_expiry_time = 1.0
                again = await client.call_tool("everything__echo", {"message": "again"})
                refreshed = again.content[0].text == "Echo: again" and storage.tokens.access_token != first
            stepped = None
            if "STEP_UP" in os.environ:
                more = await client.call_tool(os.environ["STEP_UP"], {"a": 2, "b": 3})
                stepped = more.content[0].text
            told = {
                "era": client.protocol_version,
                "tools": len(tools.tools),
                "client": storage.client.client_id if storage.client else DOCUMENT,
                "refreshed": refreshed,
                "stepped": stepped,
                "said": result.content[0].text,
                "token": storage.tokens.access_token,
            }
            print(json.dumps(told))


asyncio.run(main())
