"""Compares what a client saw through the gateway with what it, or a client of the other era, saw directly.

The yardstick of a client is the direct run in its own era: everything has to be equal, bar what belongs to each hop. A
child is spoken to in one era, so a server of both may show what it shows in the other; then that is the yardstick, after
the translation that docs/concept/eras.md describes, and the note says so. Where there is no direct run in the client's
era, the other is the only yardstick. What two equal direct runs disagree about is not compared, only counted.
"""

import re
from dataclasses import dataclass, field

import survey
import wire
from wire import LEGACY, META, MODERN, canonical

CACHED = ("resources/read", "tools/list", "resources/list", "resources/templates/list", "prompts/list")
MODERN_CHILD = "as a child it is spoken to in its modern era, and answers as it does there"


@dataclass
class Verdict:
    """What came of one comparison. `faults` are differences that nothing explains."""

    same: int = 0
    translated: int = 0
    varying: int = 0
    silent: int = 0
    notes: list = field(default_factory=list)
    faults: list = field(default_factory=list)

    @property
    def compared(self):
        return self.same + self.translated + len(self.faults)

    undeclared: list = field(default_factory=list)

    def undeclare(self, word):
        """Notes what the server declares and the gateway does not."""
        if word not in self.undeclared:
            self.undeclared.append(word)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)


def compare(seen, direct, again, plan):
    """`seen` through the gateway; `direct` and `again` are the sights of two direct runs by era, where there are any."""
    verdict = Verdict()
    _compare_hello(seen, direct, verdict)
    methods = {question.name: question.method for question in plan}
    for key in survey.LISTS:
        theirs = {era: sight.lists.get(key) for era, sight in direct.items()}
        if all(canonical(items) == canonical(again[era].lists.get(key)) for era, items in theirs.items()):
            _settle(f"list {key}", survey.LISTS[key], seen.lists.get(key), theirs, seen.era, direct, verdict)
        else:
            _same_names(key, seen.lists.get(key), theirs, verdict)
    for name, method in methods.items():
        mine = _unmarked(seen.answers.get(name), verdict)
        theirs = {era: sight.answers[name] for era, sight in direct.items() if name in sight.answers}
        if not theirs or mine is None:
            continue
        if any(survey.silent(answer) for answer in theirs.values()):
            verdict.silent += 1
        elif any(_text(theirs[era]) != _text(again[era].answers.get(name)) for era in theirs):
            _same_kind(name, mine, theirs, verdict)
        else:
            _settle(name, method, mine, theirs, seen.era, direct, verdict)
    return verdict


_MARK = re.compile(r'\s*"PORTCULLIS_CHILD": "[^"]*",?')


def _unmarked(value, verdict):
    """Without the mark by which the gateway finds its children again, where a tool prints its environment."""
    if isinstance(value, dict):
        return {key: _unmarked(item, verdict) for key, item in value.items()}
    if isinstance(value, list):
        return [_unmarked(item, verdict) for item in value]
    if isinstance(value, str) and _MARK.search(value):
        verdict.note("a tool that prints its environment shows the gateway's mark (docs/decisions/0004)")
        return _MARK.sub("", value)
    return value


def _text(answer):
    if isinstance(answer, dict):
        answer = {key: value for key, value in answer.items() if key != "status"}
    return canonical(answer)


def _same_kind(name, mine, theirs, verdict):
    """Two direct runs differ from each other, as with a clock: only result or error can be compared."""
    verdict.varying += 1
    if not any(not survey.silent(mine) and ("result" in mine) == ("result" in answer) for answer in theirs.values()):
        verdict.faults.append(f"{name}: {_short(mine)}, directly {_short(next(iter(theirs.values())))}")


def _same_names(key, mine, theirs, verdict):
    """Two direct runs list the same things in other words, as with a map that has no order: the names are compared."""
    verdict.varying += 1
    names = [_names(items) for items in (mine, *theirs.values())]
    if any(other != names[0] for other in names):
        verdict.faults.append(f"list {key}: {names[0]}, directly {names[1]}")


def _names(items):
    return sorted(item.get("uri", item.get("uriTemplate", item.get("name"))) for item in items or ())


def _settle(name, method, mine, theirs, era, direct, verdict):
    """Equal to the direct run in its own era, or to the other one's after translation, or a fault.

    A child that speaks both eras is spoken to in the modern one, so a modern client has no excuse there.
    """
    other = MODERN if era == LEGACY else LEGACY
    if era == MODERN and MODERN in theirs:
        theirs = {MODERN: theirs[MODERN]}
    if mine is None and all(value is None for value in theirs.values()):
        return
    if era in theirs and _text(_own(method, mine, era)) == _text(_own(method, theirs[era], era)):
        verdict.same += 1
        return
    if other in theirs:
        info = server_info(direct[other].hello, other)
        expected = translate(method, theirs[other], other, info)
        if _text(_bare(method, mine, info, era)) == _text(_bare(method, expected, info, era)):
            if era in theirs:
                verdict.note(MODERN_CHILD)
            if problem := _dressed(method, mine, era, info):
                verdict.faults.append(f"{name}: {problem}")
            else:
                verdict.translated += 1
            return
    if method == "portcullis/no-such-method" and _code(mine) == -32601:
        verdict.same += 1  # an unknown method never reaches the server; the words are the gateway's
        return
    if explained := _explained(method, mine, theirs):
        verdict.note(explained)
        verdict.translated += 1
        return
    pairs = [(_own(method, mine, era), _own(method, theirs[era], era))] if era in theirs else []
    if other in theirs:
        pairs.append((_bare(method, mine, info, era), _bare(method, expected, info, era)))
    if any(_is_clock(*pair) for pair in pairs):
        verdict.varying += 1
    else:
        verdict.faults.append(f"{name}: {first_difference(*pairs[-1])}")


def _explained(method, mine, theirs):
    """Differences that are the gateway's to make, each with the reason that the page gives."""
    if method in ("ping", "logging/setLevel") and isinstance(mine, dict) and mine.get("result") == {}:
        return f"answers `{method}` in another way; the gateway answers it itself"
    if method in survey.LISTS.values() and mine == [] and "error -32601" in theirs.values():
        return f"declares a capability but does not know `{method}`; through the gateway the list is empty"
    return None


_TIMES = re.compile(r"\d{4}-\d\d-\d\d|\d\d?:\d\d|\b1[789]\d{8,11}\b")


def _is_clock(left, right):
    """Two texts that tell a time and are the same but for their digits."""
    left, right = _text(left), _text(right)
    return bool(_TIMES.search(left)) and re.sub(r"\d+", "#", left) == re.sub(r"\d+", "#", right)


def _code(answer):
    return answer["error"].get("code") if isinstance(answer, dict) and isinstance(answer.get("error"), dict) else None


def _own(method, answer, era):
    """Without what belongs to the hop: the time that a read may be kept is the gateway's to shorten."""
    if era == MODERN and method == "resources/read" and isinstance(answer, dict) and "result" in answer:
        kept = {key: value for key, value in answer["result"].items() if key not in ("ttlMs", "cacheScope")}
        return {"result": kept}
    return answer


def server_info(hello, era):
    """What a server calls itself."""
    return hello.get("serverInfo") if era == LEGACY else (hello.get("_meta") or {}).get(META + "serverInfo")


def translate(method, answer, source, info):
    """An answer of the `source` era as the other era has it."""
    if method in survey.LISTS.values():
        return [_item(item, source) for item in answer] if isinstance(answer, list) else answer
    if survey.silent(answer):
        return answer
    if "error" in answer:
        return {"error": _error(method, answer["error"], source)}
    result = dict(answer["result"])
    if source == LEGACY:
        result["resultType"] = "complete"
        result["_meta"] = {**(result.get("_meta") or {}), META + "serverInfo": info}
    else:
        for key in ("resultType", "ttlMs", "cacheScope"):
            result.pop(key, None)
        if "structuredContent" in result and not isinstance(result["structuredContent"], dict):
            value = result.pop("structuredContent")
            result["content"] = result.get("content") or [{"type": "text", "text": canonical(value)}]
    return {"result": result}


def _item(item, source):
    item = dict(item)
    if source == LEGACY:
        item.pop("execution", None)
    elif isinstance(item.get("outputSchema"), dict) and item["outputSchema"].get("type") != "object":
        item.pop("outputSchema")
    return item


def _error(method, error, source):
    code = error.get("code")
    if source == LEGACY and code == -32002:
        return {**error, "code": -32602}
    if source == MODERN and code == -32602 and method == "resources/read" and "uri" in (error.get("data") or {}):
        return {**error, "code": -32002}
    if (source == LEGACY and -32099 <= code <= -32000) or (source == MODERN and -32099 <= code <= -32020):
        return {"code": -32603, "message": error.get("message"), "data": {"upstreamError": error}}
    return error


def _bare(method, answer, info, era):
    """Without what the other era has no word for, and without data that the gateway may add to a missing resource."""
    if not isinstance(answer, dict):
        return answer
    if "error" in answer:
        error = dict(answer["error"])
        if method == "resources/read" and error.get("code") in (-32602, -32002):
            error.pop("data", None)
        return {"error": error}
    if "result" not in answer:
        return answer
    result = {key: value for key, value in answer["result"].items() if key not in ("resultType", "ttlMs", "cacheScope")}
    meta = {key: value for key, value in (result.pop("_meta", None) or {}).items() if key != META + "serverInfo"}
    return {"result": {**result, "_meta": meta} if meta else result}


def _dressed(method, answer, era, info):
    """What a translated result lacks that its era wants."""
    if era == LEGACY or not isinstance(answer, dict) or "result" not in answer:
        return None
    result = answer["result"]
    if result.get("resultType") != "complete":
        return f"resultType is {result.get('resultType')!r}"
    if method in CACHED and not (isinstance(result.get("ttlMs"), int) and result.get("cacheScope") in ("public", "private")):
        return "ttlMs or cacheScope is missing"
    if canonical((result.get("_meta") or {}).get(META + "serverInfo")) != canonical(info):
        return "_meta does not say which server it was"
    return None


def _compare_hello(seen, direct, verdict):
    """Name, instructions, and every capability that the gateway carries."""
    source = seen.era if seen.era in direct else (MODERN if seen.era == LEGACY else LEGACY)
    theirs = direct[source].hello
    for what, mine, yardstick in (
        ("serverInfo", server_info(seen.hello, seen.era), server_info(theirs, source)),
        ("instructions", seen.hello.get("instructions"), theirs.get("instructions")),
    ):
        others = [sight.hello.get(what) for sight in direct.values()]
        if what == "serverInfo" and yardstick is None and mine in others:
            verdict.note("names itself in a place of an earlier draft only; the gateway passes the name on")
            verdict.translated += 1
            continue
        if canonical(mine) == canonical(yardstick):
            verdict.same += 1
        elif what == "instructions" and mine in others:
            verdict.note(MODERN_CHILD)
            verdict.note("gives other instructions there")
            verdict.translated += 1
        else:
            verdict.faults.append(f"{what}: {first_difference(mine, yardstick)}")
    declared = _in_era(theirs["capabilities"], source, seen.era)
    _compare_capabilities(seen.hello["capabilities"], declared, direct, verdict)


TASKS = "io.modelcontextprotocol/tasks"


def _in_era(capabilities, source, era):
    """What a server declares, in the words of the other era: tasks of 2025-11-25 are an extension in 2026-07-28."""
    if source == era:
        return capabilities
    capabilities = dict(capabilities)
    if source == LEGACY:
        tasks = capabilities.pop("tasks", None)
        if tasks and "call" in tasks.get("requests", {}).get("tools", {}):
            capabilities["extensions"] = {**capabilities.get("extensions", {}), TASKS: {}}
    elif TASKS in capabilities.get("extensions", {}):
        extensions = {name: value for name, value in capabilities.pop("extensions").items() if name != TASKS}
        if extensions:
            capabilities["extensions"] = extensions
        capabilities["tasks"] = {}
    return capabilities


def _compare_capabilities(mine, theirs, direct, verdict):
    """What the server declares is declared, and nothing else is: but it may declare more in its other era."""
    for name, settings in theirs.items():
        if name not in mine:
            _undeclared(name, settings, verdict)
            continue
        for key, value in (settings or {}).items() if isinstance(settings, dict) else ():
            if key not in (mine[name] or {}) and value not in (False, None):
                _undeclared(f"{name}.{key}", value, verdict)
    surplus = set(mine) - set(theirs)
    modern = direct.get(MODERN)
    if surplus and modern and surplus <= set(modern.hello["capabilities"]):
        verdict.note(MODERN_CHILD)
    elif surplus:
        verdict.faults.append(f"capabilities that the server does not declare: {', '.join(sorted(surplus))}")


# What may be missing, as the gateway's documents say. A capability that is not here has to be there.
UNDECLARED = {"extensions": "extensions that it does not know"}


def _undeclared(name, value, verdict):
    word = UNDECLARED.get(name) or ("extensions that it does not know" if name.startswith("extensions.") else None)
    if word is None:
        verdict.faults.append(f"capability {name} = {canonical(value)[:80]} is not declared")
    else:
        verdict.undeclare(word)


def first_difference(mine, theirs, path=""):
    """Where two values differ first, in words."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted({*mine, *theirs} - {"status"}):
            if key not in mine or key not in theirs:
                side = "only directly" if key not in mine else "only through the gateway"
                return f"{path}.{key} {side}: {_short(mine.get(key, theirs.get(key)))}"
            if canonical(mine[key]) != canonical(theirs[key]):
                return first_difference(mine[key], theirs[key], f"{path}.{key}")
    if isinstance(mine, list) and isinstance(theirs, list):
        for index, (left, right) in enumerate(zip(mine, theirs)):
            if canonical(left) != canonical(right):
                return first_difference(left, right, f"{path}[{index}]")
        return f"{path} has {len(mine)} items, directly {len(theirs)}"
    return f"{path} {_short(mine)}, directly {_short(theirs)}".strip()


def _short(value):
    text = canonical(value)
    return text if len(text) <= 160 else text[:160] + "…"
