#!/usr/bin/env python3
"""Makes servers of published OpenAPI documents and calls every one of their tools.

    tests/openapi/run.py --bin target/release/portcullis

The documents come from npm, pinned (`package-lock.json` beside this file): 3.0 and 3.1, in JSON and in YAML. One gateway has
them all, before an API that keeps what arrives. Every operation of a document must be a tool or be left out for a reason that the
log has; the two forms of a document must be the same tools; a call of each tool, with arguments made up from its schema, must
arrive as the operation that it is, with nothing in it that nobody gave. Prints "N passed, N failed"; exit code 1 if anything
failed, 3 when a program does not start.
"""

import argparse
import json
import re
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

from stage import Stage, StageError

EXAMPLES = HERE / "node_modules" / "@readme" / "oas-examples"
METHODS = ("get", "head", "post", "put", "patch", "delete")
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LEAST = 40
"""Fewer documents than this, and the package is not what it was."""
NO_TWINS = {"3.1 parameters-style": "two operations of it are GET in one form and POST in the other"}
"""Documents whose two forms do not say the same, and how they differ."""


class Api(BaseHTTPRequestHandler):
    """Answers everything, and keeps it by the first part of its path."""

    protocol_version = "HTTP/1.1"
    arrived = {}

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        document, _, path = self.path.lstrip("/").partition("/")
        self.arrived.setdefault(document, []).append((self.command, "/" + path, dict(self.headers), body))
        text = b'{"ok": true}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("target/release/portcullis"), help="the gateway")
    options = parser.parse_args()
    if not options.bin.is_file():
        parser.error(f"there is no gateway at {options.bin}; build it or name it with --bin")
    try:
        install()
        with Stage() as stage:
            failures, passed = check(stage, options.bin.resolve())
    except (StageError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"openapi: {passed} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


def install():
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = HERE / "node_modules" / ".lock"
    if not stamp.is_file() or stamp.read_bytes() != lock:
        subprocess.run(["npm", "ci", "--ignore-scripts", "--loglevel=error"], cwd=HERE, check=True, stdout=sys.stderr)
        stamp.write_bytes(lock)


def documents():
    """Each document that is there in both forms: its name, and the files."""
    found = {}
    for version in ("3.0", "3.1"):
        for file in sorted((EXAMPLES / version / "json").glob("*.json")):
            twin = EXAMPLES / version / "yaml" / f"{file.stem}.yaml"
            if operations(json.loads(file.read_text())) and twin.is_file():
                found[f"{version} {file.stem}"] = (file, twin)
    return found


def operations(document):
    """`GET /path` of each operation that a document has."""
    paths = document.get("paths") or {}
    return [
        f"{method.upper()} {path}"
        for path, item in paths.items()
        if path.startswith("/")
        for method in METHODS
        if method in (followed(document, item) or {})
    ]


def left_out_beside(document):
    """How many of its paths lead nowhere, and how many OPTIONS and TRACE it has: no operations, and left out all the same."""
    count = 0
    for path, item in (document.get("paths") or {}).items():
        item = followed(document, item)
        if not path.startswith("x-"):
            count += sum(method in item for method in ("options", "trace")) if isinstance(item, dict) else 1
    return count


def followed(document, item):
    """An item, or what it refers to in the document; nothing where that is a circle or elsewhere."""
    for _ in range(16):
        if not isinstance(item, dict) or "$ref" not in item:
            return item
        if not item["$ref"].startswith("#/"):
            return None
        tokens = [unquote(token).replace("~1", "/").replace("~0", "~") for token in item["$ref"][2:].split("/")]
        item = document
        for token in tokens:
            item = item.get(token) if isinstance(item, dict) else None
    return None


def check(stage, binary):
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{api.server_port}"
    found = documents()
    if len(found) < LEAST:
        raise StageError(f"only {len(found)} documents are there")
    servers = {}
    for index, files in enumerate(found.values()):
        for form, file in zip("jy", files):
            name = f"{form}{index}"
            servers[name] = {"openapi": {"document": str(file), "base_url": f"{base}/{name}"}}
    url = stage.start_gateway(binary, servers, definitions={"mode": "off"})
    failures, passed, offered = [], 0, 0

    def hold(ok, what):
        nonlocal passed
        passed += bool(ok)
        if not ok:
            failures.append(what)

    for index, (title, files) in enumerate(found.items()):
        document = json.loads(files[0].read_text())
        wanted = operations(document)
        lists = []
        for form in "jy":
            answer = ask(url, f"{form}{index}", "tools/list", {})
            lists.append(answer.get("result", {}).get("tools"))
            if lists[-1] is None:
                # A document in which nothing can be called says so.
                hold("no operation that can be called" in json.dumps(answer), f"{title}: {json.dumps(answer)[:300]}")
        if title in NO_TWINS:
            hold(lists[0] != lists[1], f"{title}: its forms are the same by now; take it out of NO_TWINS")
        else:
            hold(lists[0] == lists[1], f"{title}: JSON and YAML are not the same tools")
        tools = lists[0] or []
        offered += len(tools)
        places = {tool["description"].rsplit("\n", 1)[-1] for tool in tools}
        hold(len(places) == len(tools), f"{title}: two tools are one operation")
        hold(places <= set(wanted), f"{title}: {places - set(wanted)} are no operations of it")
        left_out = re.search(rf'"?server\.id"?[=:]\s*"?j{index}\b.*?left_out"?[=:]\s*(\d+)', stage.log_of("gateway"))
        count = int(left_out[1]) if left_out else 0
        if lists[0] is not None:
            beside = left_out_beside(document)
            what = f"{len(tools)} tools, {count} left out, {len(wanted)} operations and {beside} that are none"
            hold(len(tools) + count == len(wanted) + beside, f"{title}: {what}")
        for tool in tools:
            problem = call(url, f"j{index}", tool)
            hold(problem is None, f"{title}: {tool['name']}: {problem}")
    hold(offered > 50, f"only {offered} tools")
    print(f"{len(found)} documents in two forms, {offered} tools")
    return failures, passed


def ask(url, server, method, params):
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        "authorization": "Bearer of-the-caller",
    }
    if "name" in params:
        headers["mcp-name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    request = urllib.request.Request(f"{url}/mcp/s/{server}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
    events = re.findall(r"^data: ?(.*)$", text, re.M)
    return json.loads(events[-1] if events else text)


def call(url, server, tool):
    """Calls a tool with what its schema wants; says what is wrong with what arrives."""
    method, template = tool["description"].rsplit("\n", 1)[-1].split(" ", 1)
    schema = tool["inputSchema"]
    arguments = {name: value(part, schema, 0) for name, part in schema.get("properties", {}).items()}
    in_path = {re.sub(r"[^A-Za-z0-9._-]", "_", name).strip("_") for name in re.findall(r"\{([^}]*)\}", template)}
    for name in arguments:
        if name.removesuffix("_path") in in_path:
            arguments[name] = in_one_part(arguments[name])
    before = len(Api.arrived.get(server, []))
    answer = ask(url, server, "tools/call", {"name": tool["name"], "arguments": arguments})
    result = answer.get("result")
    if result is None or result.get("isError"):
        return json.dumps(answer)[:400]
    arrived = Api.arrived.get(server, [])[before:]
    if len(arrived) != 1:
        return f"{len(arrived)} requests arrived"
    got, target, headers, body = arrived[0]
    # A parameter is part of one segment, however it is written.
    pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", template))
    path = urlsplit(target).path
    if got != method or not (re.fullmatch(pattern, path) or re.fullmatch(pattern, unquote(path))):
        return f"arrived as {got} {target}"
    lower = {name.lower(): text for name, text in headers.items()}
    foreign = {"authorization", "mcp-method", "mcp-name", "mcp-protocol-version", "user-agent"} & set(lower)
    if foreign:
        return f"arrived with {foreign}"
    sent = arguments.get("body")
    if sent is not None and method not in ("GET", "HEAD"):
        media = lower.get("content-type", "")
        if "json" in media and json.loads(body) != sent:
            return f"the body arrived as {body[:200]}"
        if not media:
            return "the body arrived without a media type"
    return None


def in_one_part(given):
    """The same without what no part of a path has."""
    if isinstance(given, list):
        return [in_one_part(it) for it in given]
    if isinstance(given, dict):
        return {in_one_part(name): in_one_part(it) for name, it in given.items()}
    return re.sub(r"[/\\]", "-", given) if isinstance(given, str) else given


def value(schema, root, depth):
    """Something that fits a schema well enough to be sent."""
    if not isinstance(schema, dict) or depth > 6:
        return "x"
    if "$ref" in schema:
        return value(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root, depth + 1)
    for key in ("const", "default"):
        if schema.get(key) not in (None, "", []):
            return schema[key]
    if schema.get("enum"):
        return next((it for it in schema["enum"] if it not in (None, "")), "x")
    for key in ("allOf", "anyOf", "oneOf"):
        if schema.get(key) and "properties" not in schema:
            return value(schema[key][0], root, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [value(schema.get("items", {}), root, depth + 1)]
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {name: value(part, root, depth + 1) for name, part in list(properties.items())[:20]}
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(kind, "x y/z")


if __name__ == "__main__":
    main()
