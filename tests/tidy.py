#!/usr/bin/env python3
"""The rules of the house that no compiler checks. Run from anywhere; prints what is wrong and where.

Dependency edges come from `cargo metadata`, what is linked from `cargo tree` (metadata also tells of optional
dependencies that nobody turned on); they are those of ARCHITECTURE.md; the rules for files are those of
CONTRIBUTING.md. Python 3.11, standard library only. Ends with "N passed, N failed"; exit code 1 if anything failed.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Who may know whom, among our own crates. A new crate has to be entered here, and in ARCHITECTURE.md.
EDGES = {
    "portcullis-model": set(),
    "portcullis-mcp": {"portcullis-model"},
    "portcullis-config": {"portcullis-guard", "portcullis-model"},
    # The store is for its tests.
    "portcullis-hub": {"portcullis-model", "portcullis-store"},
    # The store is for its tests.
    "portcullis-identity": {"portcullis-model", "portcullis-store"},
    "portcullis-store": {"portcullis-model"},
    # The store is for its tests.
    "portcullis-audit": {"portcullis-model", "portcullis-store"},
    "portcullis-telemetry": set(),
    "portcullis-policy": {"portcullis-mcp", "portcullis-model"},
    "portcullis-openapi": {"portcullis-mcp", "portcullis-model"},
    # The store is for its tests.
    "portcullis-oversight": {"portcullis-mcp", "portcullis-model", "portcullis-store"},
    "portcullis-guard": {"portcullis-mcp", "portcullis-model"},
    "portcullis-gateway": {
        "portcullis-audit",
        "portcullis-config",
        "portcullis-guard",
        "portcullis-hub",
        "portcullis-identity",
        "portcullis-mcp",
        "portcullis-model",
        "portcullis-openapi",
        "portcullis-oversight",
        "portcullis-policy",
        "portcullis-telemetry",
    },
    "portcullis": {
        "portcullis-audit",
        "portcullis-config",
        "portcullis-gateway",
        "portcullis-guard",
        "portcullis-hub",
        "portcullis-identity",
        "portcullis-mcp",
        "portcullis-model",
        "portcullis-openapi",
        "portcullis-oversight",
        "portcullis-policy",
        "portcullis-store",
        "portcullis-telemetry",
    },
    "portcullis-bench": set(),
}

# What a crate must not reach over any number of steps, and why.
UNREACHABLE = (
    (("portcullis-mcp", "portcullis-model"), ("tokio", "hyper", "mio"), "the protocol does no I/O"),
    (("portcullis-policy",), ("tokio", "hyper", "mio"), "policies are handed in, and decide without I/O"),
    (("portcullis-guard",), ("tokio", "hyper", "mio"), "content is handed in, and judged without I/O"),
    (("portcullis-openapi",), ("tokio", "hyper", "mio"), "a document is handed in, and asks for nothing"),
    (("portcullis-config",), ("tokio", "hyper"), "a configuration is read, not served"),
    (tuple(EDGES), ("ring", "openssl-sys", "native-tls"), "one cryptography library: aws-lc"),
)

LONGEST = 600
"""Lines of a Rust file."""

LONGER = {}
"""Files that may be longer, each with the reason."""

FORBIDDEN = (
    (re.compile(r"\b(todo|unimplemented|dbg)!"), "unfinished code or a debugging aid"),
    (re.compile(r"#\[ignore"), "an ignored test"),
    (re.compile(r"\bunsafe\b(?!_code)(?=\s*(\{|fn\b|impl\b))"), "unsafe code"),
)

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}

DOCUMENTS = (
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "docs/reference/cli.md",
    "docs/reference/config.schema.json",
    "docs/reference/configuration.md",
    "docs/reference/errors.md",
)


class Tally:
    """Counts checks and prints those that fail."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, ok, where, what):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"{where}: {what}")


def main():
    tally = Tally()
    check_edges(tally, own_packages(load_metadata()))
    check_reach(tally)
    check_sources(tally)
    check_documents(tally)
    check_links(tally)
    check_guards(tally)
    print(f"tidy: {tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


def load_metadata():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--no-deps"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def own_packages(metadata):
    members = set(metadata["workspace_members"])
    return [package for package in metadata["packages"] if package["id"] in members]


def check_edges(tally, own):
    """Direct dependencies among our own crates, those of tests included."""
    there = {package["name"] for package in own}
    tally.check(there == set(EDGES), "tests/tidy.py", f"EDGES is wrong about {', '.join(sorted(there ^ set(EDGES)))}")
    for package in own:
        known = {dependency["name"] for dependency in package["dependencies"]} & set(EDGES)
        surplus = known - EDGES.get(package["name"], set())
        where = Path(package["manifest_path"]).relative_to(ROOT)
        tally.check(not surplus, where, f"must not depend on {', '.join(sorted(surplus))}")
        tally.check(package["license"] == "Apache-2.0", where, "has another licence than LICENSE")


def check_reach(tally):
    """What is linked into a crate, however far down; its tests do not count."""
    for crates, forbidden, why in UNREACHABLE:
        for crate in crates:
            linked = linked_into(crate)
            for name in forbidden:
                tally.check(name not in linked, crate, f"reaches {name}: {why} (cargo tree -p {crate} -i {name})")


def linked_into(crate):
    command = ["cargo", "tree", "--locked", "--package", crate, "--edges", "normal,build", "--prefix", "none"]
    lines = subprocess.run([*command, "--format", "{p}"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[0] for line in lines.splitlines() if line.strip()}


def rust_files():
    folders = [ROOT / "crates", ROOT / "fuzz", ROOT / "docs"]
    files = [path for folder in folders for path in folder.rglob("*.rs")]
    return sorted(path for path in files if "target" not in path.relative_to(ROOT).parts)


def check_sources(tally):
    for path in rust_files():
        where = path.relative_to(ROOT)
        lines = path.read_text().splitlines()
        code = [line for line in lines if line.strip()]
        tally.check(code and code[0].startswith("//!"), f"{where}:1", "begins without `//!`: say what it is and why")
        limit = LONGEST if str(where) not in LONGER else sys.maxsize
        tally.check(len(lines) <= limit, where, f"{len(lines)} lines, more than {LONGEST}: divide it")
        tally.check(not FORBIDDEN_NAMES & {path.stem, *where.parts[:-1]}, where, "a name that says nothing")
        for number, line in enumerate(lines, 1):
            if line.lstrip().startswith("//"):
                continue
            for pattern, what in FORBIDDEN:
                if pattern.search(line):
                    tally.check(False, f"{where}:{number}", what)
        tally.check(True, where, "nothing forbidden")


def check_documents(tally):
    for name in DOCUMENTS:
        path = ROOT / name
        tally.check(path.is_file() and path.stat().st_size > 0, name, "is missing or empty")
    fragments = [path for path in (ROOT / "changes" / "unreleased").glob("*") if path.name != "README.md"]
    for path in fragments:
        good = re.fullmatch(r"[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md", path.name)
        tally.check(good and path.read_text().strip(), path.relative_to(ROOT), "is no changelog fragment: NAME.KIND.md")


def documents():
    """Our Markdown, without what packages brought along."""
    files = [*ROOT.glob("*.md"), *(ROOT / "changes").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in files if "node_modules" not in path.parts)


def check_links(tally):
    """Relative links, and paths in the code map, lead somewhere."""
    for path in documents():
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            place = path.parent / target.split("#")[0]
            tally.check(place.exists(), path.relative_to(ROOT), f"links to {target}, which does not exist")


def check_guards(tally):
    """Every test that ARCHITECTURE.md names as the guard of an invariant exists."""
    page = ROOT / "ARCHITECTURE.md"
    if not page.is_file():
        return
    sources = "\n".join(path.read_text() for path in rust_files())
    section = page.read_text().partition("\n## Invariants")[2].partition("\n## ")[0]
    guards = re.findall(r"`([a-z0-9_]+)`", section)
    tally.check(bool(guards), "ARCHITECTURE.md", "names no test in its section Invariants")
    for guard in guards:
        tally.check(f"fn {guard}(" in sources, "ARCHITECTURE.md", f"no test is named `{guard}`")


if __name__ == "__main__":
    main()
