#!/usr/bin/env python3
"""What single steps cost, in a short form: the benches of identity and policy, with the bounds that were promised.

    tests/steps/run.py [--into FILE]

Runs `cargo bench` for both crates and holds the medians against bounds: with 500 policies and 1,000 tools a steady decision under
2 us, a filtered list under 100 us, a first decision under 20 us and a first list under 8 ms; a credential for a server that is
there under 1 us; a remembered token has to be far cheaper than one that is verified.

Machines differ, and what else they do. The bounds are those of a machine on which Cedar itself, given the policies that matter,
takes REFERENCE; where it takes longer in the same run, bounds are longer by as much, and nowhere shorter.
With `--into` the table is a section of that Markdown file too, in place of the one of the run before; `make bench` has it written
into docs/performance.md. Prints what was measured, the bound, and how much of it was used, and "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
UNITS = {"ns": 1e-3, "µs": 1.0, "us": 1.0, "ms": 1e3, "s": 1e6}

# The section of the document that `--into` names.
SECTION = "## Steps of identity and policy"
# Microseconds that the benches of Cedar by itself take where the bounds come from: one decision, and a hundred.
REFERENCE = {"reference": 20.5, "reference_hundred": 2050.0}
# Bounds from here on are scaled by a hundred.
LONG = 1000.0
# Microseconds, for each bench of `portcullis-policy`.
POLICY = {"decision_steady": 2.0, "decision_cold": 20.0, "list_steady": 100.0, "list_cold": 8000.0}
# The same for each of `portcullis-identity`'s toward servers; what is signed anew for each call has no bound that was promised.
OUTBOUND = {"credential_cached": 1.0, "assertion_cached": 200.0}
# The lines of the bench of `portcullis-identity` toward callers: what is dear, what is cheap, and how much cheaper at the least.
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


def divan_medians(text: str) -> dict[str, float]:
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


def with_section(text: str, scale: dict[str, float], rows: list[tuple[str, str, str]]) -> str:
    """The document with this run's section in place of the one that it had, or at its end."""
    section = f"""{SECTION}

Single steps, measured by the crates' own benches (`make steps`): medians, with 500 policies and 1,000 tools. The bounds are those of
the machine that they come from, times what Cedar itself takes longer here: {scale["reference"]:.2f} for one decision, \
{scale["reference_hundred"]:.2f} for a hundred.

| step | median | bound |
|---|---:|---|
"""
    section += "".join(f"| {what} | {measured} | {bound} |\n" for what, measured, bound in rows)
    before, _, after = text.partition(f"{SECTION}\n")
    rest = after.find("\n## ")
    return before.rstrip("\n") + "\n\n" + section + ("" if rest < 0 else after[rest:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, metavar="FILE", help="Markdown file that gets the table as a section")
    into = parser.parse_args().into
    scale = {}
    rows: list[tuple[str, str, str]] = []
    passed = failed = 0

    def check(what: str, measured: str, bound: str, good: bool) -> None:
        nonlocal passed, failed
        passed, failed = passed + good, failed + (not good)
        rows.append((what, measured, bound if good else f"{bound} (missed)"))
        print(f"{'ok  ' if good else 'MISS'}  {what:55} {measured:>12}   {bound}")

    for crate, name, bounds in (("policy", "decide", POLICY), ("identity", "outbound", OUTBOUND)):
        text = bench(f"portcullis-{crate}", name, "--sample-count", "30", "--max-time", "2")
        medians = divan_medians(text)
        if not scale:
            scale = {name: max(1.0, medians[name] / there) for name, there in REFERENCE.items()}
            for name, there in REFERENCE.items():
                print(f"bounds here x {scale[name]:.2f}: {name} takes {medians[name]:.1f} us, and {there} where they come from")
        for step, bound in bounds.items():
            found, here = medians.get(step), bound * scale["reference_hundred" if bound >= LONG else "reference"]
            shown = "not measured" if found is None else f"{found:.3f} us"
            share = "" if found is None else f", {found / here:.2f} of it used"
            check(f"{crate}: {step}", shown, f"under {here:.3g} us{share}", found is not None and found < here)
    medians = identity_medians(bench("portcullis-identity", "authenticate"))
    for dear, cheap, factor in IDENTITY:
        both = medians.get(dear), medians.get(cheap)
        ratio = both[0] / both[1] if all(both) else 0.0
        shown = f"{both[1]:.3f} us" if both[1] else "not measured"
        bound = f"{factor:g} times cheaper than {dear} ({both[0] or 0:.1f} us), here {ratio:.0f} times"
        check(f"identity: {cheap}", shown, bound, ratio >= factor)
    if into is not None:
        into.write_text(with_section(into.read_text() if into.exists() else "", scale, rows))
    print(f"steps: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
