"""Runs the official conformance suite, as the client of a URL or as the server of a client, and reads what it found.

Only the `checks.json` files count: the suite's own verdict calls a scenario passed when none of its checks ran, so a
dead server passes some. Statuses other than SUCCESS, FAILURE and WARNING are remarks and are left out.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stage import NODE, PEERS

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
SKILLS = "skills"
TASKS = "tasks"

_EXTENSIONS = {
    SKILLS: ("sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest"),
    TASKS: (
        "tasks-lifecycle",
        "tasks-capability-negotiation",
        "tasks-wire-fields",
        "tasks-request-state-removal",
        "tasks-mrtr-input",
        "tasks-request-headers",
        "tasks-dispatch-and-envelope",
        "tasks-required-task-error",
        "tasks-mrtr-composition",
    ),
}
"""Scenarios of extensions belong to no version and are run by name. One more is listed and skips itself:
`tasks-status-notifications`, which the suite has still to write."""

SCENARIOS = {LEGACY: 33, MODERN: 40, **{name: len(scenarios) for name, scenarios in _EXTENSIONS.items()}}
"""How many scenarios there are for each version and extension: fewer results mean that the suite broke off."""

_SKILLS_OF_CLIENTS = tuple(
    f"sep-2640-client-{name}" for name in ("no-prefetch", "verify-digest", "verify-size", "verify-frontmatter")
)
CLIENT_SCENARIOS = {
    LEGACY: (
        "initialize",
        "tools_call",
        "elicitation-sep1034-client-defaults",
        "sse-retry",
        "json-schema-2020-12-preservation",
        *_SKILLS_OF_CLIENTS,
    ),
    MODERN: (
        "tools_call",
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
        *_SKILLS_OF_CLIENTS,
    ),
}
"""The client scenarios that need no authorization. Those of the skills extension belong to no version: each is run in
both."""

MARCH = "2025-03-26"
EXTENSION = "extension"

_SINCE_2025_11 = (
    *(f"auth/metadata-{name}" for name in ("default", "var1", "var2", "var3")),
    "auth/basic-cimd",
    *(f"auth/scope-{name}" for name in ("from-www-authenticate", "from-scopes-supported", "omitted-when-undefined")),
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    *(f"auth/token-endpoint-auth-{name}" for name in ("basic", "post", "none")),
    "auth/pre-registration",
)
AUTHORIZATION_SCENARIOS = {
    MARCH: ("auth/2025-03-26-oauth-metadata-backcompat", "auth/2025-03-26-oauth-endpoint-fallback"),
    LEGACY: _SINCE_2025_11,
    MODERN: (
        *_SINCE_2025_11,
        "auth/resource-mismatch",
        "auth/offline-access-scope",
        "auth/offline-access-not-supported",
        "auth/authorization-server-migration",
        *(f"auth/iss-{name}" for name in ("supported", "not-advertised", "supported-missing", "wrong-issuer")),
        *(f"auth/iss-{name}" for name in ("unexpected", "normalized")),
        "auth/metadata-issuer-mismatch",
    ),
    EXTENSION: (
        *(f"auth/client-credentials-{name}" for name in ("jwt", "basic")),
        "auth/enterprise-managed-authorization",
        *(f"auth/dpop{name}" for name in ("", "-nonce")),
        "auth/wif-jwt-bearer",
    ),
}
"""The client scenarios in which the mock wants a token, which is for the gateway to get: with those of
`CLIENT_SCENARIOS` but the ones of skills, all 19 of 2025-11-25 and all 33 of 2026-07-28."""

EXIT = "client-exits-well"
"""A check of our own: the suite fails a client that ends badly, and says so only in its exit code."""

_SUITE = PEERS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_DRIVER = Path(__file__).resolve().parent / "driver.py"
_RESULT = re.compile(r"^(?:server-)?(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")
_SCENARIO_MILLISECONDS = 20_000
_CLIENT_MILLISECONDS = 30_000
_RUN_SECONDS = 240


@dataclass
class Scenario:
    """The checks of one scenario: how often each id succeeded, and what went wrong with the others."""

    succeeded: Counter = field(default_factory=Counter)
    failed: dict = field(default_factory=dict)
    total: int = 0

    @property
    def ok(self):
        return self.succeeded.total()

    @property
    def whole(self):
        return not self.failed

    def add(self, check, message=None):
        """Counts one check: a success, or a failure with what the suite says of it."""
        if message is None:
            self.succeeded[check] += 1
        else:
            self.failed[check] = message
        self.total += 1


@dataclass
class Run:
    """One run of the suite: scenarios by name, and how long it took; `again` has the first results of those that were
    played once more."""

    scenarios: dict
    seconds: float
    again: dict = field(default_factory=dict)

    def with_second(self, second, names):
        """What counts of these scenarios is what they gave the second time, be it nothing."""
        scenarios = {name: scenario for name, scenario in self.scenarios.items() if name not in names}
        scenarios |= {name: scenario for name, scenario in second.scenarios.items() if name in names}
        again = {name: self.scenarios.get(name, Scenario()) for name in names}
        return Run(scenarios, self.seconds + second.seconds, again)

    @property
    def ok(self):
        return sum(scenario.ok for scenario in self.scenarios.values())

    @property
    def total(self):
        return sum(scenario.total for scenario in self.scenarios.values())

    @property
    def whole(self):
        return sum(1 for scenario in self.scenarios.values() if scenario.whole)


def run_suite(url, version, directory, only=None):
    """Runs all scenarios of a version or extension, or `only` some, against `url`, leaving the raw results in
    `directory`."""
    started = time.monotonic()
    directory.mkdir()
    for choice in _choices(version, only):
        options = ["--url", url, *choice, "-o", directory, "--timeout", _SCENARIO_MILLISECONDS]
        _run("server", options, directory, os.environ)
    return Run(_read_results(directory), time.monotonic() - started)


def run_client_suite(version, directory, gateway=None, scenarios=CLIENT_SCENARIOS):
    """Runs the client scenarios of a version with the driver, which puts `gateway`, if there is one, before each mock.

    One after the other: some of them measure times.
    """
    started = time.monotonic()
    directory.mkdir()
    environment = {**os.environ, "DRIVER_LOGS": str(directory)}
    if gateway is not None:
        environment["DRIVER_GATEWAY"] = str(Path(gateway).resolve())
    codes = {}
    for name in scenarios[version]:
        options = ["--command", f"{sys.executable} {_DRIVER}", "--scenario", name, "--force"]
        if version != EXTENSION:
            options += ["--spec-version", version]
        options += ["-o", directory, "--timeout", _CLIENT_MILLISECONDS]
        codes[name] = _run("client", options, directory, environment)
    results = _read_results(directory) | {
        f"auth/{name}": scenario for name, scenario in _read_results(directory / "auth").items()
    }
    for name, scenario in results.items():
        if codes[name] == 0:
            scenario.add(EXIT)
        elif scenario.whole:
            scenario.add(EXIT, f"exit code {codes[name]} of the suite, though no check failed")
    return Run(results, time.monotonic() - started)


def listed_authorization(version):
    """The scenarios of authorization that the suite itself lists for a version."""
    command = [str(NODE), str(_SUITE), "list", "--client"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_RUN_SECONDS).stdout
    rows = re.findall(r"- (auth/\S+) \[([^]]*)\]", listed)
    return {name for name, versions in rows if version in versions.split(",")}


def _choices(version, only=None):
    if version in _EXTENSIONS:
        return [["--scenario", name] for name in only or _EXTENSIONS[version]]
    if only:
        return [["--scenario", name, "--spec-version", version] for name in only]
    return [["--suite", "all", "--spec-version", version]]


def _run(mode, options, directory, environment):
    """Runs the suite and returns its exit code; what it prints is added to `suite.log`."""
    command = [str(part) for part in (NODE, _SUITE, mode, *options)]
    with open(directory / "suite.log", "a") as log:
        try:
            done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=_RUN_SECONDS, env=environment)
        except subprocess.TimeoutExpired:
            return None  # the scenarios that are missing count as lost
        return done.returncode


def _read_results(directory):
    scenarios = {}
    for result in sorted(directory.iterdir()) if directory.is_dir() else ():
        name = _RESULT.match(result.name)
        checks = result / "checks.json"
        if name and checks.exists():
            scenarios[name[1]] = _read_checks(checks)
    return scenarios


def _read_checks(path):
    scenario = Scenario()
    for check in json.loads(path.read_text()):
        status = check["status"]
        if status == "SUCCESS":
            scenario.add(check["id"])
        elif status in ("FAILURE", "WARNING"):
            scenario.add(check["id"], check.get("errorMessage", status))
    return scenario
