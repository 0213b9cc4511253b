"""Arguments for a tool, made from its input schema alone: always the same ones, and only what is required.

A default, an example or the first choice is taken where there is one; what is named like a path gets a file or folder
that the sweep laid out. Whether a server likes what it gets does not matter here: a refusal is an answer to compare.
"""

import re
from decimal import Decimal

_DEEPEST = 6
_LITERAL = {"city": "Paris", "timezone": "Europe/Paris", "expression": "1+2", "query": "alpha", "sql": "SELECT 1",
            "url": "http://127.0.0.1:9/", "time": "12:30", "date": "2026-01-02", "code": "const a = 1;"}


class Unfillable(Exception):
    """The schema asks for something that cannot be made up."""


def for_schema(schema, files):
    """The arguments; `files` is the folder with the files that may be named."""
    value = _value(schema if isinstance(schema, dict) else {}, "", files, schema, 0)
    return value if isinstance(value, dict) else {}


def _value(schema, name, files, root, depth):
    if depth > _DEEPEST:
        raise Unfillable(name)
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema and schema[key] is not None:
            return schema[key]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], name, files, root, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties") or {}
        required = [key for key in schema.get("required") or () if key in properties]
        return {key: _value(properties[key], key, files, root, depth + 1) for key in required}
    if kind == "array":
        count = schema.get("minItems", 1)
        items = schema.get("items")
        if not isinstance(items, dict) or count > 8:
            return []
        return [_value(items, name, files, root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return _number(schema, kind)
    if kind == "boolean":
        return False
    if kind == "null":
        return None
    return _text(schema, name, files)


def _resolved(schema, root):
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found = root
    for part in reference[2:].split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _number(schema, kind):
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    number = 3 if low is None or low < 3 else int(low) + 1
    if high is not None and number > high:
        number = int(high)
    return number if kind == "integer" else float(Decimal(number))


def _text(schema, name, files):
    lower = name.lower()
    if lower in _LITERAL:
        return _LITERAL[lower]
    if "repo" in lower:
        return str(files / "repository")
    if re.search(r"dir|folder|root|cwd", lower):
        return str(files)
    if re.search(r"path|file", lower):
        return str(files / "note.txt")
    if schema.get("format") == "uri" or "url" in lower or "uri" in lower:
        return _LITERAL["url"]
    if schema.get("format") == "date-time":
        return "2026-01-02T03:04:05Z"
    if "zone" in lower:
        return _LITERAL["timezone"]
    return "alpha".ljust(schema.get("minLength", 0), "a")[: schema.get("maxLength", 64)]
