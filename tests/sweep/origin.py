"""Where a server comes from, as its installed files tell: package, version, and what it is built on."""

import json
import re

import packages

_NPM = ("@modelcontextprotocol/server", "@modelcontextprotocol/sdk", "fastmcp", "tmcp", "mcp-framework", "mcp-lite")
_PYPI = ("fastmcp", "chuk-mcp-server", "mcp")
_ELF = b"\x7fELF"
_LARGEST = 400 * 1024 * 1024
_GO_MODULES = (
    (b"github.com/mark3labs/mcp-go", "mcp-go"),
    (b"github.com/modelcontextprotocol/go-sdk", "Go SDK"),
    (b"github.com/metoro-io/mcp-golang", "mcp-golang"),
)


def package_of(server):
    """Name and version."""
    if "npm" in server:
        name, _, version = server["npm"].rpartition("@")
        return f"npm `{name}`", version
    name, _, version = server["pypi"].partition("==")
    return f"PyPI `{name}`", version


def built_on(server):
    """The SDK with its version, or the language of a binary."""
    folder = packages.folder_of(server)
    if "pypi" in server:
        found = _python_sdk(folder)
    else:
        found = _npm_sdk(folder, server)
    return found or _binary(server) or "own implementation"


def _python_sdk(folder):
    for name in _PYPI:
        stem = name.replace("-", "_")
        for place in folder.glob(f"lib/python*/site-packages/{stem}-*.dist-info"):
            return f"Python {name} {place.name.removeprefix(stem + '-').removesuffix('.dist-info')}"
    return None


def _npm_sdk(folder, server):
    modules = folder / "node_modules"
    name = server["npm"].rpartition("@")[0]
    for sdk in _NPM:
        for place in (modules / name / "node_modules" / sdk, modules / sdk):
            if (place / "package.json").is_file():
                version = json.loads((place / "package.json").read_text())["version"]
                return f"TypeScript {sdk.removeprefix('@modelcontextprotocol/')} {version}"
    return None


def _binary(server):
    """What a native program says of itself."""
    program = packages.program_of(server).resolve()
    with open(program, "rb") as file:
        data = file.read(_LARGEST)
    if not data.startswith(_ELF):
        if (match := re.search(rb"@modelcontextprotocol/(sdk|server)", data)) is not None:
            return f"TypeScript {match[1].decode()}, bundled"
        return "JavaScript, bundled" if "npm" in server else None
    for needle, name in _GO_MODULES:
        if needle in data:
            return f"binary, {name}"
    if b"Go buildinf:" in data:
        return "binary, Go"
    if b"rmcp-" in data or b"/rmcp/" in data:
        found = re.search(rb"rmcp-(\d+\.\d+\.\d+)", data)
        return "binary, rmcp" + (f" {found[1].decode()}" if found else "")
    if b"rust_begin_unwind" in data or b"/rustc/" in data:
        return "binary, Rust"
    if b"DOTNET_" in data or b".NET" in data:
        return "binary, C#"
    return "binary"
