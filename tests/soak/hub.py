#!/usr/bin/env python3
"""Soak test of the hub: registered servers in several versions, rolled out and back and killed, under clients of both eras.

Each server is registered in three versions: the first is approved, the second is reviewed and rolled out, the third is scanned and
never approved. Clients of 2026-07-28 and of 2025-11-25, some of which show who they are, call tools whose answers say which version
gave them and what it was asked. Meanwhile, at random: children and their grandchildren are killed, versions are rolled out to shares and to all,
rolled back, approved, the configuration is reloaded, and now and then the gateway itself is killed (`kill -9`) and started
again. Then:

- no call is answered by a version that was not in use while it ran, and none ever by the third;
- none is answered with another's result; each that fails says why, and met a kill;
- a session stays on its version, unless its server took a step, the gateway took one back just then, or came back;
- after all that, every session that is there and every caller is served by every server at once;
- no process of a gateway outlives it: of a killed one, of one that was told to end; found by a marker in the environment and by
  what was below it;
- memory of each gateway is bounded.

What a kill or a step excuses is excused for a while. Both are so rare that most calls are not: how many, is printed, and it is a failure
where it is less than half of them.

Usage: hub.py --gateway target/release/portcullis [--long | --seconds N] [--servers N] [--callers N]
Standard library only, Linux only. Ends with "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import collections
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import processes
from gateway import VERSION, Gateway

PROGRAM = Path(__file__).with_name("versions.py")
OLD, NEW, NEVER = "1.0.0", "2.0.0", "3.0.0"
DRAIN = 1.0
"""Seconds (`limits.drain`) that a version may go on to which nobody is led any more."""


class Pace(typing.NamedTuple):
    """How often something happens, and how long it excuses what calls come to; in seconds."""

    between_actions: tuple
    """Between two of what is done to the servers, from and to."""

    between_kills: float
    """Between two `kill -9` of the gateway."""

    settled: float
    """After a step, until it is everywhere: the registry is looked at once a second, and this machine is busy."""

    recovery: float
    """After a kill, while calls may fail: what is killed again and again is started ever later."""


SHORT = Pace((1.2, 1.8), 18.0, 1.0 + DRAIN + 3.0, 5.0)
LONG = Pace((0.2, 0.7), 45.0, 1.0 + DRAIN + 6.0, 12.0)

ANSWERS = "no call is answered by a version that was not in use, or with another's result"
SESSIONS = "sessions stay on their version"

WRITTEN = 2.0
"""Seconds within which the gateway writes down that it took a version back."""

SWEPT = 10.0
"""Seconds after its end within which everything that a gateway started must be gone."""

MEMORY_PEAK = 320.0
"""MiB that no gateway may exceed."""

WAIT = 20
"""Seconds that a call may take; it has to be answered by then, if only with an error."""


class World:
    """What all share: where to call, what was done when, and what was found."""

    def __init__(self, names, seconds, pace):
        self.names, self.pace = names, pace
        self.until = time.monotonic() + seconds
        self.place = None
        self.counts, self.problems = collections.Counter(), []
        self.lock = threading.Lock()
        self.strict = {name: {OLD} for name in names}
        self.loose_until = dict.fromkeys(names, 0.0)
        self.stepped = dict.fromkeys(names, 0.0)
        self.killed = dict.fromkeys(names, -1e9)
        self.gateway_killed = -1e9
        self.numbers = 0
        self.doubts = []
        """What is right if the gateway took a version back just then: against which check, of which server, since and until when,
        and what."""

    def over(self):
        return time.monotonic() >= self.until

    def count(self, what, number=1):
        with self.lock:
            self.counts[what] += number

    def found(self, problem):
        with self.lock:
            self.counts["problems"] += 1
            if len(self.problems) < 20:
                self.problems.append(problem)

    def token(self):
        with self.lock:
            self.numbers += 1
            return f"token-{self.numbers}"

    def doubt(self, what, name, since, problem):
        with self.lock:
            self.doubts.append((what, name, since, time.monotonic(), problem))

    def is_loose(self, name, begun):
        """Whether either version may have answered a call that began then."""
        return begun <= self.loose_until[name]

    def met_a_kill(self, name, begun):
        """Whether a call that began then and has failed now met a kill."""
        return max(self.killed[name], self.gateway_killed) + self.pace.recovery >= begun


class Away(Exception):
    """There was no answer: the gateway is not there."""


class Caller(threading.Thread):
    """Calls and checks, in one era, as nobody in particular or with a key."""

    def __init__(self, world, number, key, chance):
        super().__init__(daemon=True)
        self.chance = chance
        self.world, self.number, self.key = world, number, key
        self.legacy = number % 2 == 1
        self.session, self.connection, self.place = None, None, None
        self.had = {}

    def run(self):
        while not self.world.over():
            try:
                self.visit(self.chance.choice(self.world.names))
            except Away as away:
                self.forget()
                if self.world.gateway_killed + self.world.pace.recovery < time.monotonic():
                    self.world.found(f"caller {self.number}: {away}, and nobody killed the gateway")
                time.sleep(0.2)
            except ValueError as error:
                self.world.found(f"caller {self.number}: {error}")
                self.forget()
            time.sleep(self.chance.uniform(0.02, 0.15))

    def forget(self):
        """The gateway is another one: so are its sessions."""
        if self.connection:
            self.connection.close()
        self.session, self.connection, self.had = None, None, {}

    def visit(self, name):
        """One call, and what comes of it. Returns whether it was answered."""
        token, begun = self.world.token(), time.monotonic()
        message = self.call(name, token)
        if message is None:
            return False
        self.world.count("calls")
        if not self.world.met_a_kill(name, begun):
            self.world.count("calls that had to succeed")
        if "result" not in message or message["result"].get("isError"):
            self.world.count("failed")
            if not self.world.met_a_kill(name, begun):
                took = time.monotonic() - begun
                self.world.found(f"a call of {name} failed after {took:.1f} s and nothing was killed: {json.dumps(message)[:300]}")
            return False
        said = json.loads(message["result"]["content"][0]["text"])
        self.world.count(f"answered by {said['version']}, {'legacy' if self.legacy else 'modern'}")
        if said["token"] != token:
            self.world.found(f"{name} was asked {token} and answered {said['token']}")
        if not self.world.is_loose(name, begun):
            self.world.count("calls that one version had to answer")
            used = self.world.strict[name]
            problem = f"{name} answered as {said['version']}, and in use was {used}"
            if said["version"] == OLD and OLD not in used:
                self.world.doubt(ANSWERS, name, self.world.stepped[name], problem)
            elif said["version"] not in used:
                self.world.found(problem)
        elif said["version"] not in (OLD, NEW):
            self.world.found(f"{name} answered as {said['version']}, which nobody approved")
        before, seen = self.had.get(name, (None, 0.0))
        if self.legacy and before not in (None, said["version"]):
            self.world.count("sessions that got another version")
            # It may have moved at any time since it was last asked.
            settled = self.world.pace.settled
            if seen > self.world.stepped[name] + settled:
                problem = f"{name}: a session moved from {before} to {said['version']} by itself"
                self.world.doubt(SESSIONS, name, seen - settled, problem)
        self.had[name] = said["version"], begun
        return True

    def call(self, name, token):
        """The answer to a call; None where the session has ended."""
        aggregate = self.chance.random() < 0.5
        tool = f"{name}__answer" if aggregate else "answer"
        # A session belongs to the endpoint that it was opened on.
        if self.legacy:
            aggregate, tool = True, f"{name}__answer"
        path = "/mcp" if aggregate else f"/mcp/s/{name}"
        params = {"name": tool, "arguments": {"token": token}}
        if not self.legacy:
            return self.ask(path, "tools/call", params)
        if self.session is None and not self.open():
            return None
        return self.ask(path, "tools/call", params)

    def open(self):
        """Opens a session."""
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
        message = self.ask("/mcp", "initialize", hello)
        if message is None or "result" not in message:
            self.session = None
            return False
        self.world.count("sessions")
        self.ask("/mcp", "notifications/initialized", None)
        return True

    def ask(self, path, method, params):
        """Sends one message and reads its answer."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        body = {"jsonrpc": "2.0", "method": method}
        if not method.startswith("notifications/"):
            body["id"] = self.chance.randrange(1 << 40)
        if params is not None:
            body["params"] = params
        if self.legacy:
            if self.session:
                headers.update({"Mcp-Session-Id": self.session, "MCP-Protocol-Version": "2025-11-25"})
        else:
            meta = "io.modelcontextprotocol/"
            body["params"]["_meta"] = {meta + "protocolVersion": VERSION, meta + "clientCapabilities": {}}
            headers.update({"MCP-Protocol-Version": VERSION, "Mcp-Method": method, "Mcp-Name": params["name"]})
        try:
            if self.connection is None or self.place != self.world.place:
                self.place = self.world.place
                self.connection = http.client.HTTPConnection(*self.place, timeout=WAIT)
            self.connection.request("POST", path, json.dumps(body), headers)
            response = self.connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{method} got no answer: {error!r}") from None
        if method == "initialize":
            self.session = response.headers.get("mcp-session-id")
        if response.status == 404 and self.legacy:
            # Its gateway is gone, and with it the session.
            self.session, self.had = None, {}
            return None
        if "id" not in body:
            return None
        if response.headers.get_content_type() == "text/event-stream":
            lines = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
            text = next((line for line in reversed(lines) if json.loads(line).get("id") == body["id"]), "{}")
        message = json.loads(text)
        if message.get("id") != body["id"]:
            raise ValueError(f"not the answer to {body['id']}: status {response.status}, {text[:300]}")
        return message


class Deck:
    """What there is to choose from, each once before any comes again."""

    def __init__(self, chance, cards):
        self.chance, self.cards, self.left = chance, list(cards), []

    def draw(self):
        if not self.left:
            self.left = self.chance.sample(self.cards, len(self.cards))
        return self.left.pop()


class Hub:
    """A gateway that may die, its registry, and who does what to them."""

    def __init__(self, options, folder):
        self.program, self.folder = os.path.abspath(options.gateway), folder
        self.chance = chance = random.Random(f"{options.seed}-trouble")
        self.names = [f"s{number:03}" for number in range(options.servers)]
        self.marker = uuid.uuid4().hex
        self.keys = {f"bot{number}": f"pcl_{number:04}-{uuid.uuid4().hex}" for number in range(options.callers)}
        self.peaks, self.reloads = [], 0
        # The first step leads everybody to the second version, so that there is something to see.
        self.steps, self.first = Deck(chance, ("75%", "25%", "5%", "back", "old", "new", "100%")), ["100%"]
        self.to_step, self.to_kill = Deck(chance, self.names), Deck(chance, self.names)
        self.gateway = self.world = None
        self.done = threading.Event()

    def settings(self):
        hashes = {name: [{"sha256": hashlib.sha256(key.encode()).hexdigest()}] for name, key in self.keys.items()}
        keys = {"keys": {name: {"hashes": of} for name, of in hashes.items()}}
        (Path(self.folder) / "keys.json").write_text(json.dumps(keys))
        return {
            "store": {"kind": "sqlite", "path": "portcullis.db"},
            "limits": {"drain": f"{int(DRAIN * 1000)}ms", "call_timeout": "10s", "list_page": 100 + self.reloads % 2},
            "identity": {"keys": {"file": "keys.json"}, "anonymous": "allow"},
            "telemetry": {"log": {"filter": "info"}},
        }

    def start(self):
        self.gateway = Gateway(self.program, self.folder, {}, self.marker, **self.settings())
        if self.world:
            self.world.place = (self.gateway.host, self.gateway.port)

    def command(self, *words):
        """The output of `portcullis server …`, and whether it went well."""
        environment = {**os.environ, "USER": "soak", "SOAK_GATEWAY": self.marker}
        done = subprocess.run(
            [self.program, "server", *words, "--config", "portcullis.json"],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def need(self, *words):
        code, out, err = self.command(*words)
        if code:
            raise RuntimeError(f"server {' '.join(words)}: {err}")
        return out

    def register(self):
        """All servers in all versions; the first approved, the second reviewed, the third scanned."""
        for version in (OLD, NEW, NEVER):
            entries = {
                name: {
                    "command": sys.executable,
                    "args": ["-S", "-E", str(PROGRAM), version],
                    "env": {"SOAK_ROUND": f"{self.marker}-{name}", "SOAK_BROOD": "1" if number % 4 == 0 else "0"},
                }
                for number, name in enumerate(self.names)
            }
            path = Path(self.folder) / "pasted.json"
            path.write_text(json.dumps({"mcpServers": entries}))
            self.need("add", str(path), "--version", version, "--no-sandbox", "--yes")
        steps = {OLD: ("scan", "review", "approve"), NEW: ("scan", "review"), NEVER: ("scan",)}

        def through(name):
            for version, words in steps.items():
                for word in words:
                    self.need(word, f"{name}@{version}")

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(through, self.names))

    def in_use(self):
        """By server, the versions that callers have now."""
        listed = json.loads(self.need("list", "--json"))["servers"]
        used = {name: set() for name in self.names}
        for entry in listed:
            if entry["share"] > 0:
                used[entry["server"]].add(entry["version"])
        return used

    def step(self):
        """A roll-out, a way back, or an approval, of a server that is picked by chance."""
        world, name = self.world, self.to_step.draw()
        step = self.first.pop() if self.first else self.steps.draw()
        words = {
            "back": ("rollback", name),
            "old": ("approve", f"{name}@{OLD}"),
            "new": ("approve", f"{name}@{NEW}"),
        }.get(step, ("rollout", name, NEW, "--to", step))
        world.loose_until[name] = world.stepped[name] = time.monotonic() + 3600
        code, _, error = self.command(*words)
        used = self.in_use()[name]
        world.strict[name] = used
        world.stepped[name] = time.monotonic()
        world.loose_until[name] = time.monotonic() + world.pace.settled
        world.count(f"{words[0]}: {'done' if code == 0 else 'not possible'}")
        if code not in (0, 1):
            world.found(f"server {' '.join(words)}: exit code {code}: {error}")
        code, _, _ = self.command("rollout", name, NEVER, "--to", "50%")
        if code != 1:
            world.found(f"a version that nobody reviewed was rolled out: exit code {code}")

    def kill_something(self):
        """One of the gateway's descendants, at random; of grandchildren as of children."""
        name = self.to_kill.draw()
        marked = processes.marked(f"SOAK_ROUND={self.marker}-{name}")
        if not marked:
            return
        victim = self.chance.choice(marked)
        command = processes.describe(victim)
        self.world.killed[name] = time.monotonic()
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.world.count("grandchildren killed" if " -c " in command else "children killed")

    def reload(self):
        self.reloads += 1
        path = Path(self.folder) / "portcullis.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"listen": "127.0.0.1:0", "servers": {}, **self.settings()}))
        draft.rename(path)
        self.gateway.process.send_signal(signal.SIGHUP)
        self.world.count("reloads")

    def kill_gateway(self, tally):
        """`kill -9`, and another one. Nothing of the first may live on."""
        below = [entry.process for entry in processes.descendants(self.gateway.pid)]
        self.world.gateway_killed = time.monotonic() + 3600
        self.gateway.kill()
        left = processes.until(lambda: [process for process in below if processes.alive(process)], SWEPT)
        tally("nothing outlives a killed gateway", ", ".join(map(processes.describe, left)))
        self.start()
        self.world.gateway_killed = time.monotonic()
        self.world.count("gateways killed")

    def trouble(self, tally):
        """Until the run is over."""
        pace = self.world.pace
        actions = Deck(self.chance, (self.step, self.step, self.kill_something, self.kill_something, self.reload))
        next_kill = time.monotonic() + pace.between_kills
        while not self.world.over():
            time.sleep(self.chance.uniform(*pace.between_actions))
            try:
                if time.monotonic() >= next_kill:
                    self.kill_gateway(tally)
                    next_kill = time.monotonic() + self.chance.uniform(0.7, 1.3) * pace.between_kills
                else:
                    actions.draw()()
            except Exception as error:  # noqa: BLE001: whatever it is, the run is not as it should be
                self.world.found(f"trouble: {error!r}")

    def taken_back(self, name):
        """When the gateway took versions of a server back by itself, by the clock of `time.monotonic`."""
        told = json.loads(self.need("inspect", f"{name}@{NEW}", "--json"))
        shift = time.monotonic() - time.time()
        return [
            step["at"] / 1000 + shift for step in told["history"] if step["by"] == "gateway" and step.get("share") == 0
        ]

    def watch_memory(self):
        """The most that any gateway held, in MiB."""
        while not self.done.is_set():
            try:
                pages = int(Path(f"/proc/{self.gateway.pid}/statm").read_text().split()[1])
                self.peaks.append(pages * 4096 / (1 << 20))
            except (OSError, IndexError, ValueError):
                pass
            self.done.wait(0.5)


def serve_everybody(world, callers, hub, tally):
    """Nothing is killed any more: each caller is served, and each server serves."""
    time.sleep(world.pace.recovery)
    pairs = [(caller, name) for number, caller in enumerate(callers) for name in hub.names[number % 7 :: 7]]
    pairs += [(callers[0], name) for name in hub.names]
    unserved = []
    for caller, name in pairs:
        for attempt in range(4):
            try:
                if caller.visit(name):
                    break
            except Away:
                caller.forget()
            # A session that ended is opened anew; a server that was killed again and again waits before it is started.
            time.sleep(attempt)
        else:
            unserved.append(f"caller {caller.number}, {name}")
    tally("afterwards every caller is served by every server", ", ".join(unserved[:5]))
    world.count("calls afterwards", len(pairs))


def warm_up(options, hub):
    """Every server is called until it answers: the registry is looked at once a second. Nothing of that is judged."""
    world = World(hub.names, WAIT, SHORT)
    world.place = (hub.gateway.host, hub.gateway.port)
    caller = Caller(world, 0, None, random.Random(f"{options.seed}-first"))
    for name in hub.names:
        while not caller.visit(name):
            if world.over():
                raise RuntimeError(f"{name} does not answer at all")
            time.sleep(0.2)


def judge(world, hub, tally):
    """The checks over what was found."""
    taken_back = {name: hub.taken_back(name) for name in {name for _, name, *_ in world.doubts}}
    left = {ANSWERS: list(world.problems), SESSIONS: []}
    for what, name, since, until, problem in world.doubts:
        if not any(since <= at + WRITTEN and at - WRITTEN <= until for at in taken_back[name]):
            left[what].append(problem)
    for what, problems in left.items():
        tally(what, "\n    ".join(problems[:20]))
    for what in ("calls that had to succeed", "calls that one version had to answer"):
        share = world.counts[what] / max(world.counts["calls"], 1)
        tally(f"half of all calls are judged: {what}", f"{share:.0%}" if share < 0.5 else "")
        print(f"{what}: {share:.0%}")
    for what in (
        f"answered by {OLD}, legacy", f"answered by {OLD}, modern", f"answered by {NEW}, legacy", f"answered by {NEW}, modern",
        "rollout: done", "children killed", "reloads", "gateways killed", "sessions",
    ):
        tally(f"there was something of: {what}", "" if world.counts[what] else "none")
    peak = max(hub.peaks, default=0.0)
    tally("memory is looked at", "" if len(hub.peaks) >= 10 else f"{len(hub.peaks)} samples")
    tally("memory is bounded", f"{peak:.1f} MiB" if peak > MEMORY_PEAK else "")
    for what in sorted(world.counts):
        print(f"{what}: {world.counts[what]}")
    print(f"memory: {peak:.1f} MiB at most (bound {MEMORY_PEAK:.0f})")


def run(options, tally):
    """The whole run."""
    with tempfile.TemporaryDirectory() as folder:
        hub = Hub(options, folder)
        marker = (f"SOAK_GATEWAY={hub.marker}", *(f"SOAK_ROUND={hub.marker}-{name}" for name in hub.names))
        try:
            hub.start()
            begun = time.monotonic()
            hub.register()
            print(f"{len(hub.names)} servers in three versions, registered in {time.monotonic() - begun:.0f} s", flush=True)
            warm_up(options, hub)
            world = hub.world = World(hub.names, options.seconds, LONG if options.long else SHORT)
            world.place = (hub.gateway.host, hub.gateway.port)
            keys = list(hub.keys.values())
            # Every third shows nothing, and is taken for its session or connection.
            callers = [
                Caller(world, number, None if number % 3 == 2 else keys[number], random.Random(f"{options.seed}-{number}"))
                for number in range(options.callers)
            ]
            watching = threading.Thread(target=hub.watch_memory, daemon=True)
            for thread in (*callers, watching):
                thread.start()
            hub.trouble(tally)
            for caller in callers:
                caller.join(WAIT + 10)
            tally("every caller came to its end", "; ".join(str(it.number) for it in callers if it.is_alive()))
            serve_everybody(world, callers, hub, tally)
            hub.done.set()
            judge(world, hub, tally)
            code = hub.gateway.stop()
            tally("gateway ends well on SIGTERM", f"exit code {code}: {hub.gateway.tail()}" if code else "")
            left = processes.until(lambda: processes.marked(*marker), SWEPT)
            tally("nothing outlives the gateway", ", ".join(map(processes.describe, left)))
        finally:
            hub.done.set()
            if hub.gateway:
                hub.gateway.stop()
            for process in processes.marked(*marker):
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gateway", required=True, help="the gateway's executable")
    parser.add_argument("--long", action="store_true", help="a quarter of an hour, 100 servers")
    parser.add_argument("--seconds", type=float, help="how long; 30 when neither this nor --long is given")
    parser.add_argument("--servers", type=int, help="6; 100 with --long")
    parser.add_argument("--callers", type=int, help="12; 48 with --long")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="repeats the choices of each thread of a run")
    options = parser.parse_args()
    options.seconds = options.seconds or (900 if options.long else 30)
    options.servers = options.servers or (100 if options.long else 6)
    options.callers = options.callers or (48 if options.long else 12)
    print(f"seed {options.seed}, {options.servers} servers, {options.callers} callers, {options.seconds:.0f} s", flush=True)
    results = collections.Counter()

    def tally(what, problem=""):
        results["failed" if problem else "passed"] += 1
        if problem:
            print(f"FAILED {what}: {problem}", flush=True)

    run(options, tally)
    print(f"{results['passed']} passed, {results['failed']} failed")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
