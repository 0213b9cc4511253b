#!/usr/bin/env python3
"""Points real MCP clients at the gateway's aggregate endpoint, with real servers behind it.

    run.py --bin target/release/portcullis [--only NAME,…]

Behind the gateway stand server-everything (`everything`, a child on stdio), server-filesystem (`files`),
mcp-server-time (`time`) and server-everything again over Streamable HTTP (`remote`) and over HTTP+SSE (`old`). One line
per client tells the era it spoke, the number of checks and the outcome. Exit code 0 when all passed, 1 when one failed, 2 for wrong usage,
3 when a program does not start.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from stage import NODE, PEERS, PYTHON, Stage, StageError, free_port, install_peers

CLIENT_SECONDS = 180
_SERVERS = PEERS / "node_modules" / "@modelcontextprotocol"
_EVERYTHING = _SERVERS / "server-everything" / "dist" / "index.js"
_FILESYSTEM = _SERVERS / "server-filesystem" / "dist" / "index.js"


@dataclass(frozen=True)
class Client:
    """A program that takes the URL at `path`, then `arguments`; `version` is how the version it speaks must begin."""

    name: str
    program: tuple
    version: str
    arguments: tuple = ()
    path: str = "/mcp"


LEGACY, MODERN = "2025-", "2026-"
CLIENTS = (
    Client("typescript-v1", (NODE, HERE / "typescript_v1.mjs"), LEGACY),
    Client("typescript-v1-sse", (NODE, HERE / "typescript_v1.mjs"), LEGACY, ("sse",), "/sse"),
    Client("typescript-v2", (NODE, HERE / "typescript_v2.mjs"), LEGACY),
    Client("typescript-v2-auto", (NODE, HERE / "typescript_v2.mjs"), MODERN, ("auto",)),
    Client("python-mcp", (PYTHON, HERE / "python_mcp.py"), MODERN),
    Client("python-mcp-sse", (PYTHON, HERE / "python_mcp.py"), LEGACY, ("sse",), "/sse"),
    Client("python-fastmcp", (PYTHON, HERE / "python_fastmcp.py"), MODERN),
    Client("inspector-legacy", (sys.executable, HERE / "inspector.py"), LEGACY, ("legacy",)),
    Client("inspector-auto", (sys.executable, HERE / "inspector.py"), MODERN, ("auto",)),
    Client("inspector-modern", (sys.executable, HERE / "inspector.py"), MODERN, ("modern",)),
)


def main():
    options = read_arguments()
    try:
        install_peers()
        with Stage() as stage:
            failed = run_clients(stage, options)
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    sys.exit(1 if failed else 0)


def read_arguments():
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(description="Points real MCP clients at the gateway.")
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help=f"some of {','.join(names)}")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f"--only takes {','.join(names)}, not {','.join(sorted(unknown))}")
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    return options


def run_clients(stage, options):
    """Runs the chosen clients one after the other and returns how many failed."""
    files = stage.path / "files"
    files.mkdir()
    (files / "note.txt").write_text("Written for the test.\n")
    url = stage.start_gateway(options.bin, start_servers(stage, files))
    chosen = [client for client in CLIENTS if client.name in options.only]
    outcomes = [run_client(client, url, files) for client in chosen]
    passed = sum(outcomes)
    failed = len(outcomes) - passed
    if failed:
        print(f"\nLast lines of the gateway:\n{stage.log_of('gateway')[-2000:]}\n")
    print(f"{passed} passed, {failed} failed ({stage.seconds():.1f} s)")
    return failed


def start_servers(stage, files):
    """Starts the remote servers and names the others for the gateway to start."""
    port, old_port = free_port(), free_port()
    stage.start("remote", [NODE, _EVERYTHING, "streamableHttp"], r"listening on port", PORT=str(port))
    stage.start("old", [NODE, _EVERYTHING, "sse"], r"running on port", PORT=str(old_port))
    return {
        "everything": {"command": str(NODE), "args": [str(_EVERYTHING)]},
        "files": {"command": str(NODE), "args": [str(_FILESYSTEM), str(files)]},
        "time": {"command": str(PYTHON), "args": ["-m", "mcp_server_time"]},
        "remote": {"url": f"http://127.0.0.1:{port}/mcp"},
        "old": {"url": f"http://127.0.0.1:{old_port}/sse"},
    }


def run_client(client, url, files):
    version, checks, failed = ask_client(client, url, files)
    if not version.startswith(client.version):
        failed.append(f"spoke {version}, not {client.version}…")
    print(f"{client.name:20} {version:12} {checks:3} checks  {'FAIL' if failed else 'ok'}", flush=True)
    for problem in failed:
        print(f"    {problem.strip()[:600]}")
    return not failed


def ask_client(client, url, files):
    """The version spoken, the number of checks, and what failed; a client that breaks off has failed too."""
    command = [str(part) for part in (*client.program, url + client.path, *client.arguments)]
    environment = {**os.environ, "FILES": str(files)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    except subprocess.TimeoutExpired:
        return "none", 0, [f"did not end within {CLIENT_SECONDS} s"]
    lines = done.stdout.splitlines()
    try:
        report = json.loads(lines[-1])
        version, checks, failed = report["version"], report["checks"], report["failed"]
    except (IndexError, ValueError, KeyError):
        return "none", 0, [f"exit code {done.returncode} without a report: {done.stderr[-500:]}"]
    if (done.returncode == 0) == bool(failed):
        failed.append(f"exit code {done.returncode} does not match the report")
    return version, checks, failed


if __name__ == "__main__":
    main()
