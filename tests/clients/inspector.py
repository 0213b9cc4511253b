"""MCP Inspector's command line, which connects anew for every method. `python inspector.py URL ERA`

`ERA` is what its `--protocol-era` takes: legacy, auto or modern. Each start of the Inspector costs more than the call,
so one tool of each server has to do. Same output and exit code as the other clients.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent / "peers"
NODE = PEERS / "node_modules" / ".bin" / "node"
CLI = PEERS / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
FACTS = json.loads(Path(__file__).with_name("facts.json").read_text().replace("$FILES", os.environ.get("FILES", "")))
SECONDS = 60


class Mismatch(Exception):
    """What the Inspector said is not what was expected."""


class Inspector:
    """Runs one method per process, with a home directory that the Inspector may write to."""

    def __init__(self, url, era, home):
        self._command = [NODE, CLI, "--cli", "--server-url", url, "--transport", "http", "--protocol-era", era]
        self._command += ["--format", "json", "--quiet"]
        self._environment = {**os.environ, "HOME": home, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}

    def run(self, *arguments):
        return subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def result(self, *arguments):
        done = self.run(*arguments)
        if done.returncode != 0:
            raise Mismatch(f"exit code {done.returncode}: {done.stderr.strip()[-500:]}")
        answer = json.loads(done.stdout)
        return answer.get("result", answer)


def main():
    url, era = sys.argv[1:3]
    version, checks, failed = "none", 0, []
    with tempfile.TemporaryDirectory() as home:
        inspector = Inspector(url, era, home)
        for name, check in plan(inspector):
            checks += 1
            try:
                version = check() or version
            except (Mismatch, ValueError, KeyError, subprocess.TimeoutExpired) as problem:
                failed.append(f"{name}: {problem}")
    print(json.dumps({"version": version, "checks": checks, "failed": failed}))
    sys.exit(1 if failed else 0)


def plan(inspector):
    """The checks by name; the first one gives the version spoken."""
    yield "initialize", lambda: inspector.result("--method", "initialize")["protocolVersion"]
    yield "list tools", lambda: check_list(inspector)
    for fact in {fact["tool"].partition("__")[0]: fact for fact in reversed(FACTS["calls"])}.values():
        yield f"call {fact['tool']}", lambda fact=fact: check_call(inspector, fact)
    yield "refuse an unknown tool", lambda: check_refusal(inspector, FACTS["unknownTools"][0])


def check_list(inspector):
    names = [tool["name"] for tool in inspector.result("--method", "tools/list")["tools"]]
    if missing := set(FACTS["tools"]) - set(names):
        raise Mismatch(f"{missing} not among {names}")


def check_call(inspector, fact):
    call = ["--method", "tools/call", "--tool-name", fact["tool"], "--tool-args-json", json.dumps(fact["arguments"])]
    texts = "\n".join(content.get("text", "") for content in inspector.result(*call)["content"])
    if fact["text"] not in texts:
        raise Mismatch(f"{fact['text']!r} is not in {texts[:200]!r}")


def check_refusal(inspector, tool):
    done = inspector.run("--method", "tools/call", "--tool-name", tool)
    if done.returncode == 0 or "tool_not_found" not in done.stderr:
        raise Mismatch(f"exit code {done.returncode}: {done.stdout[:200]}{done.stderr[:200]}")


if __name__ == "__main__":
    main()
