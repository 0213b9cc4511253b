"""Which runs of the suite the parts of the comparison consist of."""

from dataclasses import dataclass

from suite import EXTENSION, LEGACY, MARCH, MODERN, SKILLS, TASKS

SDKS = ("typescript", "python")
"""Whose reference servers the versions are compared with."""

SERVERS = {
    "http": ("http",),
    "stdio": ("stdio",),
    "legacy": ("http", "--era", "legacy"),
    "modern": ("http", "--era", "modern"),
    "legacy-stdio": ("stdio", "--era", "legacy"),
    "modern-stdio": ("stdio", "--era", "modern"),
}
"""How a reference server can stand behind the gateway: its transport, and what it is told."""

_BOTH = (LEGACY, MODERN)
_CROSSINGS = (("legacy", MODERN), ("modern", LEGACY), ("legacy-stdio", MODERN), ("modern-stdio", LEGACY))


@dataclass(frozen=True)
class Trial:
    """One run of the suite. `kind` is whose server, `client` or `authorization`; `behind` is what stands behind the gateway, or
    `direct` when there is none; `version` may also be an extension."""

    kind: str
    behind: str
    version: str

    @property
    def name(self):
        return f"{self.kind}-{self.behind}-{self.version}"


_PARTS = {
    "direct": [Trial(sdk, "direct", version) for sdk in SDKS for version in _BOTH],
    "http": [Trial(sdk, "http", version) for sdk in SDKS for version in _BOTH],
    "stdio": [Trial(sdk, "stdio", version) for sdk in SDKS for version in _BOTH],
    "crossings": [Trial(sdk, behind, version) for sdk in SDKS for behind, version in _CROSSINGS],
    "tasks": [Trial("tasks", behind, TASKS) for behind in ("http", "stdio")],
    "skills": [Trial("typescript", behind, SKILLS) for behind in ("http", "stdio")],
    "client": [Trial("client", "mock", version) for version in _BOTH],
    "authorization": [Trial("authorization", "mock", version) for version in (MARCH, *_BOTH, EXTENSION)],
}
PARTS = tuple(_PARTS)


def trials_of(part):
    return _PARTS[part]
