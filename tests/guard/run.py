#!/usr/bin/env python3
"""How well the guard finds, and how fast: on marked texts that are generated here, and on public corpora where they are.

    tests/guard/run.py --bin target/release/portcullis --short
    tests/guard/run.py --bin target/release/portcullis --out docs/guard.md [--corpora DIR]

The short form generates texts of the held-out half, asserts floors, and takes less than two minutes. The long form adds the
peers, speed, and the corpora below DIR (presidio-research, bipia, livemcpbench, as their repositories have them), and
writes the page. Nothing is downloaded but packages from PyPI; a corpus that is not there is skipped, and the page says so.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLOORS = {"EMAIL": 0.97, "PHONE": 0.97, "IBAN": 0.97, "CREDIT_CARD": 0.97, "IP_ADDRESS": 0.97, "NATIONAL_ID": 0.97, "PASSPORT": 0.97, "DATE_OF_BIRTH": 0.97, "SECRET": 0.95}
"""The F1 below which the run fails."""


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--bin", type=Path, required=True)
    options.add_argument("--short", action="store_true")
    options.add_argument("--out", type=Path)
    options.add_argument("--corpora", type=Path, default=os.environ.get("CORPORA"))
    given = options.parse_args()
    python = environment("requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        halves = {}
        for half, seed in (("dev", 11), ("held", 12)):
            if half == "dev" and given.short:
                continue
            file = Path(folder) / half
            generate(python, file, half, 800 if given.short else 4000, seed)
            halves[half] = (file, report(given.bin, file))
        failed = check(halves["held"][1])
        if not given.short:
            corpora = Path(given.corpora) if given.corpora else None
            page = write(given.bin, halves, corpora, Path(folder))
            if given.out:
                given.out.write_text(page)
            else:
                print(page)
    sys.exit(1 if failed else 0)


def environment(requirements):
    """A Python that has what is listed; made when it is missing or lists something else."""
    place = HERE / ".venv" / requirements.removesuffix(".txt")
    wanted = (HERE / requirements).read_text()
    stamp = place / "installed"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", HERE / requirements]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return place / "bin" / "python"


def generate(python, file, half, count, seed):
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import corpus; corpus.write({str(file)!r}, {half!r}, {count}, {seed})"
    subprocess.run([python, "-c", code], check=True)


def report(binary, file):
    return json.loads(run([binary, "guard", "report", "--json", file]))


def run(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(figures):
    """Prints what is below its floor."""
    failed = 0
    for entity, floor in FLOORS.items():
        seen = figures["entities"].get(entity)
        ok = seen is not None and seen["right"] >= 20 and seen["f1"] >= floor
        failed += not ok
        print(f"{'ok' if ok else 'FAILED'}: {entity}: F1 {seen['f1'] if seen else 0:.3f}, floor {floor}")
    print(f"guard: {len(FLOORS) - failed} passed, {failed} failed")
    return failed


def findings(binary, texts, folder):
    """For each text, what is found."""
    file = folder / "texts"
    file.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
    found = [[] for _ in texts]
    for line in run([binary, "guard", "scan", file]).splitlines():
        one = json.loads(line)
        found[one["line"] - 1].append(one)
    return found


def scores(right, wrong, missed):
    precision = right / (right + wrong) if right + wrong else 1.0
    recall = right / (right + missed) if right + missed else 1.0
    return precision, recall, 2 * right / max(1, 2 * right + wrong + missed)


def peer_scores(file):
    """Precision, recall and F1 of the peers on the same texts, by entity."""
    python = environment("requirements-peers.txt")
    expected = []
    for line in file.open():
        expected.append({(span["entity"], span["start"], span["end"]) for span in json.loads(line)["spans"]})
    found = {}
    for line in run([python, HERE / "peers.py", "find", file]).splitlines():
        one = json.loads(line)
        found.setdefault(one["peer"], set()).add((one["line"], one["entity"], one["start"], one["end"]))
    table = {}
    wanted = {(number, *span) for number, spans in enumerate(expected, 1) for span in spans}
    for peer, seen in found.items():
        table[peer] = {}
        for entity in FLOORS:
            ours = {span for span in wanted if span[1] == entity}
            theirs = {span for span in seen if span[1] == entity}
            table[peer][entity] = scores(len(ours & theirs), len(theirs - ours), len(ours - theirs))
    return table


def write(binary, halves, corpora, folder):
    today, host = datetime.date.today(), f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    lines = ["# The guard, measured", "", f"Made by `make guard-eval` (`tests/guard/run.py`) on {today}, {host}. Only a finding of the same entity with the same", "span counts. Numbers are the run's; nothing is rounded up.", ""]
    lines += ["## Generated texts", "", "Templates are ours, values are made by Faker and checked by `python-stdnum` and `phonenumbers` (all PyPI). The held-out half", "has other templates and another seed than the half that the engine was written against.", ""]
    peers = peer_scores(halves["held"][0])
    lines += ["| entity | texts' spans | dev F1 | held-out precision | recall | **F1** | " + " | ".join(f"{peer} F1" for peer in peers) + " |", "|---" * (6 + len(peers)) + "|"]
    for entity in FLOORS:
        held = halves["held"][1]["entities"][entity]
        dev = halves["dev"][1]["entities"][entity]
        others = " | ".join(f"{table[entity][2]:.3f}" for table in peers.values())
        lines.append(f"| {entity} | {held['right'] + held['missed']} | {dev['f1']:.3f} | {held['precision']:.3f} | {held['recall']:.3f} | **{held['f1']:.3f}** | {others} |")
    lines += ["", "## Public corpora", ""] + public(binary, corpora, folder) + ["", "## Speed", ""] + speed(folder) + [""]
    return "\n".join(lines)


def public(binary, corpora, folder):
    def there(name):
        path = corpora / name if corpora else None
        return path if path and path.exists() else None

    lines = []
    tools = there("livemcpbench/tools.json")
    if tools:
        texts = [tool["description"] for server in json.loads(tools.read_text()) for one in server["tools"].values() for tool in one.get("tools", []) if tool.get("description")]
        flagged = sum(bool(found) for found in findings(binary, texts, folder))
        lines.append(f"- LiveMCPBench, descriptions of published tools, taken as benign: **{flagged} of {len(texts)} flagged** ({100 * flagged / len(texts):.2f} %), all entities on.")
    for kind in ("text", "code"):
        files = [there(f"bipia/{kind}_attack_{part}.json") for part in ("train", "test")]
        if all(files):
            texts = [text for file in files for group in json.loads(file.read_text()).values() for text in group]
            seen = sum(any(one["entity"] == "INJECTION" for one in found) for found in findings(binary, texts, folder))
            lines.append(f"- BIPIA, {kind} attacks: INJECTION in **{seen} of {len(texts)}** (recall {seen / len(texts):.2f}). Most of the others are ordinary requests with nothing about them that tells.")
    mails = [there(f"bipia/email-{part}.jsonl") for part in ("train", "test")]
    if all(mails):
        texts = [json.loads(line)["context"] for file in mails for line in file.open()]
        seen = sum(any(one["entity"] == "INJECTION" for one in found) for found in findings(binary, texts, folder))
        lines.append(f"- BIPIA, mails without attacks: INJECTION in {seen} of {len(texts)}.")
    sentences = there("presidio-research/synth_dataset_v2.json")
    if sentences:
        lines += presidio_research(binary, json.loads(sentences.read_text()), folder)
    missing = [name for name in ("livemcpbench/tools.json", "bipia/text_attack_test.json", "presidio-research/synth_dataset_v2.json") if not there(name)]
    return lines + [f"- `{name}` was not there: skipped." for name in missing]


def presidio_research(binary, sentences, folder):
    ours = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "IBAN_CODE": "IBAN", "CREDIT_CARD": "CREDIT_CARD", "US_SSN": "NATIONAL_ID", "IP_ADDRESS": "IP_ADDRESS"}
    right, wrong, missed = Counter(), Counter(), Counter()
    found = findings(binary, [one["full_text"] for one in sentences], folder)
    for one, seen in zip(sentences, found):
        text = one["full_text"]
        bytes_at = lambda at: len(text[:at].encode())  # noqa: E731
        wanted = {(ours[span["entity_type"]], bytes_at(span["start_position"]), bytes_at(span["end_position"])) for span in one["spans"] if span["entity_type"] in ours}
        got = {(hit["entity"], hit["start"], hit["end"]) for hit in seen if hit["entity"] in ours.values()}
        for span in wanted & got:
            right[span[0]] += 1
        for span in got - wanted:
            wrong[span[0]] += 1
        for span in wanted - got:
            missed[span[0]] += 1
    lines = ["- presidio-research, 1,500 generated sentences:", "", "| entity | spans | precision | recall | F1 |", "|---|---|---|---|---|"]
    for entity in sorted(set(right) | set(missed)):
        precision, recall, f1 = scores(right[entity], wrong[entity], missed[entity])
        lines.append(f"| {entity} | {right[entity] + missed[entity]} | {precision:.3f} | {recall:.3f} | {f1:.3f} |")
    return lines + [""]


def speed(folder):
    command = ["cargo", "bench", "--locked", "--quiet", "-p", "portcullis-guard", "--bench", "speed", "--", "--write", folder]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    ours = {tuple(line.split()[:2]): line.split()[2:] for line in done.splitlines()[1:]}
    python = environment("requirements-peers.txt")
    files = [folder / f"{kind}-{size}.json" for kind, size in ours]
    theirs = {}
    for line in run([python, HERE / "peers.py", "speed", *files]).splitlines():
        one = json.loads(line)
        kind, _, size = Path(one["document"]).stem.partition("-")
        theirs.setdefault((kind, size), {})[one["peer"]] = one["mb_s"]
    lines = ["JSON documents, one core, all recognisers on, MB/s; the peers take the same documents as text (`-`: not measured, it takes minutes).", "", "| document | size | findings | median | fastest | presidio | cpex-pii-filter |", "|---|---|---|---|---|---|---|"]
    for (kind, size), (count, median, fastest) in ours.items():
        peers = [theirs.get((kind, size), {}).get(peer) for peer in ("presidio", "cpex-pii-filter")]
        lines.append(f"| {kind} | {size} | {count} | {median} | {fastest} | " + " | ".join("-" if peer is None else f"{peer:.2f}" for peer in peers) + " |")
    return lines


if __name__ == "__main__":
    main()
