"""What walks of identity share: a tally, a stage with real programs on it, clients that log in, and requests."""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from stage import PEERS, Stage, StageError, install_peers

CLIENT_SECONDS = 60
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
EVERYTHING = PEERS / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, ok, seen=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok  ' if ok else 'FAIL'}  {what}{'' if ok else f': {seen}'}")


def play(description, walks, logs):
    """Plays walks one after the other, shows the ends of these logs where something was not as it must be, and exits."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    options = parser.parse_args()
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    tally = Tally()
    try:
        install_peers()
        with Stage() as stage:
            try:
                for walk in walks:
                    walk(stage, options.bin, tally)
            finally:
                if tally.failed:
                    for name in logs:
                        print(f"\nLast lines of {name}:\n{stage.log_of(name)[-3000:]}\n")
            print(f"{tally.passed} passed, {tally.failed} failed ({stage.seconds():.1f} s)")
    except (StageError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    sys.exit(1 if tally.failed else 0)


def run_client(stage, name, program, url, login, arguments, **environment):
    command = [str(part) for part in [*program, url, login, *arguments]]
    environment = {**os.environ, **environment}
    try:
        done = subprocess.run(
            command, cwd=stage.path, timeout=CLIENT_SECONDS, capture_output=True, text=True, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"{name} took longer than {CLIENT_SECONDS} s"}
    if done.returncode != 0:
        return {"error": (done.stderr or done.stdout)[-3000:]}
    return json.loads(done.stdout.splitlines()[-1])


def post(url, token, message, session=None, more=None):
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream", **(more or {})}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if session is not None:
        headers["mcp-session-id"] = session
    request = urllib.request.Request(url, json.dumps(message).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def eventually(ask, seconds=10):
    end = time.monotonic() + seconds
    while not ask():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
