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

Sessions until 2025-11-25, none since 2026-07-28: some of what one era says has no form in the other. This page says what becomes of
it. [eras.md](eras.md) has the rules, and [matrix.md](../reference/matrix.md) what is carried between which clients and servers.

## What has no form on the other side

| what | between | what becomes of it |
|---|---|---|
| what a server remembers in a session | a modern client and a legacy server | By `sharing`: all clients are in one session of the server's, or each principal has one of its own (`sharing: session`). A server that keeps something about its user needs the latter. |
| questions outside of calls | a legacy server and any client | Refused: there is nobody of whom it is known that they are meant. |
| log messages outside of calls | a legacy server and any client | Not passed on: clients share conversations with the server, and nothing says whose they are. Those during a call go to its client, at the level that it asked for. |
| reading a stream on after a break | a modern client | It has no such thing: a stream that breaks has cancelled its call. Legacy clients have it before any server, from the gateway's own buffers (`limits.replay_bytes`). |
| a refused sampling or roots request | a legacy client and a modern server | The call ends, a tool's with `isError: true`. |
| that a user is done with a page | either way | Told to legacy clients of legacy servers; the other era has no such message, and its clients and servers find out when they come back. |
| a person who takes long to answer | a modern client and a legacy server | The server's call waits for `limits.ask_timeout`, as far as the server waits; then the question counts as cancelled. |
| a call that waits in the gateway | a modern client and a legacy server | It ends with the process that keeps it; its `requestState` is refused then, and the client calls anew. |
| tasks that a client keeps, `tasks/list`, progress of tasks | either way | Tasks of clients are never declared to a server, so it asks plainly; 2026-07-28 has no list of tasks, and no progress of one that a client polls. See [tasks](tasks.md). |
| `structuredContent` and `outputSchema` that are no objects | a modern server and a legacy client | Dropped, and the content said as text where there is no other. |
| choices of several values, titled choices | clients of 2025-06-18 | Declined unasked; titles become `enumNames`. |
| how fresh a list is | a legacy server and a modern client | `ttlMs: 0`, `cacheScope: "private"`: to be asked for again each time. The gateway keeps the list, and is told of changes. |
| whose message it is, on a channel that all calls share | a legacy child, or the standalone stream | Calls that can be asked have a conversation to themselves; what stays unclear is refused rather than guessed ([eras.md](eras.md)). |
| which era a server of both needs to ask | a server that can ask in its legacy era only (`ctx.elicit` of the Python SDK) | Nothing on the wire tells; a modern client's call fails, as it does directly. `era: legacy` in the configuration lets it ask. |

## Checks of the official suite that this costs

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
