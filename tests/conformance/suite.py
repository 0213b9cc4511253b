"""Runs the official conformance suite against one URL and reads what it found.

Only the `checks.json` files count: the suite's own verdict calls a scenario passed when none of its checks ran, so a
dead server passes some. Statuses other than SUCCESS, FAILURE and WARNING are remarks and are left out.
"""

import json
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from stage import NODE, PEERS

LEGACY = "2025-11-25"
MODERN = "2026-07-28"
SKILLS = "skills"
SCENARIOS = {LEGACY: 33, MODERN: 40, SKILLS: 3}
"""How many scenarios there are for each version and extension: fewer results mean that the suite broke off."""

_EXTENSIONS = {SKILLS: ("sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest")}
"""Scenarios of extensions belong to no version and are run by name."""

_SUITE = PEERS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
_RESULT = re.compile(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")
_SCENARIO_MILLISECONDS = 20_000
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


@dataclass
class Run:
    """One run of the suite: scenarios by name, and how long it took."""

    scenarios: dict
    seconds: float

    @property
    def ok(self):
        return sum(scenario.ok for scenario in self.scenarios.values())

    @property
    def total(self):
        return sum(scenario.total for scenario in self.scenarios.values())


def run_suite(url, version, directory):
    """Runs all scenarios of a version or extension against `url`, leaving the raw results in `directory`."""
    started = time.monotonic()
    directory.mkdir()
    for choice in _choices(version):
        _run_once(url, choice, directory)
    return Run(_read_results(directory), time.monotonic() - started)


def _choices(version):
    if version in _EXTENSIONS:
        return [["--scenario", name] for name in _EXTENSIONS[version]]
    return [["--suite", "all", "--spec-version", version]]


def _run_once(url, choice, directory):
    command = [NODE, _SUITE, "server", "--url", url, *choice, "-o", directory]
    command += ["--timeout", str(_SCENARIO_MILLISECONDS)]
    with open(directory / "suite.log", "a") as log:
        try:
            # The exit code repeats the suite's own verdict, which is not used.
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # the scenarios that are missing count as lost


def _read_results(directory):
    scenarios = {}
    for result in sorted(directory.iterdir()):
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
            scenario.succeeded[check["id"]] += 1
        elif status in ("FAILURE", "WARNING"):
            scenario.failed[check["id"]] = check.get("errorMessage", status)
        else:
            continue
        scenario.total += 1
    return scenario
