#!/usr/bin/env python3
"""Drives published MCP servers, directly and through the gateway, with a client of each era, and compares.

    run.py --bin target/release/portcullis [--short | --only NAME,…] [--jobs 2] [--out docs/compatibility.md]

`servers.json` names the servers, each by exact version; they are installed when they are missing. Each is started six
times: twice directly for each era (what the two runs disagree about is not compared), and once behind a gateway for
each era. Every start gets the same files and an empty home. Prints one line for each server; the exit code is 1 when
something differs that nothing explains, or when a server does not start, 2 for wrong usage, 3 when a package cannot be
installed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import packages
import report
import survey
import wire
from compare import compare
from ground import Ground
from report import Row
from stage import Child, Stage, StageError, install_peers
from wire import LEGACY, MODERN

CLIENTS = {LEGACY: wire.Legacy, MODERN: wire.Modern}
PROBE_SECONDS = 12
"""A server that answered `initialize` but not `server/discover` for so long does not speak the modern era."""


def main():
    options, servers = read_arguments()
    install_peers()
    packages.lay_path()
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            list(pool.map(packages.install, servers))
        except packages.InstallError as error:
            print(error, file=sys.stderr)
            sys.exit(3)
    with Stage() as stage, ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(lambda server: sweep(server, options, stage.path), servers))
        seconds = stage.seconds()
    failed = sum(not row.passed for row in rows)
    if options.out:
        report.write(options.out, rows, options.bin, "sweep")
    print(f"{len(rows) - failed} passed, {failed} failed ({seconds:.0f} s)")
    sys.exit(1 if failed else 0)


def read_arguments():
    servers = json.loads((HERE / "servers.json").read_text())
    names = [server["name"] for server in servers]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    parser.add_argument("--short", action="store_true", help="only the servers marked as short")
    parser.add_argument("--only", type=lambda text: text.split(","), help="these servers")
    parser.add_argument("--jobs", type=int, default=2, help="servers at the same time")
    parser.add_argument("--out", type=Path, help="the page whose section is written")
    options = parser.parse_args()
    if unknown := set(options.only or ()) - set(names):
        parser.error(f"there is no server {', '.join(sorted(unknown))}")
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    if options.only:
        servers = [server for server in servers if server["name"] in options.only]
    elif options.short:
        servers = [server for server in servers if server.get("short")]
    return options, servers


def sweep(server, options, folder):
    """All six runs of one server."""
    row = Row(server)
    begun = time.monotonic()
    try:
        ground = Ground(server, folder)
        _run_directly(ground, row)
        if row.direct:
            _run_through(ground, options.bin, row)
        else:
            row.problem = "; ".join(row.unreachable.values())
    except (StageError, OSError, packages.InstallError) as error:
        row.problem = str(error)
    row.seconds = time.monotonic() - begun
    print(report.line(row), flush=True)
    return row


def _run_directly(ground, row):
    took = 0.0
    for era, client in CLIENTS.items():
        # A legacy server may say nothing at all to a request that it does not know.
        patience = max(PROBE_SECONDS, 5 * took) if row.direct else survey.START_SECONDS
        begun = time.monotonic()
        try:
            row.direct[era] = _look_directly(ground, client, row, patience)
            took = time.monotonic() - begun
            row.again[era] = _look_directly(ground, client, row, survey.START_SECONDS)
        except survey.Unreachable as reason:
            row.direct.pop(era, None)
            row.unreachable[era] = str(reason)


def _look_directly(ground, client, row, patience):
    ground.reset()
    link = wire.Stdio(ground.command, ground.environment(), ground.files)
    try:
        sight, row.plan = survey.look(client(link), ground.files, row.plan, patience)
        return sight
    finally:
        link.close()


def _run_through(ground, binary, row):
    for era, client in CLIENTS.items():
        ground.reset()
        config = ground.write_config()
        gateway = Child(
            f"gateway-{ground.name}", [binary.resolve(), "serve", "--config", config],
            r"http://(127\.0\.0\.1):(\d+)/mcp", ground.log, ground.files, {},
        )
        try:
            gateway.wait_until_ready()
            link = wire.Http(gateway.found[1], int(gateway.found[2]), f"/mcp/s/{ground.name}")
            seen, _ = survey.look(client(link), ground.files, row.plan)
            link.close()
            row.verdicts[era] = compare(seen, row.direct, row.again, row.plan)
        except survey.Unreachable as reason:
            row.refused[era] = str(reason)
        finally:
            gateway.stop()


if __name__ == "__main__":
    main()
