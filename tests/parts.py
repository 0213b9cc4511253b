#!/usr/bin/env python3
"""Runs the parts of `make test`, one after the other, and those that are joined by `+` side by side.

    tests/parts.py format tidy tests+programs unit

A part is a target of the Makefile. What runs alone writes as it goes; what runs beside another is shown when it has ended, so
that no lines mix. Stops at the first step in which a part failed, with that part's exit code; whatever ran beside it is
waited for first, since a part ends what it started.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Part:
    def __init__(self, name, alone):
        # Of the make that started us: whoever reads it would look for a job server that is not there.
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        self.name, self.begun, self.output = name, time.monotonic(), None
        if not alone:
            self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["make", "--no-print-directory", name], cwd=ROOT, env=environment, stdout=self.output, stderr=subprocess.STDOUT if self.output else None
        )

    def end(self):
        """Shows what it wrote, if nobody has seen it, and how it ended; its exit code."""
        code, took = self.process.returncode, time.monotonic() - self.begun
        if self.output:
            say(f"\n==== {self.name} ====")
            self.output.seek(0)
            sys.stdout.buffer.write(self.output.read())
        say(f"==== {self.name}: ok, {took:.0f} s ====" if code == 0 else f"==== {self.name} FAILED after {took:.0f} s ====")
        return code


def step(names):
    """Starts all of them, waits for all, and gives the first exit code that is not 0."""
    alone = len(names) == 1
    say(f"\n==== {' beside '.join(names)} ====")
    parts, codes = [Part(name, alone) for name in names], []
    while parts:
        for part in [part for part in parts if part.process.poll() is not None]:
            parts.remove(part)
            codes.append(part.end())
        time.sleep(0.1)
    return next((code for code in codes if code), 0)


def say(line):
    print(line, flush=True)


def main():
    begun, steps = time.monotonic(), [step.split("+") for step in sys.argv[1:]]
    for names in steps:
        if code := step(names):
            return code
    say(f"\nAll {sum(map(len, steps))} parts passed in {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
