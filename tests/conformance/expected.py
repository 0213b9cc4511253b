"""What may be lost on the way through the gateway, and why. Everything else may not.

`NOT_YET` is work to do: an entry goes when its scenarios pass, and the runner says when they do. `LIMITS` are losses
that no gateway can avoid, because one era or transport has no way to say what the other said; `limits.py` writes them
into `docs/concept/limits.md`. With a dual-era server behind a URL there is no limit: it can always be spoken to in the
era of the client.

A run is named by what stands behind the gateway: `http` and `stdio` are a dual-era reference server on either
transport; `legacy`, `modern`, `legacy-stdio` and `modern-stdio` are the server held to one era, each reached by a
client of the other; `mock` is the suite's own server, reached by a client of its era. It is the same for every SDK
unless the entry names one.
"""

from dataclasses import dataclass

from suite import LEGACY, MODERN


@dataclass(frozen=True)
class Excuse:
    """Check ids of one scenario that may be lost in some runs; no ids means all of them."""

    behind: tuple
    version: str
    scenario: str
    reason: str
    checks: tuple = ()
    kinds: tuple = ()

    def covers(self, trial, scenario, check):
        return self.applies(trial, scenario) and (not self.checks or check in self.checks)

    def applies(self, trial, scenario):
        here = trial.behind in self.behind and (not self.kinds or trial.kind in self.kinds)
        return here and (trial.version, scenario) == (self.version, self.scenario)


_LEGACY_SERVERS = ("legacy", "legacy-stdio")

NOT_YET = ()

LIMITS = (
    Excuse(
        ("stdio", "modern", "modern-stdio"),
        LEGACY,
        "server-sse-polling",
        "Only a legacy HTTP server can close its stream in the middle of a call and be asked for the rest later. The "
        "modern era and stdio have no such thing, so the gateway has no closed stream to pass on: the call is answered "
        "where it was made.",  # mcp-wire §4.6 (3): durable resumability
        ("server-sse-priming-event", "server-sse-retry-field", "server-sse-disconnect-resume"),
    ),
    Excuse(
        ("stdio", "modern", "modern-stdio"),
        LEGACY,
        "server-sse-multiple-streams",
        "The server answers with one message and no stream, and so does the gateway. The suite counts this check only "
        "where it sees streams, and takes plain answers as well.",  # mcp-wire §4.6 (3): there is nothing to resume
        ("server-sse-streams-functional",),
    ),
    Excuse(
        _LEGACY_SERVERS,
        MODERN,
        "input-required-result-basic-elicitation",
        "The suite wants its question under the key `user_name`. Questions of a legacy server have ids and no keys, so the "
        "gateway gives them keys of its own. Nothing that is asked says `user_name`: the form's only property is `name`.",
        # Of mcp-wire §4.3, not of the list in §4.6: "entries = the upstream requests, ids hidden". The key is known to
        # the server's code alone; the SDKs' shims drop it before they write the legacy request.
        ("sep-2322-elicitation-incomplete", "sep-2322-elicitation-complete"),
    ),
    Excuse(
        _LEGACY_SERVERS,
        MODERN,
        "input-required-result-ignore-extra-params",
        "The suite sends its answers before it was asked, under a key that it knows. A legacy server has no place for "
        "answers to questions that it has not asked; the TypeScript SDK reads them all the same.",
        # Of mcp-wire §4.3 as well: what the client sends reaches the server byte for byte, which asks all the same, as
        # Python servers do. Which of several early answers belongs to its question only a key could tell.
        ("sep-2322-ignore-unexpected-params",),
        ("python",),
    ),
)
