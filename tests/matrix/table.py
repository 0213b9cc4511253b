"""The matrix as tables in docs/compatibility.md."""

import os
import platform
import re
import subprocess
import time

from report import replace_section

_SHORT = {
    "list": "list", "call": "call", "progress": "progress", "elicitation": "elicit", "sampling": "sample", "roots": "roots",
    "subscribe": "subscribe",
}


def write(path, cells, clients, servers, expected, binary):
    """Replaces the section of the matrix."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    ways = {way for way, _, _ in cells}
    lines = [
        "## The matrix of eras",
        "",
        f"Made by `make matrix` on {time.strftime('%Y-%m-%d', time.gmtime())}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, Portcullis {version}. Real clients against real servers over Streamable HTTP. Each lists, "
        "calls, sees progress, answers elicitation, sampling and `roots/list`, and subscribes to a resource, as far as the "
        "client and the server can: the Inspector's command line only lists and calls, fastmcp's client has no "
        "subscriptions, and the push-style server has no resources. That server speaks both eras and can ask in its legacy one "
        "only, which nothing on the wire tells; it is configured with `era: legacy`.",
    ]
    for way, title in (("directly", "### Directly"), ("through", "### Through the gateway")):
        if way in ways:
            lines += ["", title, "", *_table(cells, way, clients, servers)]
    if expected["not_carried"]:
        lines += ["", "### Not carried yet", "", "| operation | clients | servers | reason |", "|---|---|---|---|"]
        for entry in expected["not_carried"]:
            servers_of = ", ".join(entry["servers"])
            lines.append(f"| {entry['operation']} | {', '.join(entry['clients'])} | {servers_of} | {entry['reason']} |")
    replace_section(path, "matrix", "\n".join(lines))


def _table(cells, way, clients, servers):
    named = [name for name in servers if any(key[2] == name for key in cells)]
    yield f"| client | {' | '.join(servers[name] for name in named)} |"
    yield f"|---|{'---|' * len(named)}"
    for client, about in clients.items():
        row = [cells.get((way, client, server)) for server in named]
        if any(row):
            yield f"| {about.title} ({about.era}) | {' | '.join(_cell(found) for found in row)} |"


def _cell(found):
    if found is None:
        return "–"
    version, results = found
    missing = [_SHORT[name] for name, result in results.items() if result != "ok"]
    if not missing:
        return f"pass ({version})"
    if len(missing) == len(results):
        reasons = {re.sub(r"\s+", " ", result)[:60] for result in results.values()}
        return f"fail: {next(iter(sorted(reasons)))}".replace("|", "\\|")
    return f"{version}: all but {', '.join(missing)}"
