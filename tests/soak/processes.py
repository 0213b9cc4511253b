"""What runs on this machine, from /proc: the only witness that cannot be talked into "all gone".

A process is named by its id and its start time together, because ids are used again.
"""

import os
import time
from typing import NamedTuple


class Process(NamedTuple):
    """One process at one moment."""

    pid: int
    started: int
    """Clock ticks after boot."""


class Stat(NamedTuple):
    """What /proc/PID/stat says of a process."""

    process: Process
    parent: int
    state: str


def stat(pid):
    """The state of a process, or None when there is none of that id."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold blanks and parentheses; what follows its last ")" is field 3 of proc(5) onwards.
    fields = text[text.rindex(")") + 1 :].split()
    return Stat(Process(pid, int(fields[19])), int(fields[1]), fields[0])


def all_stats():
    """The state of every process."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [found for found in map(stat, pids) if found]


def descendants(root):
    """All processes under `root`, zombies included, without `root` itself."""
    stats, tree = all_stats(), [root]
    for parent in tree:
        tree.extend(entry.process.pid for entry in stats if entry.parent == parent)
    return [entry for entry in stats if entry.process.pid in tree[1:]]


def alive(process):
    """Whether this very process still runs; a zombie does not."""
    found = stat(process.pid)
    return found is not None and found.process == process and found.state not in "ZX"


def marked(*markers):
    """The living processes whose environment holds one of the `NAME=value` markers."""
    wanted, found = {marker.encode() for marker in markers}, []
    for entry in all_stats():
        try:
            with open(f"/proc/{entry.process.pid}/environ", "rb") as file:
                if wanted & set(file.read().split(b"\0")) and entry.state not in "ZX":
                    found.append(entry.process)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def open_files(pid):
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def describe(process):
    """A process for an error message."""
    try:
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            command = " ".join(file.read().replace(b"\0", b" ").decode(errors="replace").split())
    except (FileNotFoundError, ProcessLookupError):
        command = "gone by now"
    return f"{process.pid} ({command[:120]})"


def until(condition, deadline):
    """Looks until `condition()` is falsy or `deadline` seconds have passed; returns what it was last.

    There is no event for "no process carries this marker", so this looks every 20 ms.
    """
    end = time.monotonic() + deadline
    while (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found
