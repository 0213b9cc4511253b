"""Reads a registry with a client that others wrote, and prints what it understood as one JSON object.

    client.py URL

The client is that of langchain-mcp-registry, whose models refuse what the format does not allow. The rest of that package is
for LangChain and is not loaded.
"""

import asyncio
import importlib.util
import json
import sys
import tempfile
import types

NAME = "langchain_mcp_registry"


def load():
    """The client's module, without what its package imports beside it."""
    package = types.ModuleType(NAME)
    package.__path__ = list(importlib.util.find_spec(NAME).submodule_search_locations)
    sys.modules[NAME] = package
    from langchain_mcp_registry import client, exceptions

    return client.MCPRegistryClient, exceptions.ServerNotFoundError


async def read(url):
    client_of, not_found = load()
    with tempfile.TemporaryDirectory() as cache:
        async with client_of(registry_url=f"{url}/v0.1/servers", cache_dir=cache) as client:
            told = lambda server: {
                "name": server.name,
                "version": server.version,
                "url": server.remotes[0].url,
                "packages": server.packages,
                "status": server.metadata.status,
                "latest": server.metadata.is_latest,
            }
            listed = await client.search_servers(limit=100)
            found = {
                "listed": [told(server) for server in listed],
                "latest": [told(server) for server in await client.search_servers(version="latest")],
                "searched": [told(server) for server in await client.search_servers(query="SUMS")],
                "versions": [told(server) for server in await client.get_server_versions("com.example/sums")],
                "one": told(await client.get_server_details("com.example/sums")),
            }
            try:
                await client.get_server_details("com.example/none")
                found["none"] = "found"
            except not_found:
                found["none"] = "not found"
            return found


print(json.dumps(asyncio.run(read(sys.argv[1]))))
