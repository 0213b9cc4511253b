"""Says what was lost between two runs of the suite, and whether it may be."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from expected import LIMITS, NOT_YET
from suite import AUTHORIZATION_SCENARIOS, CLIENT_SCENARIOS, SCENARIOS, Run, Scenario


KNOWN = Path(__file__).resolve().parent / "authorization.json"
"""The checks of each scenario of authorization that succeeded, by version."""


@dataclass
class Loss:
    """A check id that succeeds directly and not through the gateway; `excuse` is why that may be."""

    scenario: str
    check: str
    message: str
    excuse: str | None


def report_direct(trial, run):
    """A comparison means something only if the direct run is whole: every scenario there, every check a success."""
    broken = [(name, check) for name, scenario in run.scenarios.items() for check in scenario.failed]
    print(f"direct   {trial.kind}, {trial.version}: {counts(trial, run)}, {run.seconds:.1f} s")
    for name, check in broken:
        print(f"  FAILS DIRECTLY  {name}: {check}: {shorten(run.scenarios[name].failed[check])}")
    return run.whole == expected_scenarios(trial) and not broken


def report_authorization(trial, run):
    """Every check of every scenario has to succeed, and every one that ever did has to run: `authorization.json` knows
    them. There is no client to compare with, for the clients that reach all of it bring their own tokens."""
    wanted = AUTHORIZATION_SCENARIOS[trial.version]
    known = json.loads(KNOWN.read_text())[trial.version]
    whole = sum(1 for name in wanted if name in run.scenarios and run.scenarios[name].whole)
    numbers = f"{whole}/{len(wanted)} scenarios, {run.ok}/{run.total} checks"
    print(f"\nauthorization, through the gateway, {trial.version}: {numbers}, {run.seconds:.1f} s")
    lost = False
    for name in wanted:
        scenario = run.scenarios.get(name)
        if scenario is None or not scenario.total:
            print(f"  LOST  {name}: the scenario gave no result")
            lost = True
            continue
        print(f"  {name:45} {scenario.ok:3}/{scenario.total}")
        absent = {check: "the check did not run" for check in known[name] if check not in scenario.succeeded}
        for check, message in (absent | scenario.failed).items():
            excuse = find_excuse(trial, name, check)
            print(f"  {excuse or 'LOST'}  {name}: {check}: {shorten(message)}")
            lost |= excuse is None
    return not lost


def report_through(trial, direct, through):
    losses = find_losses(trial, direct, through)
    title = f"{trial.kind}, {trial.behind}, through the gateway, {trial.version}"
    lost = f", {len(losses)} lost" if losses else ""
    print(f"\n{title}: {counts(trial, through)}{lost}, {through.seconds:.1f} s")
    width = max(map(len, direct.scenarios), default=0)
    print(f"  {'scenario':{width}}  direct  through  lost")
    for scenario, before in direct.scenarios.items():
        after = through.scenarios.get(scenario, Scenario())
        lost = [mark(loss) for loss in losses if loss.scenario == scenario]
        if scenario in through.again:
            lost.append("second attempt")
        numbers = f"{before.ok:3}/{before.total:<3} {after.ok:4}/{after.total:<3}"
        print(f"  {scenario:{width}} {numbers}  {' '.join(lost)}".rstrip())
    for loss in losses:
        if loss.excuse is None:
            print(f"  LOST  {loss.scenario}: {loss.check}: {shorten(loss.message)}")
    for (scenario, excuse), count in Counter((loss.scenario, loss.excuse) for loss in losses if loss.excuse).items():
        print(f"  excused  {scenario}, {count} checks, {excuse}")
    for scenario in passing_already(trial, losses):
        print(f"  PASSES ALREADY  {scenario}: take it off NOT_YET for '{trial.kind}, {trial.behind}'")
    return all(loss.excuse is not None for loss in losses)


def report_second_attempts(runs):
    """Names what passed at its second attempt only, at the end of the run, where it is seen. It is a bug as well, of the
    gateway or of a machine that is too busy for the times that the suite allows."""
    for trial, direct, through in runs:
        lost_again = lost_scenarios(trial, direct, through)
        for name, first in through.again.items():
            if name in lost_again:
                continue
            before = Run({name: direct.scenarios[name]}, 0)
            checks = ", ".join(loss.check for loss in find_losses(trial, before, Run({name: first}, 0)) if not loss.excuse)
            print(f"SECOND ATTEMPT  {trial.kind}, {trial.behind}, {trial.version}: {name} (lost at first: {checks})")


def lost_scenarios(trial, direct, through):
    """Scenarios in which a check was lost that may not be."""
    losses = find_losses(trial, direct, through)
    return list(dict.fromkeys(loss.scenario for loss in losses if loss.excuse is None))


def expected_scenarios(trial):
    return len(CLIENT_SCENARIOS[trial.version]) if trial.kind == "client" else SCENARIOS[trial.version]


def counts(trial, run):
    return f"{run.whole}/{expected_scenarios(trial)} scenarios, {run.ok}/{run.total} checks"


def find_losses(trial, direct, through):
    """Ids that succeed less often than directly, and failures that the direct run does not have."""
    losses = []
    for scenario, before in direct.scenarios.items():
        after = through.scenarios.get(scenario)
        lost = before.succeeded - (after.succeeded if after else Counter())
        failed = after.failed if after else {}
        for check in dict.fromkeys([*lost, *(check for check in failed if check not in before.failed)]):
            absent = "the check did not run" if after else "the scenario gave no result"
            losses.append(Loss(scenario, check, failed.get(check, absent), find_excuse(trial, scenario, check)))
    return losses


def find_excuse(trial, scenario, check):
    for kind, table in (("limit", LIMITS), ("not yet", NOT_YET)):
        for excuse in table:
            if excuse.covers(trial, scenario, check):
                return f"{kind}: {excuse.reason}"
    return None


def passing_already(trial, losses):
    for excuse in NOT_YET:
        if excuse.applies(trial, excuse.scenario):
            if not any(excuse.covers(trial, loss.scenario, loss.check) for loss in losses):
                yield excuse.scenario


def shorten(message):
    line = message.partition("\n")[0]
    return line if len(line) <= 300 else f"{line[:299]}…"


def mark(loss):
    return loss.check if loss.excuse is None else f"({loss.check})"
