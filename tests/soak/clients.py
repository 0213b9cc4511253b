#!/usr/bin/env python3
"""Soak test of calls: 200 clients of both eras, with servers that are killed under them.

Four servers echo tokens: a child and an HTTP server of each era. They are killed (`kill -9`) and come back, in turn,
for as long as the run lasts. Most clients call and check, and those of 2025-11-25 poll for their answers (`limits.poll_after`);
some are asked in the middle of a call and answer; some lose their connection in every call and come back with `Last-Event-ID`;
some read a large answer slowly or not at all; some connect and send nothing, half a head or half a body, or vanish in the
middle of a call. Then:

- no call is answered twice, and none is carried out twice (the servers keep a ledger of tokens);
- none is answered with another's result, none asks another's question, and nothing that answers a call shows on a
  standalone stream;
- none is lost: each gets its result within a time, or an error that says why, and that only if its server was killed shortly
  before or meanwhile;
- memory is flat: after a warm-up, the resident size rises by no more than a bound, and stays below another;
- at the end, no connection and no process is left that was not there before.

Usage: clients.py --gateway target/release/portcullis [--long | --seconds N] [--clients N]
Standard library only, Linux only. Ends with "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import asyncio
import collections
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import processes
from callers import HalfOpen, LegacyAsked, LegacyCaller, ModernAsked, ModernCaller, Resumer, SlowReader
from gateway import Gateway
from kills import Servers

MEMORY_RISE = 12.0
"""MiB that the resident size may rise by, along its trend, from the end of the warm-up to the end of the run."""

NOISE = 12.0
"""MiB more in a run of less than two minutes: a single slow reader holds two, and there are 25."""

MEMORY_PEAK = 256.0
"""MiB that it may never exceed."""

WARM_UP = 0.3
"""The part of the run after which memory has to be flat."""


class World:
    """What the clients share: where to call, when to stop, and what they found."""

    def __init__(self, place, seconds, chance, outages):
        self.place, self.chance, self.outages = place, chance, outages
        self.until = time.monotonic() + seconds
        self.counts = collections.Counter()
        self.problems = []
        self.tokens = 0
        self.names = ("child-legacy", "child-modern", "web-legacy", "web-modern")

    def over(self):
        return time.monotonic() >= self.until

    def token(self):
        """A token that no other call has."""
        self.tokens += 1
        return f"token-{self.tokens}"

    def found(self, problem):
        self.counts["problems"] += 1
        if len(self.problems) < 20:
            self.problems.append(problem)


def crowd(world, count):
    """The clients: of each ten, five of sessions, three of none, a slow reader and a half-open one."""
    kinds = (
        LegacyCaller, ModernCaller, LegacyAsked, Resumer, SlowReader,
        LegacyCaller, ModernCaller, ModernAsked, LegacyCaller, HalfOpen,
    )
    return [kinds[number % len(kinds)](world, number) for number in range(count)]


async def sample_memory(world, pid, samples):
    """(seconds, MiB) once a second."""
    begun, page = time.monotonic(), 4096
    while not world.over():
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page / (1 << 20)
        samples.append((time.monotonic() - begun, resident))
        await asyncio.sleep(1)


def trend(samples):
    """MiB per second, by least squares."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


async def run(options, gateway, servers, chance):
    """The whole run; returns the world and the memory samples."""
    world = World((gateway.host, gateway.port), options.seconds, chance, servers.outages)
    samples = []
    helpers = [sample_memory(world, gateway.pid, samples), servers.trouble(world)]
    clients = [client.run() for client in crowd(world, options.clients)]
    for outcome in await asyncio.gather(*clients, *helpers, return_exceptions=True):
        if isinstance(outcome, BaseException):
            world.found(f"a client broke off: {outcome!r}")
    return world, samples


def judge(world, samples, ledger, tally):
    """The checks over what was found."""
    counts = world.counts
    tally("no call is lost, doubled or mixed up", "\n    ".join(world.problems))
    executed = collections.Counter(ledger.read_text().split())
    doubled = [token for token, times in executed.items() if times > 1]
    tally("no call is carried out twice", f"{len(doubled)}: {doubled[:5]}" if doubled else "")
    kinds = ("answered, legacy", "answered, modern", "asked, legacy", "asked, modern", "polled", "resumed", "read slowly")
    for what in (*kinds, "half-open", "killed"):
        tally(f"there was something of: {what}", "" if counts[what] else "none")
    settled = samples[int(len(samples) * WARM_UP):]
    span = settled[-1][0] - settled[0][0]
    rise, allowed = trend(settled) * span, MEMORY_RISE + (NOISE if span < 120 else 0)
    peak = max(size for _, size in samples)
    tally("memory is flat", f"rises by {rise:.1f} MiB" if rise > allowed else "")
    tally("memory is bounded", f"{peak:.1f} MiB" if peak > MEMORY_PEAK else "")
    for what in sorted(counts):
        print(f"{what}: {counts[what]}")
    print(
        f"memory: {samples[0][1]:.1f} MiB at the start, {settled[0][1]:.1f} after the warm-up, {samples[-1][1]:.1f} at "
        f"the end, {peak:.1f} at most (bound {MEMORY_PEAK:.0f}); the trend after the warm-up is {rise:+.1f} MiB in {span:.0f} s "
        f"(bound {allowed:+.0f})"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", required=True, help="the gateway's executable")
    parser.add_argument("--long", action="store_true", help="ten minutes")
    parser.add_argument("--seconds", type=float, help="how long; 25 when neither this nor --long is given")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeats a run's choices")
    options = parser.parse_args()
    options.seconds = options.seconds or (600 if options.long else 25)
    print(f"seed {options.seed}, {options.clients} clients, {options.seconds:.0f} s", flush=True)

    results = collections.Counter()

    def tally(what, problem=""):
        results["failed" if problem else "passed"] += 1
        if problem:
            print(f"FAILED {what}: {problem}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        ledger.touch()
        chance = random.Random(options.seed)
        with Servers(ledger, chance) as servers:
            limits = {"session_idle": "5s", "header_read": "2s", "body_read": "3s", "call_timeout": "10s", "poll_after": "300ms"}
            with Gateway(options.gateway, folder, servers.configured(), servers.marker, limits=limits) as gateway:
                servers.gateway = gateway
                files = processes.open_files(gateway.pid)
                world, samples = asyncio.run(run(options, gateway, servers, chance))
                judge(world, samples, ledger, tally)
                allowed = files + servers.most_files()
                processes.until(lambda: processes.open_files(gateway.pid) > allowed, 15)
                left = processes.open_files(gateway.pid)
                tally("open files are back", f"{files} before, {left} after" if left > allowed else "")
                code = gateway.stop()
                tally("gateway ends well on SIGTERM", f"exit code {code}: {gateway.tail()}" if code else "")
            left = processes.until(lambda: processes.marked(f"SOAK_GATEWAY={servers.marker}"), 10)
            tally("nothing outlives the gateway", ", ".join(map(processes.describe, left)))
    print(f"{results['passed']} passed, {results['failed']} failed")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
