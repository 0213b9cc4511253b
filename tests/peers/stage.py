"""Starts the programs of an end-to-end test and sees to it that every one of them ends.

A child runs in a process group of its own, with its output in a log file, and counts as started once a line of its
output says where it listens. `Stage` ends all children in reverse order when its `with` block is left, whatever the
reason; SIGINT, SIGTERM and SIGHUP are turned into an exit so that they leave the block too, and the kernel ends the
children should the runner itself be killed. Linux only, standard library only.
"""

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PEERS = Path(__file__).resolve().parent
"""Where the peers are installed."""
NODE = PEERS / "node_modules" / ".bin" / "node"
PYTHON = PEERS / ".venv" / "bin" / "python"
REFERENCE_SERVERS = {
    "typescript": [NODE, PEERS / "reference-server" / "server.mjs"],
    "python": [PYTHON, PEERS / "reference-server-python" / "server.py"],
    "tasks": [PYTHON, PEERS / "tasks-server" / "server.py"],
}
"""How the reference servers are started, by the SDK they are built on; `tasks` is that of the Tasks extension."""

START_SECONDS = 30
STOP_SECONDS = 5
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class StageError(Exception):
    """A program did not start or did not say where it listens."""


def install_peers():
    """Installs the peers; a no-op when they are there already."""
    subprocess.run([PEERS / "install"], check=True, stdout=sys.stderr)


def free_port():
    """A port that nobody has, for what cannot say which one it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A running program. `found` is the match of the line that made it count as started."""

    def __init__(self, name, command, ready, log, cwd, env):
        self.name = name
        self.log = log
        self.found = None
        self._ready = re.compile(ready)
        self._settled = threading.Event()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self.log, "w") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                if self.found is None and (found := self._ready.search(line)):
                    self.found = found
                    self._settled.set()
        self._settled.set()

    def wait_until_ready(self):
        if not self._settled.wait(START_SECONDS) or self.found is None:
            raise StageError(f"{self.name} did not start; its output:\n{self.log.read_text()[-4000:]}")

    def is_running(self):
        return self._process.poll() is None

    def stop(self):
        """Asks the program to end, then ends what is left of its process group."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"{self.name} ignored SIGTERM for {STOP_SECONDS} s", file=sys.stderr)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the whole group is gone already
        self._process.wait()
        self._reader.join(STOP_SECONDS)


class Stage:
    """The children of one test run, a directory for their files, and the clock."""

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory(prefix="portcullis-e2e-")
        self.path = Path(self._directory.name)
        self._children = []
        self._started = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
        return self

    def __exit__(self, *_exception):
        for child in reversed(self._children):
            child.stop()
        self._directory.cleanup()

    def seconds(self):
        return time.monotonic() - self._started

    def start(self, name, command, ready, **env):
        """Starts a program and waits for a line of its output that matches `ready`."""
        child = Child(name, command, ready, self.path / f"{name}.log", self.path, env)
        self._children.append(child)
        child.wait_until_ready()
        return child

    def start_reference_server(self, kind, *options):
        """Starts a reference server over HTTP and returns its URL."""
        name = "-".join(["reference", kind, *(option.strip("-") for option in options)])
        command = [*REFERENCE_SERVERS[kind], "--http", 0, *options]
        return self.start(name, command, r"listening (http://\S+)").found[1]

    def start_gateway(self, binary, servers, name="gateway", **sections):
        """Starts the gateway in front of `servers` (name to settings) and returns its base URL, without a path.

        `sections` are further parts of its configuration."""
        config = self.path / f"{name}.yaml"
        settings = {"listen": "127.0.0.1:0", "servers": servers, **sections}
        config.write_text(json.dumps(settings))  # JSON is YAML
        command = [Path(binary).resolve(), "serve", "--config", config]
        return self.start(name, command, r"(http://127\.0\.0\.1:\d+)/mcp").found[1]

    def log_of(self, name):
        """What a child has printed so far; empty when there is no such child."""
        path = self.path / f"{name}.log"
        return path.read_text() if path.exists() else ""
