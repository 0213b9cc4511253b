"""The second reference MCP server: everything the official conformance suite asks of a server, in both eras.

    server.py --http PORT [--era dual|legacy|modern]    prints `listening http://127.0.0.1:PORT/mcp`
    server.py --stdio [--era dual|legacy|modern]

It offers what `../reference-server` offers, on the official Python SDK, so that what the gateway gets right does not
depend on one SDK's habits. Where the two differ on purpose: towards a legacy client this one asks by real requests in
the middle of the call, as Python servers do, and it announces a changed list to the session that changed it only.

Needs the packages of `../requirements.txt`. Listens on loopback only; keeps no state beyond legacy sessions.
"""

import argparse
import warnings

import anyio
from mcp.shared.exceptions import MCPDeprecationWarning

from over_http import serve_http
from over_stdio import serve_stdio

ERAS = ("dual", "legacy", "modern")


def read_arguments():
    parser = argparse.ArgumentParser(description="A reference MCP server on the official Python SDK.")
    transport = parser.add_mutually_exclusive_group(required=True)
    transport.add_argument("--http", type=int, metavar="PORT", help="0 lets the system choose")
    transport.add_argument("--stdio", action="store_true")
    parser.add_argument("--era", choices=ERAS, default="dual")
    return parser.parse_args()


def main():
    options = read_arguments()
    # Logging, sampling and roots are deprecated, and are here because they still have to work.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    if options.stdio:
        anyio.run(serve_stdio, options.era)
    else:
        anyio.run(serve_http, options.http, options.era)


if __name__ == "__main__":
    main()
