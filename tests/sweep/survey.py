"""What one client sees of one server: everything it says of itself, its lists, and answers to a fixed set of questions.

The first direct run makes the `plan` (which resources are read, which prompts are got, which tools are called with
what); every later run, direct or through the gateway, asks the same. Only tools that say they only read, or whose name
says so, are called. A question that gets no answer is recorded as silence and is not asked of the others.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import arguments
import wire

START_SECONDS = 60
ANSWER_SECONDS = 20
RESOURCES, TEMPLATES, PROMPTS, TOOLS = 4, 1, 3, 6
LISTS = {
    "tools": "tools/list",
    "resources": "resources/list",
    "resourceTemplates": "resources/templates/list",
    "prompts": "prompts/list",
}
_LARGEST_PAGE_COUNT = 1000
_READS = re.compile(
    r"(^|[._-])(get|list|read|search|find|show|describe|calculate|convert|echo|help|version|status|count|check|lookup|"
    r"info|now|current|parse|validate|explain|format|compare|diff|hash|encode|decode)([._-]|$|[A-Z])"
)


@dataclass(frozen=True)
class Question:
    """One request. `name` is how the report calls it; `schema` is the tool's, for mirrored headers."""

    name: str
    method: str
    params: dict
    schema: dict = field(default_factory=dict, hash=False, compare=False)


@dataclass
class Sight:
    """What a client saw. `answers` holds an answer, or a text where there was none, for each question."""

    era: str
    hello: dict
    lists: dict
    answers: dict

    def items(self, key):
        """The items of a list; none where it could not be had."""
        found = self.lists.get(key)
        return found if isinstance(found, list) else []


class Unreachable(Exception):
    """The server cannot be spoken to in this era; says why."""


def look(client, files, plan=None, patience=START_SECONDS):
    """Looks at the server behind `client`. Returns the sight and the plan. Raises Unreachable."""
    hello = _hello(client, patience)
    capabilities = hello["capabilities"]
    lists = {key: _list(client, key, method) for key, method in LISTS.items() if _offers(capabilities, key)}
    if plan is None:
        plan = make_plan(client.era, capabilities, lists, files)
    answers = {}
    for question in plan:
        if question.method in _LEGACY_ONLY and client.era == wire.MODERN:
            continue
        try:
            answers[question.name] = client.ask(question.method, question.params, ANSWER_SECONDS, question.schema)
        except wire.Silence as silence:
            answers[question.name] = str(silence)
    return Sight(client.era, hello, lists, answers), plan


_LEGACY_ONLY = ("ping", "logging/setLevel")


def _hello(client, patience):
    try:
        answer = client.hello(patience)
    except wire.Silence as silence:
        raise Unreachable(str(silence)) from None
    if "error" in answer:
        raise Unreachable(f"{answer['error'].get('code')}: {answer['error'].get('message', '')[:80]}")
    result = answer["result"]
    if client.era == wire.MODERN and wire.VERSION[wire.MODERN] not in (result.get("supportedVersions") or ()):
        raise Unreachable("answered without a modern version")
    if not isinstance(result.get("capabilities"), dict):
        raise Unreachable("answered without capabilities")
    return result


def _offers(capabilities, key):
    return ("resources" if key == "resourceTemplates" else key) in capabilities


def _list(client, key, method):
    """All items over all pages, or the error as a text."""
    items, cursor = [], None
    for _ in range(_LARGEST_PAGE_COUNT):
        try:
            answer = client.ask(method, {} if cursor is None else {"cursor": cursor}, START_SECONDS)
        except wire.Silence as silence:
            return f"silence: {silence}"
        if "error" in answer:
            return f"error {answer['error'].get('code')}"
        items.extend(answer["result"].get(key) or ())
        cursor = answer["result"].get("nextCursor")
        if cursor is None:
            return items
    return f"more than {_LARGEST_PAGE_COUNT} pages"


def make_plan(era, capabilities, lists, files):
    """What is asked of a server, from what it lists."""
    plan = []
    tools = lists.get("tools")
    if isinstance(tools, list):
        plan += _calls(tools, files)
        plan.append(Question("call an unknown tool", "tools/call", {"name": "portcullis_no_such_tool", "arguments": {}}))
    if "resources" in capabilities:
        for resource in _some(lists.get("resources"), RESOURCES):
            plan.append(Question(f"read {resource['uri']}", "resources/read", {"uri": resource["uri"]}))
        for template in _some(lists.get("resourceTemplates"), TEMPLATES):
            uri = re.sub(r"\{[^}]*\}", "1", template["uriTemplate"])
            plan.append(Question(f"read {uri}", "resources/read", {"uri": uri}))
        missing = {"uri": "portcullis-sweep://no/such/resource"}
        plan.append(Question("read a missing resource", "resources/read", missing))
    if "prompts" in capabilities:
        plan += _prompts(lists.get("prompts"))
        plan.append(Question("get an unknown prompt", "prompts/get", {"name": "portcullis_no_such_prompt"}))
    if "completions" in capabilities:
        plan += _completions(lists)
    if era == wire.LEGACY:
        plan.append(Question("ping", "ping", {}))
        if "logging" in capabilities:
            plan.append(Question("set the log level", "logging/setLevel", {"level": "error"}))
    plan.append(Question("ask for an unknown method", "portcullis/no-such-method", {}))
    return plan


def _some(items, count):
    return items[:count] if isinstance(items, list) else []


def _calls(tools, files):
    """Calls of the first few tools that only read."""
    calls = []
    for tool in sorted(tools, key=lambda tool: not _hints(tool)):
        if len(calls) == TOOLS or not _only_reads(tool):
            continue
        schema = tool.get("inputSchema") or {}
        try:
            made = arguments.for_schema(schema, files)
        except arguments.Unfillable:
            continue
        calls.append(Question(f"call {tool['name']}", "tools/call", {"name": tool["name"], "arguments": made}, schema))
    return calls


def _hints(tool):
    return (tool.get("annotations") or {}).get("readOnlyHint") is True


def _only_reads(tool):
    annotations = tool.get("annotations") or {}
    if "readOnlyHint" in annotations:
        return annotations["readOnlyHint"] is True
    return annotations.get("destructiveHint") is not True and bool(_READS.search(tool["name"]))


def _prompts(prompts):
    questions = []
    for prompt in _some(prompts, PROMPTS):
        wanted = [argument["name"] for argument in prompt.get("arguments") or () if argument.get("required")]
        params = {"name": prompt["name"], "arguments": {name: "alpha" for name in wanted}}
        questions.append(Question(f"get {prompt['name']}", "prompts/get", params))
    return questions


def _completions(lists):
    for prompt in lists.get("prompts") if isinstance(lists.get("prompts"), list) else ():
        for argument in prompt.get("arguments") or ():
            params = {"ref": {"type": "ref/prompt", "name": prompt["name"]}}
            params["argument"] = {"name": argument["name"], "value": "a"}
            return [Question(f"complete {argument['name']} of {prompt['name']}", "completion/complete", params)]
    return []


def silent(answer: Any):
    """Whether a recorded answer is none."""
    return isinstance(answer, str)
