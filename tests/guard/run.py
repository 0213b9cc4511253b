#!/usr/bin/env python3
"""How well the guard finds, and how fast: on marked texts that are generated here, and on public corpora where they are.

    tests/guard/run.py --bin target/release/portcullis --short
    tests/guard/run.py --bin target/release/portcullis --out docs/guard.md [--corpora DIR]
    tests/guard/run.py --bin target/release/portcullis --misses FILE [--corpora DIR]

The short form asserts floors on the development half and takes less than two minutes. The long form scores both halves, next to the
peers, measures speed, compares identifiers with `python-stdnum`, writes the page, and fails where a bound is not met. The held-out half
decides: its templates, rules and attacks are others, its values are drawn anew for each `--seed`, and nothing shows what
is missed in it. `--misses` shows that of the development half, which is the one to work with. Nothing is downloaded but packages
from PyPI; a corpus that is not there is left out, and the page says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLOORS = {"EMAIL": 0.97, "PHONE": 0.97, "IBAN": 0.97, "CREDIT_CARD": 0.97, "IP_ADDRESS": 0.97, "NATIONAL_ID": 0.97, "PASSPORT": 0.97, "DATE_OF_BIRTH": 0.97, "SECRET": 0.95}
"""The F1 below which the short form fails."""
ALARMS = 2
"""How many of the ordinary sentences of the development half may be taken for orders."""


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bin", type=Path, required=True)
    options.add_argument("--short", action="store_true")
    options.add_argument("--out", type=Path)
    options.add_argument("--misses", type=Path)
    options.add_argument("--seed", type=int, default=20261129)
    options.add_argument("--count", type=int, default=4000)
    options.add_argument("--no-speed", action="store_true", help="leave out the bench, which is built for it and takes minutes")
    options.add_argument("--corpora", type=Path, default=os.environ.get("CORPORA"))
    given = options.parse_args()
    python = environment("requirements.txt")
    if Path(sys.prefix) != python.parent.parent:
        os.execv(python, [python, __file__, *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as folder:
        run = Run(given, Path(folder))
        if given.short:
            failed = run.short()
        elif given.misses:
            failed = run.development(given.misses)
        else:
            failed = run.long()
    sys.exit(1 if failed else 0)


def environment(requirements, alone=False):
    """A Python that has what is listed; made when it is missing or lists something else."""
    place = HERE / ".venv" / requirements.removesuffix(".txt")
    wanted = (HERE / requirements).read_text()
    stamp = place / "installed"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", HERE / requirements]
        subprocess.run(pip + (["--no-deps"] if alone else []), check=True)
        stamp.write_text(wanted)
    return place / "bin" / "python"


class Run:
    def __init__(self, given, folder):
        self.given, self.folder = given, folder
        self.corpora = Path(given.corpora).resolve() if given.corpora else None

    def short(self):
        import corpus
        import ordinary
        from scoring import score

        texts = list(corpus.texts("dev", 800, 11))
        tallies = score(texts, self.ours(texts))
        failed = 0
        for entity, floor in FLOORS.items():
            tally = tallies[entity]
            ok = tally.right >= 20 and tally.f1 >= floor
            failed += not ok
            print(f"{'ok' if ok else 'FAILED'}: {entity}: F1 {tally.f1:.3f}, floor {floor}")
        alarms = sum(bool(hits) for hits in self.ours([{"text": text} for text in ordinary.SENTENCES["dev"]]))
        failed += alarms > ALARMS
        print(f"{'ok' if alarms <= ALARMS else 'FAILED'}: ordinary sentences: {alarms} flagged, at most {ALARMS}")
        print(f"guard: {len(FLOORS) + 1 - failed} passed, {failed} failed")
        return failed

    def sets(self, half, seed):
        """All texts of a half, by the name of their set."""
        import corpus
        import ordinary
        import public

        count = self.given.count
        sets = {"own": list(corpus.texts(half, count, seed)), "presidio-values": public.presidio_templates(self.corpora, half, count, seed)}
        sets["presidio-research"] = public.presidio_research(self.corpora, half)
        rules = public.gitleaks_rules(self.corpora, half, self.go, seed, self.folder)
        sets["secrets"], sets["no-secrets"] = rules or ([], [])
        attacks, mails = public.bipia(self.corpora, half)
        agents, quiet = public.agentdojo(self.agentdojo, half)
        sets["bipia"], sets["agentdojo"] = ([{"text": text, "of": group} for group, text in some] for some in (attacks, agents))
        sets["mails"], sets["agent-texts"], sets["ordinary"] = ([{"text": text} for text in some] for some in (mails, quiet, ordinary.SENTENCES[half]))
        tools = public.definitions(self.corpora, half)
        sets["descriptions"] = [{"text": tool["description"]} for tool in tools]
        sets["definitions"] = [{"text": json.dumps(tool, ensure_ascii=False)} for tool in tools]
        return sets

    @property
    def go(self):
        return environment("requirements-go.txt").parent / "go"

    @property
    def agentdojo(self):
        return next((environment("requirements-texts.txt", alone=True).parent.parent / "lib").glob("python*/site-packages/agentdojo"))

    def development(self, file):
        """What is missed and what is found besides in the development half."""
        from scoring import FOLDED, score

        with file.open("w") as out:
            for name, texts in self.sets("dev", 11).items():
                found = self.ours(texts)
                if texts and "spans" in texts[0]:
                    for entity, tally in sorted(score(texts, found).items()):
                        print(f"{name:<18} {entity:<14} {tally.marked:>6}  P {tally.precision:.3f} R {tally.recall:.3f} F1 {tally.f1:.3f}  near P {tally.near_precision:.3f} R {tally.near_recall:.3f}  covered {tally.coverage:.3f}")
                else:
                    print(f"{name:<18} {sum(map(bool, found))} of {len(texts)} flagged, {sum(any(hit[0] == 'INJECTION' for hit in hits) for hits in found)} for orders")
                for text, hits in zip(texts, found, strict=True):
                    raw = text["text"].encode()
                    told = {(FOLDED.get(kind, kind), raw[start:end].decode(errors="replace")) for kind, start, end in hits}
                    wanted = {(span["entity"], raw[span["start"] : span["end"]].decode()) for span in text.get("spans", ())}
                    told = {one for one in told if one[0] in text.get("entities", [one[0]])}
                    if told != wanted:
                        line = {"set": name, "of": text.get("of"), "missed": sorted(wanted - told), "besides": sorted(told - wanted), "text": text["text"][:600]}
                        out.write(json.dumps(line, ensure_ascii=False) + "\n")
        return 0

    def long(self):
        import page

        halves = {half: self.sets(half, seed) for half, seed in (("dev", 11), ("held", self.given.seed))}
        found = {half: {name: self.ours(texts) for name, texts in sets.items()} for half, sets in halves.items()}
        peers = self.peers(halves["held"])
        text, failed = page.write(self, halves, found, peers)
        if self.given.out:
            self.given.out.write_text(text)
        else:
            print(text)
        for line in failed:
            print(f"FAILED: {line}")
        return len(failed)

    def ours(self, texts, detailed=False):
        """For each text, entity, start and end of what is found; with the detail of each when asked for."""
        file = self.folder / "texts"
        file.write_text("".join(json.dumps({"text": one["text"]}, ensure_ascii=False) + "\n" for one in texts))
        found = [[] for _ in texts]
        for line in output([self.given.bin, "guard", "scan", file]).splitlines():
            one = json.loads(line)
            hit = (one["entity"], one["start"], one["end"])
            found[one["line"] - 1].append((*hit, one["detail"]) if detailed else hit)
        return found

    def peers(self, sets):
        """The same of each peer, by set."""
        python = environment("requirements-peers.txt")
        file = self.folder / "peers"
        names = [name for name, texts in sets.items() for _ in texts]
        file.write_text("".join(json.dumps({"text": one["text"]}, ensure_ascii=False) + "\n" for texts in sets.values() for one in texts))
        before = Counter()
        for name in sets:
            before[name] = sum(len(sets[other]) for other in list(sets)[: list(sets).index(name)])
        found = {}
        for line in output([python, HERE / "peers.py", "find", file]).splitlines():
            one = json.loads(line)
            name = names[one["line"] - 1]
            mine = found.setdefault(one["peer"], {name: [[] for _ in texts] for name, texts in sets.items()})
            mine[name][one["line"] - 1 - before[name]].append((one["entity"], one["start"], one["end"]))
        return found

    def identifiers(self, count):
        """For each kind, how often both say yes, both no, only the other yes, only ours."""
        import identifiers

        cases = list(identifiers.cases(count, self.given.seed))
        found = self.ours([{"text": text} for _, _, text, *_ in cases], detailed=True)
        table = {}
        for (country, module, _, start, end, taken), hits in zip(cases, found, strict=True):
            ours = any(hit[0] == "NATIONAL_ID" and hit[1:3] == (start, end) and identifiers.told_as(country, hit[3]) for hit in hits)
            table.setdefault((country, module), Counter())[taken, ours] += 1
        return table

    def speed(self):
        """MB/s of ours and of the peers on the same documents."""
        command = ["cargo", "bench", "--locked", "--quiet", "-p", "portcullis-guard", "--bench", "speed", "--", "--write", self.folder]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        ours = {tuple(line.split()[:2]): [float(word) for word in line.split()[2:]] for line in done.splitlines()[1:]}
        files = [self.folder / f"{kind}-{size}.json" for kind, size in ours]
        theirs = {}
        for line in output([environment("requirements-peers.txt"), HERE / "peers.py", "speed", *files]).splitlines():
            one = json.loads(line)
            kind, _, size = Path(one["document"]).stem.rpartition("-")
            theirs.setdefault((kind, size), {})[one["peer"]] = one["mb_s"]
        return ours, theirs


def output(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
