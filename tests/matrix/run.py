#!/usr/bin/env python3
"""The matrix of eras: real clients against real servers of every kind, directly and through the gateway.

    run.py --bin target/release/portcullis [--short] [--clients NAME,…] [--servers NAME,…] [--out docs/compatibility.md]

A cell is a client with a server; in each, the client lists, calls, sees progress, answers elicitation, sampling and
roots, and subscribes, as far as server and client can. What happens directly is only told. Through the gateway
everything has to work, but for what `expected.json` says is not carried yet; what it says wrongly fails too. Exit code 0
when all is as it should be, 1 when not, 2 for wrong usage, 3 when something cannot be started.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("peers", "sweep"):
    sys.path.insert(0, str(HERE.parent / folder))

import packages
import table
from stage import NODE, PEERS, PYTHON, Stage, StageError, free_port, install_peers

CLIENT_SECONDS = 150
OPERATIONS = ("list", "call", "progress", "elicitation", "sampling", "roots", "subscribe")
PROFILES = json.loads((HERE / "profiles.json").read_text())
EXPECTED = json.loads((HERE / "expected.json").read_text())

MCP_REMOTE = {"name": "mcp-remote", "npm": "mcp-remote@0.15.1", "run": "mcp-remote"}
MCP_1 = {"name": "mcp-1", "pypi": "mcp==1.30.0", "run": "python"}
_EVERYTHING = PEERS / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
_ASKING = PEERS / "asking-server" / "server.mjs"

SERVERS = {
    "everything": "server-everything (2025)",
    "dual": "dual-era SDK server",
    "stateless": "modern, legacy served statelessly",
    "modern": "modern only",
    "push": "Python, push-style `ctx.elicit`",
}

_everything = threading.Lock()

SETTINGS = {"push": {"era": "legacy"}}
"""A push-style server speaks both eras but can ask in one only; nothing on the wire tells, so the operator has to."""


@dataclass(frozen=True)
class Client:
    """A program that takes a profile and a URL. `era` is the one that it speaks through the gateway."""

    title: str
    era: str
    program: tuple
    arguments: tuple = field(default=())


CLIENTS = {
    "typescript-v1": Client("TypeScript v1", "legacy", (NODE, HERE / "client.mjs", "v1")),
    "typescript-v2": Client("TypeScript v2", "legacy", (NODE, HERE / "client.mjs", "v2")),
    "typescript-v2-auto": Client("TypeScript v2, auto", "modern", (NODE, HERE / "client.mjs", "v2-auto")),
    "python-mcp1": Client("Python mcp 1.30", "legacy", ("mcp1", HERE / "client.py", "mcp1")),
    "python-mcp-legacy": Client("Python mcp 2.3, legacy", "legacy", (PYTHON, HERE / "client.py", "mcp-legacy")),
    "python-mcp": Client("Python mcp 2.3, auto", "modern", (PYTHON, HERE / "client.py", "mcp")),
    "python-fastmcp": Client("fastmcp 4", "modern", (PYTHON, HERE / "client.py", "fastmcp")),
    "inspector-legacy": Client("Inspector, legacy", "legacy", (sys.executable, HERE / "inspect_once.py", "legacy")),
    "inspector-modern": Client("Inspector, modern", "modern", (sys.executable, HERE / "inspect_once.py", "modern")),
    "mcp-remote": Client("mcp-remote", "legacy", (NODE, HERE / "client.mjs", "v1"), ("mcp-remote", "--allow-http")),
}
SHORT = ("typescript-v1", "typescript-v2-auto", "python-mcp1", "python-mcp")


def main():
    options = read_arguments()
    try:
        install_peers()
        packages.lay_path()
        for server in (MCP_REMOTE, MCP_1):
            packages.install(server)
        with Stage() as stage:
            directly = start_servers(stage, options.servers)
            settings = {name: {"url": url, **SETTINGS.get(name, {})} for name, url in directly.items()}
            base = stage.start_gateway(options.bin, settings)
            through = {name: f"{base}/mcp/s/{name}" for name in directly}
            cells = run_cells(options, directly, through)
            failed = judge(cells)
            if failed:
                print(f"\nLast lines of the gateway:\n{stage.log_of('gateway')[-2000:]}\n")
            seconds = stage.seconds()
    except (StageError, packages.InstallError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    if options.out:
        table.write(options.out, cells, CLIENTS, SERVERS, EXPECTED, options.bin)
    print(f"{len(cells) - failed} passed, {failed} failed ({seconds:.0f} s)")
    sys.exit(1 if failed else 0)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    parser.add_argument("--short", action="store_true", help=f"only {', '.join(SHORT)}, only through the gateway")
    parser.add_argument("--clients", type=lambda text: text.split(","), help="these clients")
    parser.add_argument("--servers", type=lambda text: text.split(","), default=list(SERVERS), help="these servers")
    parser.add_argument("--jobs", type=int, default=3, help="cells at the same time")
    parser.add_argument("--out", type=Path, help="the page whose section is written")
    options = parser.parse_args()
    options.clients = options.clients or list(SHORT if options.short else CLIENTS)
    if unknown := (set(options.clients) - set(CLIENTS)) | (set(options.servers) - set(SERVERS)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    return options


def start_servers(stage, names):
    """The servers that are asked for, each with its URL."""
    urls = {}
    for name in names:
        if name == "everything":
            port = free_port()
            stage.start(name, [NODE, _EVERYTHING, "streamableHttp"], r"listening on port", PORT=str(port))
        elif name == "push":
            port = free_port()
            stage.start(name, [PYTHON, HERE / "push.py", port], r"Uvicorn running")
        else:
            child = stage.start(name, [NODE, _ASKING, "--era", name], r"listening \S+:(\d+)/mcp")
            port = int(child.found[1])
        urls[name] = f"http://127.0.0.1:{port}/mcp"
    return urls


def run_cells(options, directly, through):
    """The results by (way, client, server)."""
    ways = {"through": through} if options.short else {"directly": directly, "through": through}
    todo = [(way, client, server) for way in ways for client in options.clients for server in directly]

    def run(cell):
        way, client, server = cell
        # Its switch for updates belongs to a session, and modern clients share one: they must not switch at once.
        with _everything if server == "everything" else nullcontext():
            version, results = run_client(CLIENTS[client], profile_of(server), ways[way][server])
        short = " ".join(f"{name}:{'ok' if result == 'ok' else 'no'}" for name, result in results.items())
        print(f"{way:8} {client:20} {server:11} {version:10} {short}", flush=True)
        return cell, (version, results)

    with ThreadPoolExecutor(options.jobs) as pool:
        return dict(pool.map(run, todo))


def profile_of(server):
    """What is asked of a server. The push-style one has no resources to subscribe to."""
    profile = PROFILES["everything" if server == "everything" else "asking"]
    return {name: fact for name, fact in profile.items() if (server, name) != ("push", "subscribe")}


def run_client(client, profile, url):
    """The version that was spoken, and a result for each operation."""
    program = [packages.program_of(MCP_1) if part == "mcp1" and place == 0 else part for place, part in enumerate(client.program)]
    arguments = [packages.program_of(MCP_REMOTE) if part == "mcp-remote" else part for part in client.arguments]
    if arguments:  # mcp-remote takes the URL before its options
        arguments = [NODE, arguments[0]]
    command = [str(part) for part in (*program, json.dumps(profile), url, *arguments)]
    environment = {**os.environ, "PATH": packages.path_for_children(), "MCP_REMOTE_CONFIG_DIR": str(packages.CACHE / "mcp-remote")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
        report = json.loads(done.stdout.splitlines()[-1])
        return report["version"], report["results"]
    except subprocess.TimeoutExpired:
        problem = f"did not end within {CLIENT_SECONDS} s"
    except (IndexError, ValueError, KeyError):
        problem = f"exit code {done.returncode} without a report: {done.stderr[-500:]}"
    return "none", {name: problem for name in profile}


def judge(cells):
    """Prints what is not as it should be, and returns how many cells that are."""
    failed = 0
    for (way, client, server), (version, results) in cells.items():
        if way == "directly":
            continue
        problems = []
        if not version.startswith("2026" if CLIENTS[client].era == "modern" else "2025"):
            problems.append(f"spoke {version}")
        for name, result in results.items():
            reason = not_carried(CLIENTS[client].era, server, name)
            if result != "ok" and not reason:
                problems.append(f"{name}: {result[:400]}")
            if result == "ok" and reason:
                problems.append(f"{name}: works, though expected.json says: {reason}")
        failed += bool(problems)
        for problem in problems:
            print(f"{client} with {server}: {problem}")
    return failed


def not_carried(era, server, operation):
    """Why an operation does not work through the gateway yet, if expected.json says so."""
    for entry in EXPECTED["not_carried"]:
        if operation == entry["operation"] and era in entry["clients"] and server in entry["servers"]:
            return entry["reason"]
    return None


if __name__ == "__main__":
    main()
