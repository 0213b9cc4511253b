"""Prompts and resources. Their names, URIs and the texts that depend on arguments are the suite's."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, ReadResourceResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from content import PNG, image, text

RESOURCE_NOT_FOUND = -32002
"""What handshake versions call a resource that is not there."""
TEMPLATE = re.compile(r"test://template/([^/]+)/data")


@dataclass(frozen=True)
class Prompt:
    """A prompt; `run` takes the call and returns the result. Every argument is a required string."""

    name: str
    description: str
    run: Callable
    arguments: tuple = ()
    stateful: bool = False

    def listed(self):
        arguments = [{"name": name, "description": f"The value of {name}", "required": True} for name in self.arguments]
        return {"name": self.name, "description": self.description, "arguments": arguments}


def messages(*contents):
    return {"messages": [{"role": "user", "content": content} for content in contents]}


async def simple(_call):
    return messages(text("A simple prompt."))


async def with_arguments(call):
    return messages(text(f"Arguments: arg1='{call.arguments['arg1']}', arg2='{call.arguments['arg2']}'"))


async def with_resource(call):
    uri = call.arguments["resourceUri"]
    resource = {"type": "resource", "resource": {"uri": uri, "mimeType": "text/plain", "text": "The embedded text."}}
    return messages(resource, text("Please read the resource above."))


async def with_image(_call):
    return messages(image(), text("Please describe the image."))


prompts = (
    Prompt("test_simple_prompt", "A prompt without arguments", simple),
    Prompt("test_prompt_with_arguments", "A prompt with two required arguments", with_arguments, ("arg1", "arg2")),
    Prompt("test_prompt_with_embedded_resource", "A prompt that carries a resource", with_resource, ("resourceUri",)),
    Prompt("test_prompt_with_image", "A prompt that carries an image", with_image),
)

CONTENTS = {
    "test://static-text": {"mimeType": "text/plain", "text": "The content of a text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched."},
}

resources = [
    {"uri": uri, "name": uri.removeprefix("test://"), "mimeType": contents["mimeType"]}
    for uri, contents in CONTENTS.items()
]

resource_templates = [
    {
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "A resource for every id",
        "mimeType": "application/json",
    }
]


async def read_resource(ctx, params):
    uri = str(params.uri)
    if uri in CONTENTS:
        return contents_of(uri, CONTENTS[uri])
    if match := TEMPLATE.fullmatch(uri):
        content = json.dumps({"id": match[1], "data": f"Data for ID: {match[1]}"})
        return contents_of(uri, {"mimeType": "application/json", "text": content})
    modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    code = INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
    raise MCPError(code=code, message="Resource not found", data={"uri": uri})


def contents_of(uri, contents):
    return ReadResourceResult.model_validate({"contents": [{"uri": uri, **contents}]})
