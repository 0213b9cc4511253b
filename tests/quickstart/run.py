#!/usr/bin/env python3
"""Starts what `make run` starts, uses it as a client of either era would, ends it, and sees that nothing is left.

    run.py --bin target/release/portcullis

Standard library only, Linux only. Ends with "N passed, N failed"; exit code 1 if anything failed, 3 if the quickstart
did not start.
"""

import argparse
import http.client
import json
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "soak"))

import processes

MODERN, LEGACY = "2026-07-28", "2025-11-25"
START_SECONDS = 120
END_SECONDS = 40
FILES = ROOT / "examples" / "quickstart" / "files"

# A tool of every server, its arguments, and what its answer has to say.
CALLS = (
    ("everything__echo", {"message": "near ✓"}, "near ✓"),
    ("remote__echo", {"message": "far ✓"}, "far ✓"),
    ("files__read_text_file", {"path": str(FILES / "welcome.md")}, "You read this through a gateway"),
    ("files__list_directory", {"path": str(FILES)}, "shopping.csv"),
    ("time__convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, "21:00"),
)


class Tally:
    """Counts checks and prints those that fail."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: {detail}", flush=True)


class Client:
    """As much of an MCP client of one era as this test needs."""

    def __init__(self, url, version):
        self.url, self.version, self.session, self.count = urlsplit(url), version, None, 0
        if version == LEGACY:
            hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "quickstart", "version": "1"}}
            self.request("initialize", hello)
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def request(self, method, params):
        """The result of a request; ValueError says what came instead."""
        self.count += 1
        if self.version == MODERN:
            meta = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            params = {**params, "_meta": meta}
        text = self.post({"jsonrpc": "2.0", "id": self.count, "method": method, "params": params})
        message = json.loads(text)
        if message.get("id") != self.count or "result" not in message:
            raise ValueError(f"not the answer: {text[:300]}")
        return message["result"]

    def post(self, message):
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self.version == MODERN or self.session:
            headers["MCP-Protocol-Version"] = self.version
        if self.version == MODERN:
            headers["Mcp-Method"] = message["method"]
            if name := message["params"].get("name"):
                headers["Mcp-Name"] = name
        if self.session:
            headers["Mcp-Session-Id"] = self.session
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        try:
            connection.request("POST", self.url.path, json.dumps(message), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status not in (200, 202):
            raise ValueError(f"HTTP status {response.status}: {text[:300]}")
        self.session = response.headers.get("Mcp-Session-Id", self.session)
        if response.headers.get_content_type() == "text/event-stream":
            data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
            text = [line for line in data if line][-1]
        return text

    def list_tools(self):
        """The names of all tools, page by page."""
        names, params = [], {}
        while True:
            result = self.request("tools/list", params)
            names += [tool["name"] for tool in result["tools"]]
            if "nextCursor" not in result:
                return names
            params = {"cursor": result["nextCursor"]}


class Quickstart:
    """The running example. Leaving the block ends it, whatever happened."""

    def __init__(self, binary):
        script = ROOT / "examples" / "quickstart" / "run"
        command = [script, "--bin", Path(binary).resolve(), "--listen", "127.0.0.1:0"]
        self._lines, self.printed = queue.Queue(), []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd="/")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, pattern):
        """Waits for a line of the output that matches."""
        while (line := self._lines.get(timeout=START_SECONDS)) is not None:
            self.printed.append(line)
            if found := re.search(pattern, line):
                return found
        raise RuntimeError("it ended before it said " + pattern)

    def end(self):
        """Ctrl-C, as the terminal sends it. Returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(END_SECONDS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()  # The kernel ends its children.
            self.process.wait()


def use(tally, url, version):
    try:
        client = Client(url, version)
        names = client.list_tools()
        tally.check(f"{version}: every tool once", len(names) == len(set(names)), names)
        for server in ("everything", "files", "remote", "time"):
            tally.check(f"{version}: tools of {server}", any(name.startswith(f"{server}__") for name in names), names)
    except (OSError, ValueError, http.client.HTTPException) as error:
        tally.check(f"{version}: start and list", False, error)
        return
    for tool, arguments, expected in CALLS:
        try:
            result = client.request("tools/call", {"name": tool, "arguments": arguments})
            told = json.dumps(result, ensure_ascii=False)
            tally.check(f"{version}: {tool}", expected in told and not result.get("isError"), told[:300])
        except (OSError, ValueError, http.client.HTTPException) as error:
            tally.check(f"{version}: {tool}", False, error)


def run(binary, tally):
    with Quickstart(binary) as quickstart:
        url = quickstart.line(r"listens on (http://\S+/mcp)")[1]
        quickstart.line(r"claude mcp add .*" + re.escape(url))
        told = "".join(quickstart.printed)
        for server in ("everything", "files", "remote", "time"):
            tally.check(f"the banner tells what {server} offers", re.search(rf"^  {server} +\d+ tools", told, re.M), told)
        for version in (MODERN, LEGACY):
            use(tally, url, version)
        below = [entry.process for entry in processes.descendants(quickstart.process.pid)]
        tally.check("the servers run", len(below) >= 6, [processes.describe(process) for process in below])
        code = quickstart.end()
        tally.check("Ctrl-C ends it well", code == 0, f"exit code {code}")
        left = processes.until(lambda: [process for process in below if processes.alive(process)], END_SECONDS)
        tally.check("nothing is left", not left, [processes.describe(process) for process in left])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "portcullis", help="the gateway")
    options = parser.parse_args()
    tally = Tally()
    try:
        run(options.bin, tally)
    except (OSError, RuntimeError, queue.Empty, subprocess.TimeoutExpired) as error:
        print(f"the quickstart did not start or did not end: {error!r}", file=sys.stderr)
        sys.exit(3)
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
