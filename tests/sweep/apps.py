#!/usr/bin/env python3
"""Reads the views of published MCP Apps through the aggregate, as a host of each era does.

    apps.py --bin target/release/portcullis

The servers of `servers.json` that are named below stand behind one gateway. At `/mcp` each tool that names a view must
name it in a form that `resources/read` takes there, in both spellings, with everything else of `_meta` as the server
wrote it; the view must be what the server itself gives, byte for byte, under the URI that was asked for. A view calls
tools by their own names: such a call must reach the tool when one app alone has it, and nobody when two have. Prints a
line for each check; the exit code is 1 when one fails.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import packages
import survey
import wire
from ground import Ground
from stage import Child, Stage, install_peers

APPS = ("budget-allocator", "vanillajs", "map")
UI = {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}}
FLAT = "ui/resourceUri"
SECONDS = 60


class LegacyHost(wire.Legacy):
    """A host that opens a session and shows views."""

    def hello(self, seconds):
        params = {"protocolVersion": wire.VERSION[wire.LEGACY], "capabilities": UI, "clientInfo": wire.CLIENT}
        answer = self._link.request("initialize", params, seconds)
        if isinstance(self._link, wire.Http):
            self._link.headers["MCP-Protocol-Version"] = str(answer["result"]["protocolVersion"])
        self._link.notify("notifications/initialized")
        return answer


class ModernHost(wire.Modern):
    """A host that says with each request that it shows views."""

    def ask(self, method, params, seconds, schema=None):
        link, request = self._link, self._link.request

        def declaring(method, params, seconds):
            params["_meta"][wire.META + "clientCapabilities"] = UI
            return request(method, params, seconds)

        link.request = declaring
        try:
            return super().ask(method, params, seconds, schema)
        finally:
            del link.request


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    options = parser.parse_args()
    known = {server["name"]: server for server in json.loads((HERE / "servers.json").read_text())}
    install_peers()
    packages.lay_path()
    for name in APPS:
        packages.install(known[name])
    with Stage() as stage:
        grounds = {name: Ground(known[name], stage.path) for name in APPS}
        entries = {}
        for name, ground in grounds.items():
            ground.reset()
            entries.update(json.loads(ground.write_config().read_text())["servers"])
        direct = {name: directly(ground) for name, ground in grounds.items()}
        config = stage.path / "apps.json"
        config.write_text(json.dumps({"listen": "127.0.0.1:0", "servers": entries}))
        gateway = Child(
            "gateway", [options.bin.resolve(), "serve", "--config", config], r"http://(127\.0\.0\.1):(\d+)/mcp",
            stage.path / "gateway.log", stage.path, {},
        )
        try:
            gateway.wait_until_ready()
            place = gateway.found[1], int(gateway.found[2])
            failures = sum(check(host, place, direct) for host in (LegacyHost, ModernHost))
        finally:
            gateway.stop()
    sys.exit(1 if failures else 0)


def directly(ground):
    """The tools of a server and its views, as it gives them itself."""
    link = wire.Stdio(ground.command, ground.environment(), ground.files)
    try:
        host = LegacyHost(link)
        host.hello(survey.START_SECONDS)
        tools = {tool["name"]: tool for tool in host.ask("tools/list", {}, SECONDS)["result"]["tools"]}
        views = {}
        for uri in filter(None, map(view_of, tools.values())):
            views[uri] = host.ask("resources/read", {"uri": uri}, SECONDS)["result"]["contents"]
        return tools, views
    finally:
        link.close()


def view_of(tool):
    meta = tool.get("_meta", {})
    return meta.get("ui", {}).get("resourceUri") or meta.get(FLAT)


def check(kind, place, direct):
    """All checks of one host; how many failed."""
    link = wire.Http(*place, "/mcp")
    host = kind(link)
    host.hello(SECONDS)
    failures = 0

    def note(fine, what):
        nonlocal failures
        failures += not fine
        print(f"{'ok  ' if fine else 'FAIL'} {host.era:6} {what}", flush=True)

    listed = {tool["name"]: tool for tool in host.ask("tools/list", {}, SECONDS)["result"]["tools"]}
    owners = {}
    for server, (tools, views) in direct.items():
        for name, tool in tools.items():
            if view_of(tool):
                owners.setdefault(name, []).append(server)
            exposed = listed.get(f"{server}__{name}")
            note(exposed is not None, f"{server}: `{name}` is listed")
            if exposed is None or not (own := view_of(tool)):
                continue
            uri = view_of(exposed)
            note(uri.startswith(f"ui://{server}+"), f"{server}: `{name}` names {uri}")
            named = json.loads(json.dumps(tool["_meta"]).replace(json.dumps(own), json.dumps(uri)))
            note(exposed["_meta"] == named, f"{server}: `_meta` of `{name}` is the server's, both spellings")
            contents = host.ask("resources/read", {"uri": uri}, SECONDS)["result"]["contents"]
            mapped = [{**item, "uri": uri} for item in views[own]]
            size = sum(len(item.get("text", "")) for item in contents)
            note(contents == mapped, f"{server}: the view of `{name}` is the server's own ({size} characters)")
    for name, servers in owners.items():
        answer = host.ask("tools/call", {"name": name, "arguments": {}}, SECONDS)
        code = answer.get("error", {}).get("code")
        reached = "result" in answer
        note(reached == (len(servers) == 1), f"a view calls `{name}` of {', '.join(servers)}: {code or 'answered'}")
    link.close()
    return failures


if __name__ == "__main__":
    main()
