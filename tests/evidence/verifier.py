#!/usr/bin/env python3
"""A second verifier of evidence logs, so that the first does not judge itself.

    tests/evidence/verifier.py PATH --key KEY [--witness KEY …] [--since FILE …]

Written from the documents alone: RFC 9162 (the tree and its proofs), RFC 8032 (Ed25519), C2SP signed-note, tlog-checkpoint and
tlog-cosignature, and docs/reference/audit.md (the files and the fields). It shares no line with the one in Rust, and is slow.
PATH is the folder of a log in files, a file of a log in SQLite, the URL of a log in PostgreSQL (read with psql), or a file that
`portcullis audit prove` wrote. Prints what is wrong; exit code 1 if anything is.
Python 3.11, standard library only.
"""

import argparse
import base64
import hashlib
import json
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

# RFC 8032, section 5.1: the curve edwards25519.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    """Section 5.1.3, steps 2 to 4."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def point(data):
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    """Section 5.1.4, in extended coordinates."""
    one, two = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    three, four = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = two - one, four - three, four + three, two + one
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(number, of):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, of)
        of, number = add(of, of), number >> 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(BASE_Y, 0), BASE_Y, 1, recover_x(BASE_Y, 0) * BASE_Y % P)


def ed25519(public, message, signature):
    """Section 5.1.7."""
    if len(signature) != 64 or len(public) != 32:
        return False
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def leaf(record):
    return hashlib.sha256(b"\0" + record).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """RFC 9162, section 2.1.2: a stack of full subtrees."""

    def __init__(self, size=0, roots=()):
        self.size, self.roots = size, list(roots)

    def push(self, hashed):
        size = self.size
        while size & 1:
            hashed, size = node(self.roots.pop(), hashed), size >> 1
        self.roots.append(hashed)
        self.size += 1

    def root(self):
        if not self.roots:
            return hashlib.sha256(b"").digest()
        result = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            result = node(left, result)
        return result


def included(index, hashed, size, root, path):
    """Section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, hashed
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def continues(first, first_root, second, second_root, proof):
    """Section 2.1.4.2: whether the tree of `second` leaves continues that of `first`."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


class Key:
    """C2SP signed-note: name+id+base64(kind || key)."""

    def __init__(self, text):
        self.name, identity, key = text.strip().split("+", 2)
        raw = base64.b64decode(key, validate=True)
        self.kind, self.public = raw[0], raw[1:]
        self.identity = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if self.identity.hex() != identity or self.kind not in (1, 4):
            raise ValueError(f"{text} is no key")

    def signed(self, text, signature):
        if self.kind == 1:
            return ed25519(self.public, text, signature)
        time = int.from_bytes(signature[:8], "big")
        return ed25519(self.public, f"cosignature/v1\ntime {time}\n".encode() + text, signature[8:])


class Checkpoint:
    """C2SP tlog-checkpoint, and who signed it."""

    def __init__(self, note, keys):
        at = note.rindex(b"\n\n")
        text, lines = note[: at + 1], note[at + 2 :].decode()
        origin, size, root = text.decode().removesuffix("\n").split("\n")
        self.origin, self.size, self.root = origin, int(size), base64.b64decode(root, validate=True)
        if str(self.size) != size or len(self.root) != 32:
            raise ValueError("it is not written as checkpoints are")
        self.by = set()
        for line in lines.splitlines():
            dash, name, signature = line.split(" ")
            raw = base64.b64decode(signature, validate=True)
            if dash != "\u2014":
                raise ValueError("a line is no signature")
            for key in keys:
                if (key.name, key.identity) == (name, raw[:4]):
                    if not key.signed(text, raw[4:]):
                        raise ValueError(f"the signature of {name} is not by its key")
                    self.by.add((key.kind, key.name))
        if (1, self.origin) not in self.by:
            raise ValueError(f"it is not signed by {self.origin}")


def entries(folder):
    """The frames of the files: lengths of record and payload, eight bytes of check (of the leaf hash of the record, the
    payload, the number and the lengths), record, payload."""
    for path in sorted(folder.glob("*.log")):
        data, at, seq = path.read_bytes(), 0, int(path.stem)
        while at < len(data):
            if at + 16 > len(data):
                return
            record, payload = struct.unpack_from("<II", data, at)
            body = data[at + 16 : at + 16 + record + payload]
            of_record = hashlib.sha256(b"\0" + body[:record]).digest()
            start = hashlib.sha256(of_record + body[record:]).digest() if payload else of_record
            check = bytes(a ^ b ^ c for a, b, c in zip(start, struct.pack("<Q", seq), data[at : at + 8]))
            if len(body) < record + payload or check != data[at + 8 : at + 16]:
                return
            yield body[:record], body[record:]
            at, seq = at + 16 + len(body), seq + 1


class Files:
    """docs/reference/audit.md, "The folder"."""

    def __init__(self, folder):
        self.folder = folder

    def entries(self):
        return ((record, payload, None) for record, payload in entries(self.folder))

    def beside(self, kind):
        return [(path.name, path.read_bytes()) for path in sorted((self.folder / kind).glob("[!.]*"))]


class Sqlite:
    """docs/reference/audit.md, "The databases"."""

    COLUMNS = ("ended", "kind", "person", "server", "tool", "verdict", "findings")

    def __init__(self, file):
        self.database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)

    @staticmethod
    def is_one(file):
        with file.open("rb") as opened:
            return opened.read(16) == b"SQLite format 3\0"

    def entries(self):
        first = self.database.execute("SELECT first FROM portcullis_log").fetchone()[0]
        columns = ", ".join(self.COLUMNS)
        sql = f"SELECT record, payload, {columns} FROM portcullis_events WHERE seq >= ? ORDER BY seq"
        for record, payload, *derived in self.database.execute(sql, (first,)):
            yield record, payload or b"", dict(zip(self.COLUMNS, derived, strict=True))

    def beside(self, kind):
        sql = "SELECT name, value FROM portcullis_beside WHERE kind = ? ORDER BY name"
        return [(name.decode(), value) for name, value in self.database.execute(sql, (kind,))]


class Postgres:
    """The same in PostgreSQL, of the log of this name."""

    COLUMNS = Sqlite.COLUMNS
    BYTES = ("record", "payload", *COLUMNS[1:])

    def __init__(self, url, log):
        self.url = url
        # A name of ours has no quotes.
        self.log = f"(SELECT log FROM portcullis_logs WHERE name = '{log}')"

    def rows(self, sql):
        """Each a list of texts; the empty one is NULL."""
        command = ["psql", self.url, "-v", "ON_ERROR_STOP=1", "-qAtc", sql]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
            for line in asked.stdout:
                yield line.rstrip("\n").split("|")
        if asked.returncode:
            raise SystemExit(f"psql ended with {asked.returncode}")

    def entries(self):
        # With a mark before what is there: what is empty is not what is NULL.
        encoded = ", ".join(f"'x' || encode({name}, 'hex')" for name in self.BYTES)
        first = f"(SELECT first FROM portcullis_logs WHERE log = {self.log})"
        sql = f"SELECT ended, {encoded} FROM portcullis_events WHERE log = {self.log} AND seq >= {first} ORDER BY seq"
        for ended, *encoded in self.rows(sql):
            record, payload, *derived = (bytes.fromhex(text[1:]) if text else None for text in encoded)
            yield record, payload or b"", dict(zip(self.COLUMNS, [int(ended), *derived], strict=True))

    def beside(self, kind):
        sql = f"SELECT encode(name, 'hex'), encode(value, 'hex') FROM portcullis_beside WHERE log = {self.log} AND kind = '{kind}' ORDER BY name"
        return [(bytes.fromhex(name).decode(), bytes.fromhex(value)) for name, value in self.rows(sql)]


def derived(record):
    """What the columns beside a record have to be."""

    def text(group, name):
        value = record.get(group, {}).get(name)
        return None if value is None else value.encode()[:255]

    findings = [finding["rule"].encode()[:255] for finding in record.get("guard", {}).get("findings", [])]
    return {
        "ended": record["time"]["end_us"],
        "kind": record["kind"].encode(),
        "person": text("who", "person"),
        "server": text("server", "id"),
        "tool": text("tool", "name"),
        "verdict": text("decision", "verdict"),
        "findings": b"\xff" + b"\xff".join(findings) + b"\xff" if findings else None,
    }


def check_payload(record, payload, wrong, seq):
    for side in ("input", "output"):
        content = record.get(side) or {}
        if "sealed" in content:
            start, length = content["place"]
            if "sha256:" + hashlib.sha256(payload[start : start + length]).hexdigest() != content["sealed"]:
                wrong.append(f"the {side} beside event {seq} is not what was sealed")


def verify_log(log, keys, since, need_witness):
    wrong, checkpoints = [], []
    for name, note in [*log.beside("checkpoint"), *((path.name, path.read_bytes()) for path in since)]:
        try:
            checkpoints.append(Checkpoint(note, keys))
        except ValueError as error:
            wrong.append(f"checkpoint {name}: {error}")
    tree, base = Tree(), dict(log.beside("state")).get("base")
    if base:
        kept = json.loads(base)
        tree = Tree(kept["size"], [bytes(root) for root in kept["roots"]])
        if tree.size % 256 or len(tree.roots) != tree.size.bit_count():
            wrong.append("what is kept of the events that were removed is no tree")
            return wrong, 0
    removed, told = (tree.size, tree.root()), not tree.size
    roots, previous, expected = {tree.size: tree.root()}, None, tree.size
    sizes = {checkpoint.size for checkpoint in checkpoints}
    for raw, payload, columns in log.entries():
        try:
            record = json.loads(raw)
            chain = record["chain"]
        except (ValueError, KeyError):
            wrong.append(f"event {expected} cannot be read")
            break
        if chain["seq"] < expected and expected == tree.size and base:
            continue
        if chain["seq"] != expected:
            wrong.append(f"event {chain['seq']} is where event {expected} belongs")
            break
        if keys and chain["log"] != keys[0].name:
            wrong.append(f"event {expected} is one of the log {chain['log']}")
        if (previous is not None and chain["prev"] != previous.hex()) or (expected == 0 and chain["prev"]):
            wrong.append(f"event {expected - 1} or {expected} was altered")
        check_payload(record, payload, wrong, expected)
        if record["kind"] == "truncation":
            detail = record.get("detail", {})
            told = told or (detail.get("before"), detail.get("root")) == (str(removed[0]), removed[1].hex())
        if columns is not None and columns != derived(record):
            wrong.append(f"event {expected} is found by what it does not record")
        previous, expected = leaf(raw), expected + 1
        tree.push(previous)
        if tree.size in sizes:
            roots[tree.size] = tree.root()
    for checkpoint in checkpoints:
        if checkpoint.size > tree.size:
            wrong.append(f"events {tree.size} to {checkpoint.size - 1} were signed and are missing")
        elif checkpoint.size in roots and roots[checkpoint.size] != checkpoint.root:
            wrong.append(f"the events before {checkpoint.size} are not those that were signed")
    if not told:
        wrong.append(f"no event says that the events before {removed[0]} were removed")
    if removed[0] and not any((checkpoint.size, checkpoint.root) == removed for checkpoint in checkpoints):
        wrong.append(f"no checkpoint is over the events before {removed[0]}, which were removed")
    if not any(checkpoint.size in roots for checkpoint in checkpoints):
        wrong.append("no checkpoint is over these events")
    if need_witness and not any(kind == 4 for checkpoint in checkpoints for kind, _ in checkpoint.by):
        wrong.append("no witness has signed")
    return wrong, tree.size


def verify_bundle(path, keys):
    text = path.read_text()
    _, _, proof = text.partition("-----BEGIN PORTCULLIS PROOF-----\n")
    lines = proof.removesuffix("-----END PORTCULLIS PROOF-----\n").splitlines()
    wrong = []
    try:
        head = json.loads(lines[0])
        checkpoint = Checkpoint(head["checkpoint"].encode(), keys)
    except (ValueError, KeyError, IndexError) as error:
        return [f"the checkpoint: {error}"], 0
    if head["events"] != len(lines) - 1:
        wrong.append("it has more or fewer events than it says")
    for line in lines[1:]:
        event = json.loads(line)
        record = event["record"].encode()
        path_up = [base64.b64decode(item) for item in event["path"]]
        chain = json.loads(record)["chain"]
        good = (chain["seq"], chain["log"]) == (event["seq"], checkpoint.origin)
        if not good or not included(event["seq"], leaf(record), checkpoint.size, checkpoint.root, path_up):
            wrong.append(f"event {event['seq']} is not proved")
    return wrong, len(lines) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    parser.add_argument("--key", required=True)
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--since", action="append", default=[], type=Path)
    arguments = parser.parse_args()
    keys = [Key(text) for text in [arguments.key, *arguments.witness]]
    log, path = None, Path(arguments.path)
    if arguments.path.startswith("postgres://"):
        log = Postgres(arguments.path, keys[0].name)
    elif path.is_dir():
        log = Files(path)
    elif Sqlite.is_one(path):
        log = Sqlite(path)
    if log:
        wrong, events = verify_log(log, keys, arguments.since, bool(arguments.witness))
    else:
        wrong, events = verify_bundle(path, keys)
    for line in wrong:
        print(f"WRONG {line}")
    print(f"{events} events: {'NOT ' if wrong else ''}whole and unaltered")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
