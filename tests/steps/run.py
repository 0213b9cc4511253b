#!/usr/bin/env python3
"""What single steps cost, in a short form: the benches of identity and policy, with the bounds that were promised.

    tests/steps/run.py [--slack 4]

Runs `cargo bench` for both crates and holds the medians against bounds: a steady decision of 500 policies under 2 us, a
filtered list of 1,000 tools under 100 us, a first decision under 20 us and a first list under 8 ms; a remembered token has to
be far cheaper than one that is verified. On a machine that does other things as well, medians are allowed to be `--slack`
times the bound, which still fails for a step that has come to do something else; ratios are not. Prints a table and "N
passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = {"ns": 1e-3, "µs": 1.0, "us": 1.0, "ms": 1e3, "s": 1e6}

# Microseconds, for each bench of `portcullis-policy`.
POLICY = {"decision_steady": 2.0, "decision_cold": 20.0, "list_steady": 100.0, "list_cold": 8000.0}
# The lines of the bench of `portcullis-identity`: what is dear, what is cheap, and how much cheaper at the least.
IDENTITY = [
    ("a token that is new (ES256)", "a token that is remembered", 10.0),
    ("a token that is new (ES256)", "an API key", 10.0),
]


def bench(crate: str, name: str, *arguments: str) -> str:
    command = ["cargo", "bench", "--locked", "--quiet", "-p", crate, "--bench", name, "--", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


def policy_medians(text: str) -> dict[str, float]:
    """Divan's table: the name, then fastest, slowest, median and mean, parted by bars."""
    medians = {}
    for line in text.splitlines():
        columns = [column.strip() for column in line.split("│")]
        head = re.match(r"^[├╰]─ (\w+)\s+[\d.]+ \S+$", columns[0])
        if not head or len(columns) < 4:
            continue
        number, unit = columns[2].split()
        medians[head[1]] = float(number) * UNITS[unit]
    return medians


def identity_medians(text: str) -> dict[str, float]:
    """A name and nanoseconds on each line."""
    lines = (re.match(r"^(\S.*?)\s+(\d+) ns$", line) for line in text.splitlines())
    return {found[1]: float(found[2]) / 1e3 for found in lines if found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slack", type=float, default=4.0, help="how many times a bound a median may be")
    slack = parser.parse_args().slack
    passed = failed = 0

    def check(what: str, measured: str, bound: str, good: bool) -> None:
        nonlocal passed, failed
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok  ' if good else 'MISS'}  {what:55} {measured:>12}   {bound}")

    medians = policy_medians(bench("portcullis-policy", "decide", "--sample-count", "30", "--max-time", "2"))
    for name, bound in POLICY.items():
        found = medians.get(name)
        shown = "not measured" if found is None else f"{found:.2f} us"
        check(f"policy: {name}", shown, f"under {bound:g} us, here x {slack:g}", found is not None and found < bound * slack)
    medians = identity_medians(bench("portcullis-identity", "authenticate"))
    for dear, cheap, factor in IDENTITY:
        both = medians.get(dear), medians.get(cheap)
        ratio = both[0] / both[1] if all(both) else 0.0
        check(f"identity: {cheap}", f"{ratio:.0f} times", f"{factor:g} times cheaper than {dear}", ratio >= factor)
    print(f"steps: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
