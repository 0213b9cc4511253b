#!/usr/bin/env python3
"""Writes the schema of what the gateway sends to an API server of Kubernetes.

    python3 -m venv venv && venv/bin/pip install kubernetes==37.0.2
    venv/bin/python tests/kubernetes/schema.py > crates/portcullis/tests/it/kubernetes/schema.json

The source is the official Python client, which is generated from the OpenAPI document of Kubernetes: its models say which members an
object has, of which type, and which it must have. Members that nobody knows are errors, as with `fieldValidation=Strict`. The result
is committed, so nobody needs the client to run the tests; run this by hand for another version of Kubernetes.
"""

import json
import re
import sys

import kubernetes
from kubernetes.client import models

ROOTS = ["V1Deployment", "V1Service", "V1Secret", "V1NetworkPolicy", "V1DeleteOptions"]
PLAIN = {
    "str": {"type": "string"},
    # In base64.
    "bytes": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "datetime": {"type": "string"},
    # Names of ports, quantities and the like: a text or a number.
    "object": {},
}


def type_of(text, wanted):
    if text in PLAIN:
        return PLAIN[text]
    if found := re.fullmatch(r"List\[(.*)\]", text):
        return {"type": "array", "items": type_of(found[1], wanted)}
    if found := re.fullmatch(r"Dict\[str, (.*)\]", text):
        return {"type": "object", "additionalProperties": type_of(found[1], wanted)}
    wanted.append(text)
    return {"$ref": f"#/$defs/{text}"}


def main():
    schemas, wanted = {}, list(ROOTS)
    while wanted:
        name = wanted.pop()
        if name in schemas:
            continue
        model = getattr(models, name)
        required = [key for key, field in model.model_fields.items() if field.is_required()]
        schemas[name] = {
            "type": "object",
            "properties": {
                model.attribute_map[key]: type_of(kind, wanted) for key, kind in model.openapi_types.items()
            },
            "additionalProperties": False,
        }
        if required:
            schemas[name]["required"] = sorted({model.attribute_map[key] for key in required})
    document = {
        "$comment": f"Made by tests/kubernetes/schema.py of the PyPI package kubernetes {kubernetes.__version__} (Apache-2.0).",
        "$defs": dict(sorted(schemas.items())),
    }
    json.dump(document, sys.stdout, separators=(",", ":"))
    print()


main()
