"""What a sweep found, for the terminal and for docs/compatibility.md.

The page has one section for each program that writes to it, between two comments; a run replaces its own and leaves the
rest alone.
"""

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import origin
from wire import LEGACY, MODERN

_TITLE = "# Compatibility\n\nMade by the runs that each section names; not written by hand.\n"


@dataclass
class Row:
    """One server: what was seen directly, why an era was not reached, and what comparing said."""

    server: dict
    plan: list = None
    direct: dict = field(default_factory=dict)
    again: dict = field(default_factory=dict)
    unreachable: dict = field(default_factory=dict)
    refused: dict = field(default_factory=dict)
    verdicts: dict = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0

    @property
    def passed(self):
        """Both clients got through, and nothing differs without an explanation."""
        through = len(self.verdicts) == 2 and not self.refused and not self.problem
        return through and not any(verdict.faults for verdict in self.verdicts.values())

    @property
    def era(self):
        if len(self.direct) == 2:
            return "both"
        return next(iter(self.direct), "none")


def line(row):
    """A line for the terminal, and one for each fault."""
    words = [f"{row.server['name']:20} {row.era:7} {_offers(row):12}"]
    words += [f"{era} {_cell(row, era)}" for era in (LEGACY, MODERN)]
    lines = [f"{' | '.join(words)}  {'ok' if row.passed else 'FAIL'} ({row.seconds:.0f} s)"]
    if row.problem:
        lines.append(f"    {row.problem[:1500]}")
    lines += [f"    {era}: refused: {reason}" for era, reason in row.refused.items()]
    lines += [f"    {era}: {fault}" for era, verdict in row.verdicts.items() for fault in verdict.faults]
    return "\n".join(lines)


def _offers(row):
    sight = next(iter(row.direct.values()), None)
    if sight is None:
        return "–"
    keys = ("tools", "resources", "resourceTemplates", "prompts")
    return " / ".join("–" if sight.lists.get(key) is None else str(len(sight.items(key))) for key in keys)


def _cell(row, era):
    """How a client of `era` fared through the gateway."""
    if era in row.refused:
        return f"refused: {row.refused[era]}"
    verdict = row.verdicts.get(era)
    if verdict is None:
        return "not run"
    parts = [f"{verdict.same} same"] if verdict.same else []
    if verdict.translated:
        parts.append(f"{verdict.translated} translated")
    if verdict.faults:
        parts.append(f"**{len(verdict.faults)} differ**")
    return ", ".join(parts)


def _directly(row, era):
    if era in row.direct:
        return "works"
    return f"no ({_plain(row.unreachable.get(era, 'not tried'))})"


def _difference(row):
    notes = []
    for era in (LEGACY, MODERN):
        if era in row.verdicts and era not in row.direct:
            notes.append(f"a {era} client cannot use it directly; through the gateway it can")
    varying = max((verdict.varying for verdict in row.verdicts.values()), default=0)
    silent = max((verdict.silent for verdict in row.verdicts.values()), default=0)
    if varying:
        notes.append(f"{varying} answers differ between two direct runs too: compared by kind only")
    if silent:
        notes.append(f"{silent} calls get no answer directly either")
    for verdict in row.verdicts.values():
        notes += [note for note in verdict.notes if note not in notes]
    undeclared = sorted({word for verdict in row.verdicts.values() for word in verdict.undeclared})
    if undeclared:
        notes.append(f"the gateway does not declare {', '.join(undeclared)}")
    for era, verdict in row.verdicts.items():
        notes += [f"**{era}: {_plain(fault)}**" for fault in verdict.faults]
    return "; ".join(notes) or "none"


def _plain(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def write(path, rows, binary, command):
    """Writes the section of the sweep."""
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    compared = sum(verdict.compared for row in rows for verdict in row.verdicts.values())
    faults = sum(len(verdict.faults) for row in rows for verdict in row.verdicts.values())
    only = sum(era not in row.direct for row in rows for era in row.verdicts)
    eras = {era: sum(row.era == era for row in rows) for era in (LEGACY, MODERN, "both")}
    lines = [
        "## Published servers",
        "",
        f"Made by `make {command}` on {time.strftime('%Y-%m-%d', time.gmtime())}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, Portcullis {version}.",
        "",
        f"{len(rows)} servers from npm and PyPI ({eras[LEGACY]} speak the legacy era only, {eras[MODERN]} the modern one "
        f"only, {eras['both']} both), each driven by a client of each era, directly over stdio and through "
        f"`/mcp/s/{{server}}`. {compared} things were compared: what the server says of itself, its whole lists, reads, "
        f"prompts, completions, calls of tools that only read, and refusals of what does not exist. {faults} differ "
        f"without an explanation. {only} times the gateway makes a client work that cannot use the server directly.",
        "",
        "*Same* is equal after canonical JSON to what the client gets directly. *Translated* is equal to what a client of "
        "the other era gets directly, after the translation of [eras](concept/eras.md).",
        "",
        "| server | version | built on | era | tools / resources / templates / prompts | legacy, directly | legacy, gateway "
        "| modern, directly | modern, gateway | difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        package, version = origin.package_of(row.server)
        cells = [package, version, origin.built_on(row.server), row.era, _offers(row)]
        for era in (LEGACY, MODERN):
            cells += [_directly(row, era), _cell(row, era) or "–"]
        lines.append(f"| {' | '.join([*cells, row.problem and _plain(row.problem) or _difference(row)])} |")
    replace_section(path, "sweep", "\n".join(lines))


def replace_section(path, name, text):
    """Replaces what stands between the two comments of `name`, or appends it."""
    path = Path(path)
    page = path.read_text() if path.exists() else _TITLE
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text}\n{end}"
    if begin in page:
        page = re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: section, page, flags=re.S)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    path.write_text(page)
