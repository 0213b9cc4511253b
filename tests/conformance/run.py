#!/usr/bin/env python3
"""Compares what the official conformance suite says of the reference server with and without the gateway before it.

    run.py --bin target/release/portcullis [--only direct,http,stdio,crossings,skills] [--keep DIR]

Without `--only` all parts but the skills extension are run.

Nothing is excused for a gateway: each check id that succeeds directly has to succeed through it as often, apart from
the tables in `expected.py`. Exit code 0 when that is so, 1 when something was lost or the direct run is not whole,
2 for wrong usage, 3 when a program needed for the comparison does not start.
"""

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from expected import LIMITS, NOT_YET
from stage import NODE, REFERENCE_SERVER, Stage, StageError, install_peers
from suite import LEGACY, MODERN, SCENARIOS, SKILLS, Scenario, run_suite

DEFAULT_PARTS = ("direct", "http", "stdio", "crossings")
PARTS = (*DEFAULT_PARTS, SKILLS)
COMPARISONS = {
    "http": (("http", LEGACY), ("http", MODERN)),
    "stdio": (("stdio", LEGACY), ("stdio", MODERN)),
    "crossings": (("legacy", MODERN), ("modern", LEGACY)),
    SKILLS: (("http", SKILLS),),
}
"""Which runs a part consists of: the server behind the gateway, and what the suite asks for in front of it."""


@dataclass
class Loss:
    """A check id that succeeds directly and not through the gateway; `excuse` is why that may be."""

    scenario: str
    check: str
    message: str
    excuse: str | None


def main():
    options = read_arguments()
    try:
        install_peers()
        with Stage() as stage:
            whole = compare(stage, options)
            print(f"\n{stage.seconds():.1f} s in all")
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    sys.exit(0 if whole else 1)


def read_arguments():
    parser = argparse.ArgumentParser(description="Runs the conformance suite directly and through the gateway.")
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    parts = ",".join(PARTS)
    parser.add_argument("--only", type=lambda text: text.split(","), default=DEFAULT_PARTS, help=f"some of {parts}")
    parser.add_argument("--keep", type=Path, help="copy raw results and logs to this directory, which must not exist")
    options = parser.parse_args()
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only takes {parts}, not {','.join(sorted(unknown))}")
    if options.only != ["direct"] and not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} exists already")
    return options


def compare(stage, options):
    """Runs what was asked for and prints it; says whether all is as it should be."""
    try:
        servers = {era: {"url": stage.start_reference_server(era)} for era in ("dual", "legacy", "modern")}
        runs = [run for part in options.only if part in COMPARISONS for run in COMPARISONS[part]]
        direct = run_directly(stage, servers["dual"]["url"], [version for _, version in runs] or [LEGACY, MODERN])
        whole = all([report_direct(version, run) for version, run in direct.items()])
        if runs:
            whole &= compare_through(stage, options.bin, servers, direct, runs)
        return whole
    finally:
        if options.keep:
            shutil.copytree(stage.path, options.keep)


def run_directly(stage, url, versions):
    return {version: run_suite(url, version, stage.path / f"direct-{version}") for version in dict.fromkeys(versions)}


def compare_through(stage, binary, servers, direct, runs):
    child = {"command": str(NODE), "args": [str(REFERENCE_SERVER), "--stdio"]}
    behind = {"http": servers["dual"], "stdio": child, "legacy": servers["legacy"], "modern": servers["modern"]}
    gateway = stage.start_gateway(binary, {name: behind[name] for name in dict(runs)})
    whole = True
    for name, version in runs:
        through = run_suite(f"{gateway}/mcp/s/{name}", version, stage.path / f"{name}-{version}")
        whole &= report_through(name, version, direct[version], through)
    if not whole:
        print(f"\nLast lines of the gateway:\n{stage.log_of('gateway')[-2000:]}")
    return whole


def report_direct(version, run):
    """A comparison means something only if the direct run is whole: every scenario there, every check a success."""
    broken = [(name, check) for name, scenario in run.scenarios.items() for check in scenario.failed]
    complete = sum(1 for scenario in run.scenarios.values() if scenario.ok and not scenario.failed)
    counts = f"{complete}/{SCENARIOS[version]} scenarios, {run.ok}/{run.total} checks"
    print(f"direct   {version}: {counts}, {run.seconds:.1f} s")
    for name, check in broken:
        print(f"  FAILS DIRECTLY  {name}: {check}: {shorten(run.scenarios[name].failed[check])}")
    return complete == SCENARIOS[version] and not broken


def report_through(name, version, direct, through):
    losses = find_losses(name, version, direct, through)
    print(f"\n{name} through the gateway, {version}: {through.ok}/{through.total} checks, {through.seconds:.1f} s")
    width = max(map(len, direct.scenarios))
    print(f"  {'scenario':{width}}  direct  through  lost")
    for scenario, before in direct.scenarios.items():
        after = through.scenarios.get(scenario, Scenario())
        lost = [mark(loss) for loss in losses if loss.scenario == scenario]
        counts = f"{before.ok:3}/{before.total:<3} {after.ok:4}/{after.total:<3}"
        print(f"  {scenario:{width}} {counts}  {' '.join(lost)}".rstrip())
    for loss in losses:
        if loss.excuse is None:
            print(f"  LOST  {loss.scenario}: {loss.check}: {shorten(loss.message)}")
    for (scenario, excuse), count in Counter((loss.scenario, loss.excuse) for loss in losses if loss.excuse).items():
        print(f"  excused  {scenario}, {count} checks, {excuse}")
    for scenario in passing_already(name, version, losses):
        print(f"  PASSES ALREADY  {scenario}: take it off NOT_YET for the run '{name}'")
    return all(loss.excuse is not None for loss in losses)


def find_losses(name, version, direct, through):
    """Ids that succeed less often than directly, and failures that the direct run does not have."""
    losses = []
    for scenario, before in direct.scenarios.items():
        after = through.scenarios.get(scenario)
        lost = before.succeeded - (after.succeeded if after else Counter())
        failed = after.failed if after else {}
        for check in dict.fromkeys([*lost, *(check for check in failed if check not in before.failed)]):
            absent = "the check did not run" if after else "the scenario gave no result"
            losses.append(Loss(scenario, check, failed.get(check, absent), find_excuse(name, version, scenario, check)))
    return losses


def find_excuse(name, version, scenario, check):
    for kind, table in (("limit", LIMITS), ("not yet", NOT_YET)):
        for excuse in table:
            if excuse.covers(name, version, scenario, check):
                return f"{kind}: {excuse.reason}"
    return None


def passing_already(name, version, losses):
    for excuse in NOT_YET:
        if excuse.applies(name, version, excuse.scenario):
            if not any(excuse.covers(name, version, loss.scenario, loss.check) for loss in losses):
                yield excuse.scenario


def shorten(message):
    line = message.partition("\n")[0]
    return line if len(line) <= 300 else f"{line[:299]}…"


def mark(loss):
    return loss.check if loss.excuse is None else f"({loss.check})"


if __name__ == "__main__":
    main()
