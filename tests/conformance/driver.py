#!/usr/bin/env python3
"""The client under test when the suite plays the server: the SDK client of `client.mjs`, with or without the gateway.

    driver.py URL

The suite starts it once for each scenario with the URL of its mock server and takes the exit code. With
`DRIVER_GATEWAY` in the environment it starts that gateway with the mock as its only server and sends the client there,
so what the mock sees is the gateway's upstream side. `DRIVER_ERA` pins the era of the mock; without it the gateway
finds out. `DRIVER_LOGS` names a directory for the gateway's log.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from credentials import credentials_for
from stage import NODE, Stage, StageError

CLIENT = Path(__file__).resolve().parent / "client.mjs"
CLIENT_SECONDS = 20
"""Less than the suite waits, so that a client that hangs is ended here, and the gateway with it."""


def main():
    url = sys.argv[1]
    binary = os.environ.get("DRIVER_GATEWAY")
    if binary is None:
        sys.exit(run_client(url))
    with Stage() as stage:
        mock = {"url": url}
        scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
        if scenario.startswith("auth/"):
            mock["credentials"] = credentials_for(scenario, url, stage.path)
        if era := os.environ.get("DRIVER_ERA"):
            mock["era"] = era
        try:
            gateway = stage.start_gateway(binary, {"mock": mock})
            code = run_client(f"{gateway}/mcp/s/mock")
        except StageError as error:
            print(error, file=sys.stderr)
            code = 3
        if directory := os.environ.get("DRIVER_LOGS"):
            keep_log(stage, Path(directory))
    sys.exit(code)


def keep_log(stage, directory):
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"].replace("/", "-")
    (directory / f"{scenario}.gateway.log").write_text(stage.log_of("gateway"))


def run_client(url):
    try:
        return subprocess.run([NODE, CLIENT, url], timeout=CLIENT_SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"the client did not finish within {CLIENT_SECONDS} s", file=sys.stderr)
        return 1


if __name__ == "__main__":
    main()
