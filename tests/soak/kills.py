"""The servers of the soak of calls, and who kills them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import processes

ECHO = Path(__file__).with_name("echo.py")
CHILD_PAUSE = 70.0
"""A child that fails more often than once a minute is started again ever later; that is not what this test is about. So all that
it has running are killed at once."""


RECOVERY = {"web": 2.0, "child": 8.0}
"""Seconds for which calls may still be refused once a server is back: the gateway does not try anew at once, and a child has to
start first."""


class Outages:
    """When which server was away, so that a call is refused for a reason or wrongly."""

    def __init__(self):
        self._spans = {}

    def begin(self, name):
        self._spans.setdefault(name, []).append([time.monotonic(), float("inf")])

    def end(self, name):
        self._spans[name][-1][1] = time.monotonic()

    def excuse(self, name, begun):
        """Whether a call to `name` that began then and has been refused now met an outage."""
        recovery = RECOVERY[name.partition("-")[0]]
        return any(back + recovery >= begun for _, back in self._spans.get(name, ()))


class Servers:
    """Two HTTP servers, which this starts, and two children, which the gateway starts."""

    def __init__(self, ledger, chance):
        self._ledger, self._chance = ledger, chance
        self.marker = uuid.uuid4().hex
        self.gateway = None
        self.outages = Outages()
        self._ports = {"web-legacy": _free_port(), "web-modern": _free_port()}
        self._running = {}

    def __enter__(self):
        for name in self._ports:
            self._start(name)
        return self

    def __exit__(self, *_):
        for process in self._running.values():
            process.kill()
            process.wait()

    def configured(self):
        """The `servers` of the gateway's configuration."""
        env = {"SOAK_LEDGER": str(self._ledger), "SOAK_ROUND": self.marker}
        servers = {name: {"url": f"http://127.0.0.1:{port}/mcp"} for name, port in self._ports.items()}
        for era in ("legacy", "modern"):
            servers[f"child-{era}"] = {
                "command": sys.executable, "args": ["-S", "-E", str(ECHO), era], "env": env, "max_concurrent": 200,
            }
        return servers

    def most_files(self):
        """Open files that the gateway may keep for these servers: pooled connections, and the pipes of children, of which those
        that ask have some for calls that were under way at once."""
        return 160

    def _start(self, name):
        era = name.partition("-")[2]
        self._running[name] = subprocess.Popen(
            [sys.executable, "-S", "-E", str(ECHO), era, str(self._ports[name])],
            env={**os.environ, "SOAK_LEDGER": str(self._ledger)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )
        self._running[name].stdout.readline()

    async def trouble(self, world):
        """Kills one after the other until the run is over. The last kills leave time to see the servers come back."""
        await asyncio.gather(self._kill_web(world), self._kill_children(world))

    async def _kill_web(self, world):
        while not world.over():
            await asyncio.sleep(self._chance.uniform(1.0, 4.0))
            name = self._chance.choice(list(self._ports))
            self.outages.begin(name)
            self._running[name].kill()
            await asyncio.to_thread(self._running[name].wait)
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
            await asyncio.to_thread(self._start, name)
            self.outages.end(name)
            world.counts["killed"] += 1

    async def _kill_children(self, world):
        while not world.over():
            await asyncio.sleep(min(CHILD_PAUSE, max(1.0, (world.until - asyncio.get_running_loop().time()) / 2)))
            for process in processes.marked(f"SOAK_ROUND={self.marker}"):
                try:
                    name = f"child-{_arguments(process.pid)[-1]}"
                    self.outages.begin(name)
                    os.kill(process.pid, signal.SIGKILL)
                except (ProcessLookupError, FileNotFoundError):
                    continue
                self.outages.end(name)
                world.counts["killed"] += 1


def _arguments(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
