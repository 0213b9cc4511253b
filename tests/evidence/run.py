#!/usr/bin/env python3
"""Two verifiers judge the same logs: the one that ships, and one written from the RFCs alone.

    tests/evidence/run.py --bin PORTCULLIS --fill EXAMPLE [--events 3000] [--speed EVENTS]

EXAMPLE is the built example `fill` of portcullis-audit, which writes a log. Logs in files, in SQLite and in PostgreSQL are judged as they are
and after each of many changes; both verifiers have to say the same, what has to be said, and of which event. How each checkpoint continues
the one before is held against the RFC as well, and so is a log whose beginning was removed in order, and what can be done to it. With --speed, logs of so many
events are verified and the times printed. Prints "N passed, N failed"; exit code 1 if anything failed.
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from verifier import continues, derived

HERE = Path(__file__).resolve().parent
LONGEST = 10
"""Seconds that verifying a million events may take."""
PATIENCE = 60
"""Seconds that PostgreSQL may take to start."""


class Files:
    """A log in a folder of files."""

    name = "log"

    @staticmethod
    def read(folder):
        """Records and payloads of the first file."""
        data, at, found = (folder / f"{0:020}.log").read_bytes(), 0, []
        while at < len(data):
            record, payload = struct.unpack_from("<II", data, at)
            body = data[at + 16 : at + 16 + record + payload]
            found.append((body[:record], body[record:]))
            at += 16 + record + payload
        return found

    @staticmethod
    def write(folder, found):
        """With new checks: whoever owns the disk can make those."""
        data = b""
        for seq, (record, payload) in enumerate(found):
            lengths = struct.pack("<II", len(record), len(payload))
            leaf = hashlib.sha256(b"\0" + record).digest()
            start = hashlib.sha256(leaf + payload).digest() if payload else leaf
            check = bytes(a ^ b ^ c for a, b, c in zip(start, struct.pack("<Q", seq), lengths))
            data += lengths + check + record + payload
        (folder / f"{0:020}.log").write_bytes(data)

    copy = staticmethod(shutil.copytree)
    remove = staticmethod(shutil.rmtree)
    hidings = ()


class Sqlite:
    """A log in a file of SQLite."""

    name = "log.db"

    @staticmethod
    def read(file):
        with sqlite3.connect(file) as database:
            rows = database.execute("SELECT record, payload FROM portcullis_events ORDER BY seq")
            return [(record, payload or b"") for record, payload in rows]

    @staticmethod
    def write(file, found):
        """With what the records are found by made anew: whoever owns the file can do that."""
        database = sqlite3.connect(file)
        database.execute("DELETE FROM portcullis_events")
        for seq, (record, payload) in enumerate(found):
            columns = derived(json.loads(record))
            names, places = ", ".join(columns), ", ".join("?" * len(columns))
            database.execute(
                f"INSERT INTO portcullis_events (seq, record, payload, {names}) VALUES (?, ?, ?, {places})",
                (seq, record, payload or None, *columns.values()),
            )
        database.commit()
        database.close()

    copy = staticmethod(shutil.copyfile)

    @staticmethod
    def remove(file):
        """With what SQLite lays beside it."""
        for end in ("", "-wal", "-shm"):
            file.with_name(file.name + end).unlink(missing_ok=True)

    hidings = (
        "person = NULL",
        "ended = ended + 1",
        "kind = CAST('list' AS BLOB)",
        "tool = x''",
        "verdict = CAST('allowed' AS BLOB)",
        "findings = x'ff4942414eff'",
    )


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


def drop_payload(found):
    assert found[100][1]
    found[100] = (found[100][0], b"")
    return found


def last(found):
    found[-1] = (altered(found[-1][0]), found[-1][1])
    return found


def foreign(found):
    found[100] = (found[100][0].replace(b'"log":"gw', b'"log":"gx'), found[100][1])
    return found


def nothing(found):
    return found


CHANGES = [flip, flip_and_link, drop, insert, swap, cut, swap_payloads, drop_payload, last, foreign]


def named(change, events):
    """The number that has to be among what is said of a change: of the event, or of the checkpoint up to which it shows."""
    return {flip_and_link: events // 8, cut: events - 1, last: events}.get(change, 100)


FILLED = "gw.example/audit/filled"
"""What `fill` calls its log."""

STATEMENTS = {
    "UPDATE portcullis_events SET record = convert_to(replace(convert_from(record, 'UTF8'), '\"files\"', '\"other\"'), 'UTF8') WHERE seq = 100": 100,
    "DELETE FROM portcullis_events WHERE seq = 100": 100,
    "UPDATE portcullis_events SET seq = -1 WHERE seq = 100; UPDATE portcullis_events SET seq = 100 WHERE seq = 101; "
    "UPDATE portcullis_events SET seq = 101 WHERE seq = -1": 100,
    "UPDATE portcullis_events SET payload = NULL WHERE seq = 100": 100,
    "UPDATE portcullis_events SET payload = (SELECT payload FROM portcullis_events WHERE seq = 105) WHERE seq = 100": 100,
    "UPDATE portcullis_events SET person = NULL WHERE seq = 100": 100,
    "UPDATE portcullis_events SET ended = ended + 1 WHERE seq = 100": 100,
    "UPDATE portcullis_logs SET first = 256": 256,
}
"""What the owner of a database in PostgreSQL does, and the number that has to be named."""


class InPostgres:
    """A log in PostgreSQL."""

    name = "postgres"


class Judges:
    def __init__(self, binary, key, witness):
        self.binary, self.keys = binary, (key, witness)
        self.passed = self.failed = 0

    def say(self, name, good, what=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {what}")

    def judge(self, name, path, good, number=None):
        """Both have to say so, and to name this number where something is wrong."""
        key, witness = self.keys
        url = str(path).startswith("postgres://")
        place = ["--url-env", "AUDIT_URL", "--log", FILLED] if url else [path]
        environment = {**os.environ, "AUDIT_URL": str(path)}
        ours = [self.binary, "audit", "verify", *place, "--trusted-key", key, "--trusted-key", witness, "--require-witness", "1"]
        theirs = [sys.executable, HERE / "verifier.py", path, "--key", key, "--witness", witness]
        for judge, command in (("portcullis", ours), ("verifier.py", theirs)):
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
            )
            wrong = "\n".join(line for line in done.stdout.splitlines() if line.startswith("WRONG"))
            said = number is None or re.search(rf"\b{number}\b", wrong)
            good_here = done.returncode == (0 if good else 1) and said
            self.say(name, good_here, f"{judge} ended with {done.returncode}, {number} is to be named\n{done.stdout[:2000]}")


def fill(example, place, events, removed=0):
    """The keys, and how each checkpoint continues the one before: both sizes, both roots, the proof."""
    done = subprocess.run([example, place, str(events), str(removed)], check=True, stdout=subprocess.PIPE, text=True)
    key, witness, *proofs = done.stdout.splitlines()
    return (key, witness), proofs


def consistency(judges, proofs):
    """What the log proves to its witnesses holds by the RFC, and nothing that differs from it does."""
    judges.say("there are proofs", len(proofs) == 7, proofs)
    for line in proofs:
        first, second, *hashes = line.split(" ")
        first, second = int(first), int(second)
        old, new, *proof = (base64.b64decode(text, validate=True) for text in hashes)
        name = f"the proof from {first} to {second} events"
        judges.say(name, continues(first, old, second, new, proof))
        other = bytes([new[0] ^ 1]) + new[1:]
        for changed in (
            (first, old, second, other, proof),
            (first, other, second, new, proof),
            (first + 1, old, second, new, proof),
            (first, old, second + 1, new, [*proof, other]),
            (first, old, second, new, proof[:-1]),
            (first, old, second, new, [other, *proof[1:]]),
        ):
            judges.say(f"{name}, altered", not continues(*changed), changed)


def suite(kind, binary, example, events, scratch):
    log, copy = scratch / kind.name, scratch / f"copy-{kind.name}"
    keys, proofs = fill(example, log, events)
    judges = Judges(binary, *keys)
    consistency(judges, proofs)
    judges.judge(f"{kind.name} as it was written", log, True)
    for change in [*CHANGES, nothing]:
        kind.copy(log, copy)
        kind.write(copy, change(kind.read(copy)))
        number = None if change is nothing else named(change, events)
        judges.judge(f"{kind.name}: {change.__name__}", copy, change is nothing, number)
        kind.remove(copy)
    for hiding in kind.hidings:
        kind.copy(log, copy)
        with sqlite3.connect(copy) as database:
            database.execute(f"UPDATE portcullis_events SET {hiding} WHERE seq = 100")
        judges.judge(f"{kind.name}: {hiding}", copy, False, 100)
        kind.remove(copy)
    packed = scratch / "packed.txt"
    command = [binary, "audit", "prove", log, "--decision", "deny", "--limit", "50", "--out", packed]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    judges.judge(f"a slice of {kind.name}", packed, True)
    packed.write_text(packed.read_text().replace('\\"files\\"', '\\"other\\"', 1))
    judges.judge(f"an altered slice of {kind.name}", packed, False)
    return judges


def in_postgres(binary, example, events, scratch):
    """The same where whoever owns the database has statements for it; each in a copy of the database."""
    server = Postgres(scratch / InPostgres.name)
    try:
        keys, _ = fill(example, server.url, events)
        judges = Judges(binary, *keys)
        judges.judge("a log in PostgreSQL as it was written", server.url, True)
        for statement, number in STATEMENTS.items():
            server.psql("DROP DATABASE IF EXISTS copy")
            server.psql("CREATE DATABASE copy TEMPLATE portcullis")
            server.psql(statement, "copy")
            judges.judge(f"PostgreSQL: {statement}", server.url.removesuffix("portcullis") + "copy", False, number)
    finally:
        server.end()
    return judges


def removed(binary, example, events, scratch):
    """A log whose beginning was removed in order, and what somebody can do to that."""
    log, copy = scratch / "removed", scratch / "copy-removed"
    keys, _ = fill(example, log, events, 1024)
    judges = Judges(binary, *keys)
    judges.judge("a log whose beginning was removed", log, True)
    base, checkpoint = Path("state/base"), Path(f"checkpoint/{1024:020}")

    def fewer(text):
        kept = json.loads(text)
        return json.dumps({**kept, "size": 512}).encode()

    def others(text):
        kept = json.loads(text)
        kept["roots"][0][0] ^= 1
        return json.dumps(kept).encode()

    for name, file, change in (
        ("nothing is kept of what was removed", base, None),
        ("less was removed", base, fewer),
        ("something else was removed", base, others),
        ("no checkpoint is over what was removed", checkpoint, None),
    ):
        shutil.copytree(log, copy)
        if change:
            (copy / file).write_bytes(change((copy / file).read_bytes()))
        else:
            (copy / file).unlink()
        judges.judge(name, copy, False)
        shutil.rmtree(copy)
    return judges


class Postgres:
    """A PostgreSQL server of its own, in a folder; it refuses to run as root, which lends it Debian's account for it."""

    def __init__(self, folder):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        self.bin = found[-1].parent if found else Path(shutil.which("initdb")).parent
        self.folder, self.account = folder, {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        folder.mkdir()
        folder.parent.chmod(0o755)
        if self.account:
            shutil.chown(folder, **self.account)
        self.run("initdb", "-D", folder / "data", "-A", "trust", "-U", "portcullis", "-E", "UTF8", "--locale=C")
        command = [self.bin / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
        self.server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **self.account
        )
        began = time.monotonic()
        while not self.psql("SELECT 1", check=False):
            if self.server.poll() is not None or time.monotonic() - began > PATIENCE:
                self.server.kill()
                raise SystemExit(f"PostgreSQL does not start in {folder}")
            time.sleep(0.1)
        self.psql("CREATE DATABASE portcullis")
        self.url = f"postgres://portcullis@{str(folder).replace('/', '%2F')}/portcullis"

    def run(self, program, *arguments, check=True):
        command = [self.bin / program, *arguments]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=self.folder, check=check, text=True, **self.account
        )

    def psql(self, sql, database="postgres", check=True):
        arguments = ["-h", self.folder, "-U", "portcullis", "-d", database, "-qAtc", sql]
        return self.run("psql", *arguments, check=check).returncode == 0

    def size(self):
        sql = "SELECT pg_total_relation_size('portcullis_events')"
        arguments = ["-h", self.folder, "-U", "portcullis", "-d", "portcullis", "-qAtc", sql]
        return int(self.run("psql", *arguments).stdout)

    def end(self):
        self.server.send_signal(signal.SIGINT)
        self.server.wait()


def speed(kind, binary, example, events, scratch):
    """Fills a log of this kind and verifies it; the events are on the disk when it is filled."""
    log = scratch / f"many-{kind.name}"
    server = Postgres(log) if kind is InPostgres else None
    place = ["--url-env", "AUDIT_URL"] if server else [log]
    environment = {**os.environ, "AUDIT_URL": server.url if server else ""}
    began = time.monotonic()
    (key, witness), _ = fill(example, server.url if server else log, events)
    written = time.monotonic() - began
    command = [binary, "audit", "verify", *place, "--trusted-key", key, "--trusted-key", witness, "--require-witness", "1"]
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    took = time.monotonic() - began
    if server:
        size = server.size()
        server.end()
    else:
        size = sum(path.stat().st_size for path in (log.glob("*.log") if log.is_dir() else [log]))
    print(
        f"{kind.__name__.removeprefix('In')}: {events} events, {size / 1e6:.0f} MB: written in {written:.1f} s, "
        f"verified in {took:.1f} s (exit code {done.returncode})",
        flush=True,
    )
    return done.returncode == 0 and took < LONGEST * events / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=Path)
    parser.add_argument("--fill", required=True, type=Path)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--speed", type=int)
    arguments = parser.parse_args()
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        place = arguments.bin, arguments.fill, arguments.events, Path(scratch)
        if arguments.speed:
            for kind in (Files, Sqlite, InPostgres):
                good = speed(kind, arguments.bin, arguments.fill, arguments.speed, Path(scratch))
                passed, failed = passed + good, failed + (not good)
        else:
            for judges in (suite(Files, *place), suite(Sqlite, *place), in_postgres(*place), removed(*place)):
                passed, failed = passed + judges.passed, failed + judges.failed
    print(f"evidence: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
