"""MCP Inspector's command line in the matrix. `inspect_once.py legacy|modern PROFILE URL`

It connects anew for each method, and can be asked for nothing: it lists and calls. Same output as the other clients.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients"))

from inspector import Inspector, Mismatch


def main():
    era, profile, url = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    version, results = "none", {}
    with tempfile.TemporaryDirectory() as home:
        inspector = Inspector(url, era, home)

        def list_tools():
            names = [tool["name"] for tool in inspector.result("--method", "tools/list")["tools"]]
            if profile["list"] not in names:
                raise Mismatch(f"no {profile['list']}")

        def call():
            fact = profile["call"]
            given = ["--tool-name", fact["tool"], "--tool-args-json", json.dumps(fact["arguments"])]
            said = json.dumps(inspector.result("--method", "tools/call", *given)["content"])
            if fact["text"] not in said:
                raise Mismatch(f"{fact['text']} is not in {said[:200]}")

        try:
            version = inspector.result("--method", "initialize")["protocolVersion"]
        except (Mismatch, ValueError, KeyError, subprocess.TimeoutExpired) as problem:
            results = {"list": f"cannot connect: {problem}", "call": f"cannot connect: {problem}"}
        for name, act in (() if results else (("list", list_tools), ("call", call))):
            try:
                act()
                results[name] = "ok"
            except (Mismatch, ValueError, KeyError, subprocess.TimeoutExpired) as problem:
                results[name] = str(problem)
    print(json.dumps({"version": version, "results": results}))


if __name__ == "__main__":
    main()
