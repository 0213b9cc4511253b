#!/usr/bin/env python3
"""Two verifiers judge the same logs: the one that ships, and one written from the RFCs alone.

    tests/evidence/run.py --bin PORTCULLIS --fill EXAMPLE [--events 3000] [--speed EVENTS]

EXAMPLE is the built example `fill` of portcullis-audit, which writes a log. The log is judged as it is and after each of many
changes to its files; both have to say the same, and what has to be said. With --speed, a log of so many events is verified
and the time printed. Prints "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import hashlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def frames(folder):
    """Records and payloads of the first file."""
    data, at, found = (folder / f"{0:020}.log").read_bytes(), 0, []
    while at < len(data):
        record, payload = struct.unpack_from("<II", data, at)
        body = data[at + 16 : at + 16 + record + payload]
        found.append((body[:record], body[record:]))
        at += 16 + record + payload
    return found


def write(folder, found):
    """With new checks: whoever owns the disk can make those."""
    data = b""
    for seq, (record, payload) in enumerate(found):
        lengths = struct.pack("<II", len(record), len(payload))
        leaf = hashlib.sha256(b"\0" + record).digest()
        check = hashlib.sha256(struct.pack("<Q", seq) + lengths + leaf + payload).digest()[:8]
        data += lengths + check + record + payload
    (folder / f"{0:020}.log").write_bytes(data)


def linked(found):
    """Every link made again after a change."""
    previous, again = "", []
    for record, payload in found:
        start = record.index(b'"prev":"') + 8
        end = record.index(b'"', start)
        record = record[:start] + previous.encode() + record[end:]
        previous = hashlib.sha256(b"\0" + record).hexdigest()
        again.append((record, payload))
    return again


def altered(record):
    assert b'"files"' in record
    return record.replace(b'"files"', b'"other"')


def flip(found):
    found[100] = (altered(found[100][0]), found[100][1])
    return found


def flip_and_link(found):
    return linked(flip(found))


def drop(found):
    return found[:100] + found[101:]


def insert(found):
    return found[:101] + [found[100]] + found[101:]


def swap(found):
    found[100], found[101] = found[101], found[100]
    return found


def cut(found):
    return found[:-1]


def swap_payloads(found):
    (one, first), (two, second) = found[100], found[105]
    found[100], found[105] = (one, second), (two, first)
    return found


def last(found):
    found[-1] = (altered(found[-1][0]), found[-1][1])
    return found


def foreign(found):
    found[100] = (found[100][0].replace(b'"log":"gw', b'"log":"gx'), found[100][1])
    return found


def nothing(found):
    return found


CHANGES = [flip, flip_and_link, drop, insert, swap, cut, swap_payloads, last, foreign]


class Judges:
    def __init__(self, binary, key, witness):
        self.binary, self.keys = binary, (key, witness)
        self.passed = self.failed = 0

    def judge(self, name, path, good):
        """Both have to say so."""
        key, witness = self.keys
        ours = [self.binary, "audit", "verify", path, "--trusted-key", key, "--trusted-key", witness, "--require-witness", "1"]
        theirs = [sys.executable, HERE / "verifier.py", path, "--key", key, "--witness", witness]
        for judge, command in (("portcullis", ours), ("verifier.py", theirs)):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode == (0 if good else 1):
                self.passed += 1
            else:
                self.failed += 1
                print(f"FAILED {name}: {judge} ended with {done.returncode}\n{done.stdout[:2000]}")


def fill(example, folder, events):
    done = subprocess.run([example, folder, str(events)], check=True, stdout=subprocess.PIPE, text=True)
    key, witness = done.stdout.split()
    return key, witness


def suite(binary, example, events, scratch):
    log = scratch / "log"
    judges = Judges(binary, *fill(example, log, events))
    judges.judge("as it was written", log, True)
    for change in CHANGES:
        copy = scratch / "copy"
        shutil.copytree(log, copy)
        write(copy, change(frames(copy)))
        judges.judge(change.__name__, copy, False)
        shutil.rmtree(copy)
    copy = scratch / "copy"
    shutil.copytree(log, copy)
    write(copy, nothing(frames(copy)))
    judges.judge("written again without a change", copy, True)
    packed = scratch / "packed.txt"
    command = [binary, "audit", "prove", log, "--decision", "deny", "--limit", "50", "--out", packed]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    judges.judge("a slice", packed, True)
    packed.write_text(packed.read_text().replace('\\"files\\"', '\\"other\\"', 1))
    judges.judge("an altered slice", packed, False)
    return judges


def speed(binary, example, events, scratch):
    log = scratch / "many"
    began = time.monotonic()
    key, witness = fill(example, log, events)
    written = time.monotonic() - began
    command = [binary, "audit", "verify", log, "--trusted-key", key, "--trusted-key", witness, "--require-witness", "1"]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    took = time.monotonic() - began
    size = sum(path.stat().st_size for path in log.glob("*.log")) / 1e6
    print(f"{events} events, {size:.0f} MB: written in {written:.1f} s, verified in {took:.1f} s (exit code {done.returncode})")
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--fill", required=True, type=Path)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--speed", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.speed:
            sys.exit(0 if speed(arguments.bin, arguments.fill, arguments.speed, Path(scratch)) else 1)
        judges = suite(arguments.bin, arguments.fill, arguments.events, Path(scratch))
    print(f"evidence: {judges.passed} passed, {judges.failed} failed")
    sys.exit(1 if judges.failed else 0)


if __name__ == "__main__":
    main()
