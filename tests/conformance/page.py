"""Writes what a run of the suite came to as a page."""

import json
import platform
import subprocess
import time

from compare import counts, find_losses, lost_scenarios
from stage import PEERS
from suite import AUTHORIZATION_SCENARIOS

HEAD = """# Conformance

Made by `make conformance OUT=docs/conformance.md` (`tests/conformance/run.py`) on {date}, {system}, Portcullis {version}, with
`@modelcontextprotocol/conformance` {suite}; not written by hand.

The official suite plays the client of reference servers, directly and through the gateway (over HTTP, before the same server as
a child, and before one that is held to the era that the client is not of); the server of a client that calls it directly and
through the gateway's upstream side; and the authorization server and server that the gateway logs in at by itself. *Whole* is a
scenario in which every check succeeded. *Lost* are checks that succeed directly and not through the gateway; those in brackets
are [limits](concept/limits.md), each with its reason. A scenario in which a check was lost is played once more, alone, since the
suite allows 600 ms for some answers; what passed then only is named below the table.

| who | revision | directly | the gateway before | through it | lost |
|---|---|---|---|---|---|
"""

BEHIND = {
    "http": "a server over HTTP",
    "stdio": "a child",
    "legacy": "a legacy server over HTTP",
    "modern": "a modern server over HTTP",
    "legacy-stdio": "a legacy child",
    "modern-stdio": "a modern child",
    "mock": "the suite's servers",
}
WHO = {
    "typescript": "server of the TypeScript SDK",
    "python": "server of the Python SDK",
    "tasks": "server of `fastmcp-tasks`",
    "client": "client of the TypeScript SDK",
}


def write(path, binary, compared, authorized):
    """`compared` has a trial with its direct run and the run through the gateway; `authorized` a trial and its run."""
    again = []
    lines = [HEAD.format(date=time.strftime("%F", time.gmtime()), system=platform.system() + " " + platform.release(), version=version(binary), suite=suite_version())]
    for trial, direct, through in compared:
        losses = find_losses(trial, direct, through)
        lost = sum(loss.excuse is None for loss in losses)
        limits = f" ({len(losses) - lost})" if len(losses) > lost else ""
        lines.append(f"| {WHO[trial.kind]} | {trial.version} | {counts(trial, direct)} | {BEHIND[trial.behind]} | {counts(trial, through)} | {lost}{limits} |\n")
        lost_again = lost_scenarios(trial, direct, through)
        again += [f"{WHO[trial.kind]}, {BEHIND[trial.behind]}, {trial.version}: `{name}`" for name in through.again if name not in lost_again]
    for trial, run in authorized:
        wanted = AUTHORIZATION_SCENARIOS[trial.version]
        whole = sum(1 for name in wanted if name in run.scenarios and run.scenarios[name].whole)
        lines.append(f"| the gateway as a client that logs in | {trial.version} | – | {BEHIND['mock']} | {whole}/{len(wanted)} scenarios, {run.ok}/{run.total} checks | {len(wanted) - whole} |\n")
    lines.append("\nAt the second attempt only: " + ("; ".join(again) if again else "nothing") + ".\n")
    path.write_text("".join(lines))


def version(binary):
    return subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout.split()[1]


def suite_version():
    return json.loads((PEERS / "node_modules/@modelcontextprotocol/conformance/package.json").read_text())["version"]
