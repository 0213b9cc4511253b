#!/usr/bin/env python3
"""Soak test of process lifecycles: nothing that the gateway starts may outlive its purpose.

Cycles: servers with a short `idle_stop` are called, so that a child starts, answers, goes idle and is stopped,
over and over. Every cycle must be served by a new process and leave none behind; at the end the gateway has the
processes, zombies (none) and open files that it had at the start.

Kills: a gateway with three children, each with a grandchild that left its session and ignores SIGTERM, gets
`kill -9` at a random moment under load. Within a deadline no process of that round lives, found by a marker in
the environment and by what was below the gateway before.

Usage: lifecycle.py --gateway target/release/portcullis [--long]
Standard library only, Linux only. Ends with "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import http.client
import os
import random
import select
import signal
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import processes
from gateway import Gateway, child

WORKERS = 4
"""Servers that are cycled at the same time; every other one has a grandchild."""

KIDS = ("kid1", "kid2", "kid3")
STOPPED = 20.0
"""Seconds after its answer within which an idle child and its grandchild must be gone."""

SWEPT = 10.0
"""Seconds after `kill -9` within which everything must be gone."""

AFTERMATH = 0.3
"""Seconds after that for which everything must stay gone: a fork may have been in flight."""


class Tally:
    """Counts checks and prints those that fail."""

    def __init__(self):
        self.passed = self.failed = 0
        self._lock = threading.Lock()

    def check(self, what, problem=None):
        """One check: passed unless a problem is named."""
        with self._lock:
            if problem:
                self.failed += 1
                print(f"FAILED {what}: {problem}", flush=True)
            else:
                self.passed += 1


def cycle(gateway, server, marker):
    """One start and stop. Returns the child that served, or raises ValueError or OSError."""
    answer = gateway.whoami(server)
    served = processes.stat(answer["pid"])
    try:
        handle = os.pidfd_open(answer["pid"])
    except ProcessLookupError:
        handle = None
    if handle is not None:
        try:
            ended, _, _ = select.select([handle], [], [], STOPPED)
        finally:
            os.close(handle)
        if not ended:
            raise ValueError(f"child {answer['pid']} still runs {STOPPED} s after its only call")
    if left := processes.until(lambda: processes.marked(marker), STOPPED):
        raise ValueError("left behind: " + ", ".join(map(processes.describe, left)))
    return served.process if served else processes.Process(answer["pid"], 0)


def run_cycles(program, count, tally):
    """`count` cycles over WORKERS servers, then the gateway's own state."""
    run = uuid.uuid4().hex
    names = [f"idle{number}" for number in range(WORKERS)]
    markers = {name: f"{run}-{name}" for name in names}
    servers = {
        name: child(markers[name], brood=number % 2 == 1, idle_stop="100ms") for number, name in enumerate(names)
    }
    served, lock = set(), threading.Lock()

    def work(number):
        name = names[number]
        for _ in range(number, count, WORKERS):
            try:
                process = cycle(gateway, name, f"SOAK_ROUND={markers[name]}")
                with lock:
                    problem = "served by the process of an earlier cycle" if process in served else None
                    served.add(process)
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = error
            tally.check(f"cycle of {name}", problem)

    with ExitStack() as stack:
        stack.callback(lambda: put_down(processes.marked(*(f"SOAK_ROUND={marker}" for marker in markers.values()))))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        gateway = stack.enter_context(Gateway(program, folder, servers, run))
        # The first cycle of each server pays for what is made once and kept.
        for name in names:
            cycle(gateway, name, f"SOAK_ROUND={markers[name]}")
        below = {entry.process for entry in processes.descendants(gateway.pid)}
        files = processes.open_files(gateway.pid)
        begun = time.monotonic()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, range(WORKERS)))
        seconds = time.monotonic() - begun
        check_gateway(gateway, below, files, tally)
        code = gateway.stop()
        tally.check("gateway ends well on SIGTERM", f"exit code {code}" if code != 0 else None)
        left = processes.until(lambda: processes.marked(f"SOAK_GATEWAY={run}"), SWEPT)
        tally.check("nothing outlives the gateway", ", ".join(map(processes.describe, left)))
    print(f"cycles: {count} in {seconds:.0f} s, {len(served)} different processes served", flush=True)


def check_gateway(gateway, below, files, tally):
    """Compares the gateway with what it was after the first cycles."""

    def extra():
        return [entry for entry in processes.descendants(gateway.pid) if entry.process not in below]

    left = processes.until(extra, STOPPED)
    tally.check("no process is left below the gateway", ", ".join(processes.describe(e.process) for e in left))
    zombies = [entry for entry in processes.descendants(gateway.pid) if entry.state == "Z"]
    tally.check("no zombie is left below the gateway", f"{len(zombies)} zombies" if zombies else None)
    processes.until(lambda: processes.open_files(gateway.pid) > files, STOPPED)
    now = processes.open_files(gateway.pid)
    tally.check("open files are back", f"{files} at the start, {now} at the end" if now > files else None)
    print(f"open files: {files} at the start, {now} at the end", flush=True)


class Load:
    """Threads that call the children until they are told to stop; each call that is answered is counted."""

    def __init__(self, gateway):
        self.answered = dict.fromkeys(KIDS, 0)
        self.all_answered = threading.Event()
        self._gateway, self._lock, self._done = gateway, threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(kid,)) for kid in KIDS * 2]
        for thread in self._threads:
            thread.start()

    def _call(self, kid):
        while not self._done.is_set():
            try:
                self._gateway.whoami(kid)
            except (OSError, ValueError, http.client.HTTPException):
                # Expected as soon as the gateway is killed. A gateway that never answers is noticed by count.
                self._done.wait(0.01)
                continue
            with self._lock:
                self.answered[kid] += 1
                if all(self.answered.values()):
                    self.all_answered.set()

    def stop(self):
        """Ends the threads."""
        self._done.set()
        for thread in self._threads:
            thread.join()


def kill_round(program, loaded, delay):
    """One `kill -9`. With `loaded` it comes `delay` seconds after every child has answered, else after the
    gateway began to listen, which may be in the middle of a start.

    Returns how many processes were below the gateway, how long the sweep took, and the problem, if any.
    """
    run = uuid.uuid4().hex
    servers = {kid: child(run, brood=True) for kid in KIDS}
    with tempfile.TemporaryDirectory() as folder, Gateway(program, folder, servers, run) as gateway:
        load = Load(gateway)
        try:
            ready = not loaded or load.all_answered.wait(30)
            time.sleep(delay)
            before = {entry.process for entry in processes.descendants(gateway.pid)}
            before.update(processes.marked(f"SOAK_ROUND={run}"))
            gateway.kill()
        finally:
            load.stop()
        killed = time.monotonic()

        def survivors():
            known = {process for process in before if processes.alive(process)}
            return known.union(processes.marked(f"SOAK_ROUND={run}", f"SOAK_GATEWAY={run}"))

        left = processes.until(survivors, SWEPT)
        took = time.monotonic() - killed
        if not left:
            time.sleep(AFTERMATH)
            left = survivors()
        problem = None
        if left:
            problem = f"alive {took:.1f} s later: " + ", ".join(map(processes.describe, left))
        elif not ready:
            problem = f"not every child answered before the kill: {load.answered}\n{gateway.tail()}"
        elif loaded and len(before) < 2 * len(KIDS):
            problem = f"only {len(before)} processes ran before the kill"
        put_down(left)
    return len(before), took, problem


def put_down(left):
    """Kills what a gateway left behind, so that a failed run leaves the machine as it was."""
    for process in left:
        if processes.alive(process):
            os.kill(process.pid, signal.SIGKILL)


def run_kills(program, rounds, chance, tally):
    """`rounds` kills at random moments; every third one without waiting for the children."""
    total, slowest = 0, 0.0
    for number in range(rounds):
        count, took, problem = kill_round(program, loaded=number % 3 != 2, delay=chance.uniform(0.0, 0.5))
        tally.check(f"kill -9, round {number + 1}", problem)
        total, slowest = total + count, max(slowest, took)
    print(f"kills: {rounds}, {total} processes swept, the slowest sweep took {slowest:.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", required=True, help="the gateway's executable")
    parser.add_argument("--long", action="store_true", help="1,000 cycles and 50 kills instead of 30 and 5")
    parser.add_argument("--cycles", type=int, help="start/stop cycles")
    parser.add_argument("--kills", type=int, help="rounds of kill -9")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeats a run's random moments")
    options = parser.parse_args()
    cycles = options.cycles if options.cycles is not None else (1000 if options.long else 30)
    kills = options.kills if options.kills is not None else (50 if options.long else 5)
    print(f"seed {options.seed}", flush=True)

    tally = Tally()
    for what, part in (
        ("cycles", lambda: cycles and run_cycles(options.gateway, cycles, tally)),
        ("kills", lambda: kills and run_kills(options.gateway, kills, random.Random(options.seed), tally)),
    ):
        try:
            part()
        except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
            tally.check(what, f"could not go on: {error!r}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
