#!/usr/bin/env python3
"""Checks that `docs/concept/limits.md` says what `LIMITS` excuses; with `--write` it writes the page.

Exit code 0 when the page is as it should be, 1 when it is not.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from expected import LIMITS
from suite import LEGACY

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "concept" / "limits.md"

HEAD = """# What is lost between the eras

<!-- Made from tests/conformance/expected.py; refresh with `make generate`. -->

`make conformance` runs the official conformance suite against reference servers of two SDKs and against the gateway
before them, over HTTP and as a child, and with the server held to the era that the client is not of. No check that
succeeds directly may be lost through the gateway, apart from those listed here: they are about something that one side
has no way to say. No question and no answer is lost by them. They come of the keys of questions, which 2026-07-28 has and the
revisions before it have not: there a question is a request, and its id is of one connection, which the other side does not
see. With a server of both eras behind a URL nothing is lost, since it is spoken to in the era of the client.

| between | scenario | checks | why |
|---|---|---|---|
"""

SERVERS = {
    "stdio": "a child of both eras, which is spoken to in the modern one",
    "legacy": "a legacy server",
    "modern": "a modern server",
    "legacy-stdio": "a legacy child",
    "modern-stdio": "a modern child",
}


def main():
    parser = argparse.ArgumentParser(description="Checks the page about what is lost between the eras.")
    parser.add_argument("--write", action="store_true", help="write the page")
    if parser.parse_args().write:
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        print(f"{PAGE} is not what tests/conformance/expected.py says; refresh it with `make generate`")
        sys.exit(1)


def page():
    return HEAD + "".join(map(row, LIMITS))


def pair(limit):
    client = "a legacy client" if limit.version == LEGACY else "a modern client"
    servers = [SERVERS[behind] for behind in limit.behind]
    return f"{client} and {' or '.join(servers)}"


def row(limit):
    checks = "<br>".join(f"`{check}`" for check in limit.checks) or "all"
    return f"| {pair(limit)} | `{limit.scenario}` | {checks} | {limit.reason} |\n"


if __name__ == "__main__":
    main()
