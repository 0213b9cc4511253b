"""What a Python client does with the aggregate endpoint, checked against `facts.json`.

The two clients differ in their method names and in whether they page by themselves, so each hands in an `Adapter`.
Prints one line of JSON, `{"version", "checks", "failed": [...]}`; the exit code is 0 only if every check passed.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Awaitable, Callable

FACTS = json.loads(
    Path(__file__).with_name("facts.json").read_text().replace("$FILES", os.environ.get("FILES", ""))
)


@dataclass
class Adapter:
    """A connected client: each list already complete, each result as the protocol has it."""

    version: str
    list_tools: Callable[[], Awaitable[list]]
    call_tool: Callable[[str, dict, Callable], Awaitable[Any]]
    list_resources: Callable[[], Awaitable[list]]
    list_templates: Callable[[], Awaitable[list]]
    read_resource: Callable[[str], Awaitable[list]]
    list_prompts: Callable[[], Awaitable[list]]
    get_prompt: Callable[[str, dict], Awaitable[Any]]
    complete: Callable[[dict, dict], Awaitable[list]]
    ping: Callable[[], Awaitable[Any]]
    protocol_error: type


class Report:
    """Counts the checks and keeps what failed."""

    def __init__(self):
        self.version = "none"
        self.checks = 0
        self.failed = []

    async def check(self, name, act):
        self.checks += 1
        try:
            await act
        except Exception as error:  # any failure of a client is a failed check
            self.failed.append(f"{name}: {type(error).__name__}: {error}")

    def exit(self):
        print(json.dumps({"version": self.version, "checks": self.checks, "failed": self.failed}))
        sys.exit(1 if self.failed else 0)


def run(connect):
    """Runs all checks with what `connect(url)`, an asynchronous context manager, gives."""
    report = Report()
    asyncio.run(_run(connect, report))
    report.exit()


async def _run(connect, report):
    async def connected():
        async with connect(sys.argv[1]) as adapter:
            report.version = adapter.version
            await _check_tools(adapter, report)
            await _check_resources(adapter, report)
            await _check_prompts(adapter, report)
            if adapter.version < "2026":
                await report.check("ping", adapter.ping())

    await report.check("connect and close", connected())


async def _check_tools(adapter, report):
    async def listed():
        names = [tool.name for tool in await adapter.list_tools()]
        _expect_all(names, FACTS["tools"])
        _expect(len(set(names)) == len(names), f"names repeat: {names}")

    async def called(fact):
        seen = []

        async def on_progress(progress, total, message):
            seen.append(progress)

        result = await adapter.call_tool(fact["tool"], fact["arguments"], on_progress)
        _expect(not result.is_error, f"is an error: {result.content}")
        _expect_text(result.content, fact["text"])
        _expect(len(seen) >= fact.get("progress", 0), f"progress came {len(seen)} times")

    async def refused(tool):
        try:
            result = await adapter.call_tool(tool, {}, None)
        except adapter.protocol_error:
            return
        _expect(result.is_error, f"was answered: {result.content}")

    await report.check("list tools", listed())
    for fact in FACTS["calls"]:
        await report.check(f"call {fact['tool']}", called(fact))
    for tool in FACTS["unknownTools"]:
        await report.check(f"refuse {tool}", refused(tool))


async def _check_resources(adapter, report):
    async def listed():
        _expect_all([str(resource.uri) for resource in await adapter.list_resources()], _each("resources", "uri"))

    async def templates_listed():
        present = [template.uri_template for template in await adapter.list_templates()]
        _expect_all(present, _each("templates", "uriTemplate"))

    async def read(fact):
        contents = await adapter.read_resource(fact["uri"])
        _expect(str(contents[0].uri) == fact["uri"], f"contents are of {contents[0].uri}")
        _expect_text(contents, fact["text"])

    await report.check("list resources", listed())
    await report.check("list resource templates", templates_listed())
    for fact in FACTS["resources"] + FACTS["templates"]:
        await report.check(f"read {fact['uri']}", read(fact))


async def _check_prompts(adapter, report):
    async def listed():
        _expect_all([prompt.name for prompt in await adapter.list_prompts()], _each("prompts", "name"))

    async def got(fact):
        result = await adapter.get_prompt(fact["name"], fact["arguments"])
        _expect_text([message.content for message in result.messages], fact["text"])

    async def completed(fact):
        _expect_all(await adapter.complete(fact["ref"], fact["argument"]), [fact["value"]])

    await report.check("list prompts", listed())
    for fact in FACTS["prompts"]:
        await report.check(f"get {fact['name']}", got(fact))
    for fact in FACTS["completions"]:
        await report.check(f"complete {fact['ref']}", completed(fact))


def _each(facts, key):
    return [fact[key] for fact in FACTS[facts]]


def _expect(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


def _expect_all(present, wanted):
    for item in wanted:
        _expect(item in present, f"{item} is not among {present}")


def _expect_text(contents, wanted):
    texts = "\n".join(getattr(content, "text", None) or "" for content in contents)
    _expect(wanted in texts, f"{wanted!r} is not in {texts[:200]!r}")
