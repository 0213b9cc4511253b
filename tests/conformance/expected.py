"""What may be lost on the way through the gateway, and why. Everything else may not.

`NOT_YET` is work to do: an entry goes when its scenarios pass, and the runner says when they do. `LIMITS` are losses
that no gateway can avoid, because one era or transport has no way to say what the other said. With a dual-era server
behind the gateway there is no limit: it can always be spoken to in the era of the client.

A run is named by what stands behind the gateway: `http` and `stdio` the dual-era reference server on either transport,
`legacy` and `modern` the server held to one era, each reached by a client of the other.
"""

from dataclasses import dataclass

from suite import LEGACY, MODERN


@dataclass(frozen=True)
class Excuse:
    """Check ids of one scenario that may be lost in some runs; no ids means all of them."""

    runs: tuple
    version: str
    scenario: str
    reason: str
    checks: tuple = ()

    def covers(self, run, version, scenario, check):
        return self.applies(run, version, scenario) and (not self.checks or check in self.checks)

    def applies(self, run, version, scenario):
        return run in self.runs and (version, scenario) == (self.version, self.scenario)


_SERVER_REQUESTS = "requests from the server to a legacy client are not carried yet"
_SUBSCRIPTIONS = "subscriptions are not carried yet"
_BRIDGED_ROUNDS = "requests of a legacy server are not yet turned into input_required results"

_SERVER_REQUEST_SCENARIOS = (
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
)
_LISTEN_CHECKS = (
    "sep-2575-server-sends-subscription-ack",
    "sep-2575-server-tags-subscription-id",
    "sep-2575-server-honors-notification-filter",
    "sep-2575-server-sends-prompts-list-changed-on-subscription",
    "sep-2575-server-sends-tools-list-changed-on-subscription",
)
_ROUNDS_SCENARIOS = tuple(
    f"input-required-result-{name}"
    for name in (
        "basic-elicitation",
        "basic-sampling",
        "basic-list-roots",
        "request-state",
        "multiple-input-requests",
        "multi-round",
        "missing-input-response",
        "non-tool-request",
        "result-type",
        "tampered-state",
        "capability-check",
        "validate-input",
    )
)
_TO_LEGACY_CLIENTS = ("http", "stdio", "modern")
_TO_MODERN_CLIENTS = ("http", "stdio", "legacy")

NOT_YET = (
    *(Excuse(_TO_LEGACY_CLIENTS, LEGACY, name, _SERVER_REQUESTS) for name in _SERVER_REQUEST_SCENARIOS),
    Excuse(_TO_LEGACY_CLIENTS, LEGACY, "resources-subscribe", _SUBSCRIPTIONS),
    Excuse(_TO_LEGACY_CLIENTS, LEGACY, "resources-unsubscribe", _SUBSCRIPTIONS),
    Excuse(_TO_MODERN_CLIENTS, MODERN, "server-stateless", _SUBSCRIPTIONS, _LISTEN_CHECKS),
    *(Excuse(("legacy",), MODERN, name, _BRIDGED_ROUNDS) for name in _ROUNDS_SCENARIOS),
)

LIMITS = (
    Excuse(
        ("stdio", "modern"),
        LEGACY,
        "server-sse-polling",
        "only a legacy HTTP server can close its stream in mid-call and be asked for the rest later: durable "
        "resumability does not exist in the modern era or on stdio",
        ("server-sse-priming-event", "server-sse-retry-field", "server-sse-disconnect-resume"),
    ),
    Excuse(
        ("stdio", "modern"),
        LEGACY,
        "server-sse-multiple-streams",
        "the upstream answers without a stream, so a plain JSON answer is as good; the check exists only for streams",
        ("server-sse-streams-functional",),
    ),
    Excuse(
        ("legacy",),
        MODERN,
        "server-stateless",
        "a legacy server that misses a capability says so in a tool result of its own words, which no gateway can tell "
        "from another failure",
        ("sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"),
    ),
)
