#!/usr/bin/env python3
"""Compares what the official conformance suite says with and without the gateway in between.

    run.py --bin target/release/portcullis [--only direct,http,stdio,crossings,tasks,skills,client,authorization]
           [--keep DIR] [--out docs/conformance.md]

As a client the suite is pointed at reference servers of two SDKs, each over HTTP and as a child; as a server it is
reached by an SDK client. Nothing is excused for a gateway: each check id that succeeds directly has to succeed through
it as often, apart from the tables in `expected.py`. A scenario in which a check was lost is played once more, alone; what
passes then is named at the end of the run, and what is lost again is lost. Where the suite wants tokens, the gateway gets them by itself, and every check has to succeed.
Two runs of the suite go on at a time, the client part alone.

Exit code 0 when that is so, 1 when something was lost or a direct run is not whole, 2 for wrong usage, 3 when a program
needed for the comparison does not start.
"""

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))

from compare import lost_scenarios, report_authorization, report_direct, report_second_attempts, report_through
import page
from stage import REFERENCE_SERVERS, Stage, StageError, install_peers
from suite import AUTHORIZATION_SCENARIOS, listed_authorization, run_client_suite, run_suite
from trials import PARTS, SERVERS, Trial, trials_of

AT_A_TIME = 2
POLL_AFTER = "75ms"
"""Before servers that cannot poll (children and modern ones) the gateway does. The tool which the suite calls for it takes
100 ms, and the suite comes back once: the answer has to come on the second connection. Legacy servers over HTTP poll by
themselves."""


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
    parser.add_argument("--only", type=lambda text: text.split(","), default=PARTS, help=f"some of {parts}")
    parser.add_argument("--keep", type=Path, help="copy raw results and logs to this directory, which must not exist")
    parser.add_argument("--out", type=Path, help="write what it came to as a page; takes all parts")
    options = parser.parse_args()
    if options.out and tuple(options.only) != PARTS:
        parser.error("--out takes all parts")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"--only takes {parts}, not {','.join(sorted(unknown))}")
    if options.only != ["direct"] and not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    if options.keep and options.keep.exists():
        parser.error(f"{options.keep} exists already")
    return options


def compare(stage, options):
    """Runs what was asked for and prints it; says whether all is as it should be."""
    trials = [trial for part in options.only for trial in trials_of(part)]
    compared, authorized = [], []
    try:
        servers = [trial for trial in trials if trial.kind in REFERENCE_SERVERS]
        whole = compare_servers(stage, options.bin, servers, compared)
        for trial in trials:
            if trial.kind == "client":
                whole &= compare_client(stage, options.bin, trial, compared)
            elif trial.kind == "authorization":
                whole &= run_authorization(stage, options.bin, trial, authorized)
        print()
        report_second_attempts(compared)
        if options.out and whole:
            page.write(options.out, options.bin, compared, authorized)
        return whole
    finally:
        if options.keep:
            shutil.copytree(stage.path, options.keep)


def compare_servers(stage, binary, trials, compared):
    """The suite as a client: of each server itself, and of the gateway before it."""
    if not trials:
        return True
    through = [trial for trial in trials if trial.behind != "direct"]
    direct = list(dict.fromkeys(Trial(trial.kind, "direct", trial.version) for trial in trials))
    behind = start_servers(stage, direct, through)
    urls = {trial: behind[trial.kind, "http"]["url"] for trial in direct}
    if through:
        gateways = start_gateways(stage, binary, behind, through)
        urls |= {trial: f"{gateways[polls(trial)]}/mcp/s/{server_id(trial.kind, trial.behind)}" for trial in through}
    runs = run_all(stage, urls)
    whole = all([report_direct(trial, runs[trial]) for trial in direct])
    for trial in through:
        before = runs[Trial(trial.kind, "direct", trial.version)]

        def run_again(directory, names, trial=trial):
            return run_suite(urls[trial], trial.version, directory, names)

        after = second_attempt(stage, trial, before, runs[trial], run_again)
        whole &= report_through(trial, before, after)
        compared.append((trial, before, after))
    if not whole and through:
        for name in ("gateway", "polling"):
            print(f"\nLast lines of the gateway:\n{stage.log_of(name)[-2000:]}")
    return whole


def second_attempt(stage, trial, direct, through, run_again):
    """The run with those of its scenarios played once more, by themselves, in which a check was lost."""
    names = lost_scenarios(trial, direct, through)
    if not names:
        return through
    return through.with_second(run_again(stage.path / f"{trial.name}-again", names), names)


def start_servers(stage, direct, through):
    """Settings of each server for the gateway, by kind and what it is; those over HTTP are started."""
    wanted = [(trial.kind, "http") for trial in direct] + [(trial.kind, trial.behind) for trial in through]
    servers = {}
    for kind, behind in dict.fromkeys(wanted):
        transport, *options = SERVERS[behind]
        if transport == "http":
            servers[kind, behind] = {"url": stage.start_reference_server(kind, *options)}
        else:
            command, *args = [str(part) for part in REFERENCE_SERVERS[kind]]
            servers[kind, behind] = {"command": command, "args": [*args, "--stdio", *options]}
    return servers


def start_gateways(stage, binary, behind, through):
    """The base URL of a gateway that does not poll and of one that does, each before the servers that it is for."""
    gateways = {}
    for polling in dict.fromkeys(map(polls, through)):
        names = dict.fromkeys((trial.kind, trial.behind) for trial in through if polls(trial) == polling)
        servers = {server_id(*name): behind[name] for name in names}
        name, limits = ("polling", {"poll_after": POLL_AFTER}) if polling else ("gateway", {})
        gateways[polling] = stage.start_gateway(binary, servers, name, limits=limits)
    return gateways


def polls(trial):
    """Whether the gateway polls the suite by itself."""
    return trial.behind not in ("http", "legacy")


def server_id(kind, behind):
    """A server's id has at most 20 characters."""
    return f"{kind[:2]}-{behind}"


def run_all(stage, urls):
    """Runs the suite once for each trial: what shares a server one after the other, since a child cannot tell whose
    its log messages are; the long ones, which mostly wait, first."""
    groups = {}
    for trial in sorted(urls, key=lambda trial: trial.kind != "tasks"):
        groups.setdefault((trial.kind, trial.behind), []).append(trial)

    def run_group(trials):
        return {trial: run_suite(urls[trial], trial.version, stage.path / trial.name) for trial in trials}

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return {trial: run for runs in pool.map(run_group, groups.values()) for trial, run in runs.items()}


def compare_client(stage, binary, trial, compared):
    """The suite as a server: of the SDK's client itself, and of the gateway that this client uses."""
    before = Trial(trial.kind, "direct", trial.version)
    direct = run_client_suite(trial.version, stage.path / before.name)
    through = run_client_suite(trial.version, stage.path / trial.name, binary)

    def run_again(directory, names):
        return run_client_suite(trial.version, directory, binary, {trial.version: names})

    through = second_attempt(stage, trial, direct, through, run_again)
    compared.append((trial, direct, through))
    return report_direct(before, direct) & report_through(trial, direct, through)


def run_authorization(stage, binary, trial, authorized):
    """The suite as a server that wants tokens, and as the authorization server that gives them to the gateway."""
    if unknown := listed_authorization(trial.version) ^ set(AUTHORIZATION_SCENARIOS[trial.version]):
        print(f"the suite lists other scenarios for {trial.version}: {', '.join(sorted(unknown))}")
        return False
    run = run_client_suite(trial.version, stage.path / trial.name, binary, AUTHORIZATION_SCENARIOS)
    authorized.append((trial, run))
    return report_authorization(trial, run)


if __name__ == "__main__":
    main()
