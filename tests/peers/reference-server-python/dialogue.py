"""Tools and prompts that need something from the client before they can answer: elicitation, sampling, roots.

Each is written as one function that asks and goes on with the answer; `Call.ask` makes both eras of it. A legacy client
is asked by real requests on the stream of its call, whatever it declared, and the function waits. A modern client gets
the questions as an `input_required` result; when it comes back the function runs again from the start, and what it
asked before is answered from `requestState`, which the SDK seals with a key that dies with the process.
"""

import json

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitRequest,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from content import Tool, answer, text
from documents import Prompt, messages

KINDS = {
    "elicitation/create": ("elicitation", ElicitRequest, ElicitResult),
    "sampling/createMessage": ("sampling", CreateMessageRequest, CreateMessageResult),
    "roots/list": ("roots", ListRootsRequest, ListRootsResult),
}
"""For each method of a question: the capability it needs, and its types."""


class Unanswered(Exception):
    """A modern client has to be asked; `state` is what must come back with its answers, or nothing."""

    def __init__(self, questions, state):
        super().__init__("the client has to be asked")
        self._questions = questions
        self._state = state

    def result(self):
        state = {} if self._state is None else {"requestState": json.dumps(self._state)}
        return InputRequiredResult.model_validate({"inputRequests": self._questions, **state})


class Call:
    """One `tools/call` or `prompts/get`: its arguments, and what its client has answered so far."""

    def __init__(self, ctx, params, feature):
        self.ctx = ctx
        self.arguments = params.arguments or {}
        self._feature = feature
        self._modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        state = json.loads(params.request_state) if params.request_state else None
        self._earlier = state["answers"] if state else {}
        trusted = state is not None or not feature.stateful
        self._latest = wire(params.input_responses) if trusted and params.input_responses else {}

    async def ask(self, **questions):
        """Asks the client everything at once and returns the answers, each under the name of its question."""
        if not self._modern:
            return await self._ask_now(questions)
        for question in questions.values():
            self._require(KINDS[question["method"]][0])
        answers = {**self._earlier, **self._latest}
        if missing := {key: question for key, question in questions.items() if key not in answers}:
            remember = self._feature.stateful or answers
            raise Unanswered(missing, {"of": self._feature.name, "answers": answers} if remember else None)
        return {key: answers[key] for key in questions}

    def can(self, capability):
        """Whether the client says that it can answer such a question."""
        declared = self.ctx.session.client_capabilities
        return declared is not None and getattr(declared, capability) is not None

    def _require(self, capability):
        if not self.can(capability):
            data = {"requiredCapabilities": {capability: {}}}
            raise MCPError(code=MISSING_REQUIRED_CLIENT_CAPABILITY, message=f"{capability} is needed", data=data)

    async def _ask_now(self, questions):
        answers = {}
        related = ServerMessageMetadata(related_request_id=self.ctx.request_id)

        async def ask_one(key, question):
            _, request, result = KINDS[question["method"]]
            reply = await self.ctx.session.send_request(request.model_validate(question), result, metadata=related)
            answers[key] = wire(reply)

        async with anyio.create_task_group() as group:
            for key, question in questions.items():
                group.start_soon(ask_one, key, question)
        return answers


def wire(value):
    """A model, or a table of them, as it is on the wire."""
    if isinstance(value, dict):
        return {key: wire(one) for key, one in value.items()}
    return value.model_dump(by_alias=True, mode="json", exclude_none=True)


def form(message, properties, required=None):
    required = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": required}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def ask_for(field, message, kind="string"):
    return form(message, {field: {"type": kind}})


def sample(prompt, max_tokens):
    said = [{"role": "user", "content": text(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": said, "maxTokens": max_tokens}}


def list_roots():
    return {"method": "roots/list"}


def three_questions():
    return {
        "user_name": ask_for("name", "What is your name?"),
        "greeting": sample("Generate a greeting", 50),
        "client_roots": list_roots(),
    }


def said(reply):
    content = reply["content"]
    return content.get("text", json.dumps(content)) if isinstance(content, dict) else json.dumps(content)


def one_string(name):
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


def titled(*words):
    return [{"const": f"value{number}", "title": word} for number, word in enumerate(words, 1)]


OPTIONS = ["option1", "option2", "option3"]

DEFAULTS_FORM = {
    "name": {"type": "string", "description": "User name", "default": "John Doe"},
    "age": {"type": "integer", "description": "User age", "default": 30},
    "score": {"type": "number", "description": "User score", "default": 95.5},
    "status": {
        "type": "string",
        "description": "User status",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "description": "Whether verified", "default": True},
}

MANY = {"type": "array", "minItems": 1, "maxItems": 3}

ENUMS_FORM = {
    "untitledSingle": {"type": "string", "enum": OPTIONS},
    "titledSingle": {"type": "string", "oneOf": titled("First Option", "Second Option", "Third Option")},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["First", "Second", "Third"]},
    "untitledMulti": {**MANY, "items": {"type": "string", "enum": OPTIONS}},
    "titledMulti": {**MANY, "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")}},
}


def telling(question):
    """A tool that asks one elicitation and tells what came of it, whatever the user chose."""

    async def run(call):
        reply = (await call.ask(answer=question(call)))["answer"]
        return answer(text(f"action={reply['action']}, content={json.dumps(reply.get('content', {}))}"))

    return run


async def sample_prompt(call):
    reply = (await call.ask(reply=sample(call.arguments["prompt"], 100)))["reply"]
    return answer(text(f"LLM response: {said(reply)}"))


async def need_sampling(call):
    await call.ask(reply=sample("Say pong.", 16))
    return answer(text("Sampled."))


async def ask_name(call):
    reply = (await call.ask(user_name=ask_for("name", "What is your name?")))["user_name"]
    return answer(text(f"Hello, {reply.get('content', {}).get('name', 'stranger')}!"))


async def ask_capital(call):
    reply = (await call.ask(capital_question=sample("What is the capital of France?", 100)))["capital_question"]
    return answer(text(said(reply)))


async def ask_roots(call):
    reply = (await call.ask(client_roots=list_roots()))["client_roots"]
    return answer(text("Roots: " + ", ".join(root["uri"] for root in reply["roots"])))


def confirmed(verdict):
    async def run(call):
        await call.ask(confirm=ask_for("ok", "Please confirm", "boolean"))
        return answer(text(verdict))

    return run


async def ask_three(call):
    replies = await call.ask(**three_questions())
    name = replies["user_name"].get("content", {}).get("name", "stranger")
    return answer(text(f"{said(replies['greeting'])} {name}, you have {len(replies['client_roots']['roots'])} roots."))


async def ask_twice(call):
    first = (await call.ask(step1=ask_for("name", "Step 1: What is your name?")))["step1"]
    second = (await call.ask(step2=ask_for("color", "Step 2: What is your favorite color?")))["step2"]
    name, color = first.get("content", {}).get("name"), second.get("content", {}).get("color")
    return answer(text(f"{name} likes {color}."))


async def ask_what_is_possible(call):
    covered = {key: question for key, question in three_questions().items() if call.can(KINDS[question["method"]][0])}
    if not covered:
        return answer(text("This client can be asked nothing."))
    await call.ask(**covered)
    return answer(text("Answered."))


async def ask_context(call):
    reply = (await call.ask(user_context=ask_for("context", "What context should be used?")))["user_context"]
    return messages(text(f"Context: {reply.get('content', {}).get('context')}"))


dialogue_tools = (
    Tool(
        "test_elicitation",
        "Asks the user",
        telling(lambda call: ask_for("response", call.arguments["message"])),
        one_string("message"),
    ),
    Tool(
        "test_elicitation_sep1034_defaults",
        "Asks with a default for every type",
        telling(lambda _call: form("Please review the form", DEFAULTS_FORM, [])),
    ),
    Tool(
        "test_elicitation_sep1330_enums",
        "Asks with every form of enumeration",
        telling(lambda _call: form("Please choose", ENUMS_FORM, [])),
    ),
    Tool("test_sampling", "Asks the model of the client", sample_prompt, one_string("prompt")),
    Tool("test_missing_capability", "Cannot answer a client that does not sample", need_sampling),
    Tool("test_input_required_result_elicitation", "Asks for a name", ask_name),
    Tool("test_input_required_result_sampling", "Asks the model of the client for a capital", ask_capital),
    Tool("test_input_required_result_list_roots", "Asks for the roots of the client", ask_roots),
    Tool(
        "test_input_required_result_request_state",
        "Asks for a confirmation and wants its state back",
        confirmed("state-ok"),
        stateful=True,
    ),
    Tool(
        "test_input_required_result_tampered_state",
        "Asks for a confirmation and refuses a state it did not make",
        confirmed("integrity-ok"),
        stateful=True,
    ),
    Tool(
        "test_input_required_result_multiple_inputs", "Asks three different things at once", ask_three, stateful=True
    ),
    Tool(
        "test_input_required_result_multi_round",
        "Asks twice, one question after the other",
        ask_twice,
        stateful=True,
    ),
    Tool(
        "test_input_required_result_capabilities", "Asks only what the client says it can answer", ask_what_is_possible
    ),
)

dialogue_prompts = (Prompt("test_input_required_result_prompt", "A prompt that asks for its context", ask_context),)
