"""What may be lost on the way through the gateway, and why. Everything else may not.

`NOT_YET` is work to do: an entry goes when its scenarios pass, and the runner says when they do. `LIMITS` are losses
that no gateway can avoid, because one era has no way to say what the other said; `limits.py` writes them
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
        _LEGACY_SERVERS,
        MODERN,
        "input-required-result-basic-elicitation",
        "The suite wants its question under the key `user_name`. A question of a legacy server is a request with an id "
        "of its connection and has no key; that word is in no byte that the server sends, and in none that the client "
        "has sent before, so nobody in between can know it. The gateway gives its questions keys of its own, as a client "
        "needs them, and takes the answers under those.",
        # Not of the list in mcp-wire §4.6 but of §4.3: "entries = the upstream requests, ids hidden". Legacy
        # `elicitation/create` has `message`, `requestedSchema` and `mode`, and the shims of both SDKs drop the key
        # before they write it. Keeping ids or state cannot help: there is nothing to be kept. The same tool asked under
        # the gateway's own key is played by the scenarios that take any key, which all pass.
        ("sep-2322-elicitation-incomplete", "sep-2322-elicitation-complete"),
    ),
    Excuse(
        _LEGACY_SERVERS,
        MODERN,
        "input-required-result-ignore-extra-params",
        "The suite sends three answers before it was asked, under keys that it knows. A legacy server that asks all the "
        "same asks without a key, so only the shape of an answer could tell which it is for, and a yes to one question "
        "would do for any other that is put in the same form. The gateway takes no consent for what was not yet asked: "
        "it asks, as the specification has it where answers are missing. What the client sent reaches the server byte for "
        "byte; the TypeScript SDK, which reads answers in legacy requests too, needs no question then.",
        # Not of the list in mcp-wire §4.6 either, but of §4.3 as well: without keys there is nothing to hold what was sent
        # ahead against. §1.7: "If answers are missing, ask again rather than fail; ignore surplus keys."
        ("sep-2322-ignore-unexpected-params",),
        ("python",),
    ),
)
