#!/usr/bin/env python3
"""Holds the registry's API to its published document, and reads it with a client that others wrote.

    tests/registry/run.py --bin target/release/portcullis [--examples 30]

A gateway with a configured server and two versions of one that went the whole way through the registry. Schemathesis makes up
requests that the document (`openapi.json`) allows, and checks that the answers are those that it has; then requests that it
does not allow, which must do no harm. What is needed comes from PyPI, pinned, into `.venv` beside this file. Prints
"N passed, N failed"; exit code 1 if anything failed, 3 when a program does not start.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from stage import Stage, StageError

SECONDS = 100
CHECKS = "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    parser.add_argument("--examples", type=int, default=30, help="requests of each kind")
    options = parser.parse_args()
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    try:
        programs = install()
        with Stage() as stage:
            url = start(stage, options.bin.resolve())
            outcomes = [
                schemathesis(programs, url, options.examples, "reads what the document allows", CHECKS + ",not_a_server_error",
                             "positive", ["--include-method", "GET"]),
                schemathesis(programs, url, options.examples, "what is not done is refused as it says", CHECKS,
                             "positive", ["--exclude-method", "GET"]),
                schemathesis(programs, url, options.examples, "what it does not allow does no harm", "not_a_server_error",
                             "negative", ["--include-method", "GET"]),
                client(programs, url, stage),
            ]
    except (StageError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    passed = sum(outcomes)
    print(f"registry: {passed} passed, {len(outcomes) - passed} failed")
    sys.exit(0 if all(outcomes) else 1)


def install():
    """Makes `.venv` what `requirements.txt` says, where it is not already; returns its programs' folder."""
    place, requirements = HERE / ".venv", HERE / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = place / "installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        stamp.write_text(wanted)
    return place / "bin"


def start(stage, binary):
    """Starts the gateway, fills its registry, and returns the URL of the API."""
    far = {"url": "http://127.0.0.1:9/mcp", "description": "Far away."}
    store = {"kind": "sqlite", "path": "portcullis.db"}
    url = stage.start_gateway(binary, {"far": far}, store=store)

    def server(*words):
        command = [binary, "server", *words, "--config", stage.path / "gateway.yaml", "--by", "test"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise StageError(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")

    program = f"'{sys.executable}' '{HERE / 'server.py'}'"
    for version in ("1.0.0", "1.10.0"):
        named = f"sums@{version}"
        about = ["--name", "sums", "--registered-as", "com.example/sums", "--version", version]
        server("add", program, *about, "--description", "Sums.", "--no-sandbox", "--yes")
        for step in ("scan", "review", "approve"):
            server(step, named)
    server("deprecate", "sums@1.0.0", "--note", "1.10.0 is newer")
    return f"{url}/registry"


def schemathesis(programs, url, examples, what, checks, mode, more):
    command = [
        programs / "schemathesis", "run", HERE / "openapi.json", "--url", url, "--checks", checks, "--mode", mode,
        "--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--seed", 1, "--no-color", *more,
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, cwd=HERE / ".venv"
    )
    cases = re.search(r"(\d+) generated, \d+ passed", done.stdout)
    told = f"{what} ({cases[1] if cases else 'no'} requests)"
    return say(told, done.returncode == 0 and cases is not None, done.stdout[-4000:] + done.stderr[-1000:])


def client(programs, url, stage):
    """What the client understands is what the gateway has, a second after it was approved at the latest."""
    gateway = url.removesuffix("/registry")
    wanted = {
        "com.example/sums": [("1.10.0", "active", True), ("1.0.0", "deprecated", False)],
        "localhost/far": [("0.0.0", "active", True)],
    }
    command = [str(programs / "python"), str(HERE / "client.py"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode != 0:
        return say("a client of others reads it", False, done.stderr)
    found = json.loads(done.stdout)
    listed = {}
    for it in found["listed"]:
        listed.setdefault(it["name"], []).append((it["version"], it["status"], it["latest"]))
    names = lambda key: [(it["name"], it["version"]) for it in found[key]]
    problems = [
        problem
        for problem, holds in {
            f"it lists {listed}": listed == wanted,
            f"the latest are {names('latest')}": names("latest") == [("com.example/sums", "1.10.0"), ("localhost/far", "0.0.0")],
            f"a search finds {names('searched')}": {name for name, _ in names("searched")} == {"com.example/sums"},
            f"versions are {names('versions')}": [version for _, version in names("versions")] == ["1.10.0", "1.0.0"],
            f"the latest is {found['one']}": found["one"]["version"] == "1.10.0",
            f"it is reached at {found['one']['url']}": found["one"]["url"] == f"{gateway}/mcp/s/sums",
            "it is told of packages": all(it["packages"] is None for it in found["listed"]),
            f"what is not there is {found['none']}": found["none"] == "not found",
        }.items()
        if not holds
    ]
    return say("a client of others reads it", not problems, "\n".join(problems))


def say(what, ok, problem):
    print(f"{what:60} {'ok' if ok else 'FAIL'}", flush=True)
    if not ok:
        print(problem)
    return ok


if __name__ == "__main__":
    main()
