"""The ground that a server stands on: the same files, an empty home and the same environment for every start.

Paths are the same each time, so that answers which name them can be compared. Everything is made from nothing: a note,
a table, a database, and a repository with one commit of a fixed date.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile

import packages

_KEPT = ("LANG", "LOGNAME", "TZ", "USER")
_COMMITTED = "2026-01-02T03:04:05Z"
_KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {token: none}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
current-context: none
"""


class Ground:
    """Where one server is started."""

    def __init__(self, server, folder):
        self.name = server["name"]
        self._server = server
        self._folder = folder / self.name
        self.home, self.files = self._folder / "home", self._folder / "files"
        self.log = folder / f"{self.name}.log"
        self.command = [str(packages.program_of(server)), *map(self._filled, server.get("args", ()))]

    def _filled(self, text):
        return text.replace("$FILES", str(self.files)).replace("$HOME", str(self.home))

    def _own_environment(self):
        own = {"HOME": str(self.home), "PATH": packages.path_for_children(), "TMPDIR": str(self._folder / "tmp")}
        own["PYTHONHASHSEED"] = "0"  # sets of Python print in the same order each time
        return {**own, **{key: self._filled(value) for key, value in self._server.get("env", {}).items()}}

    def environment(self):
        """The whole environment of a direct start; that of a child of the gateway is the same."""
        kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
        return dict(sorted({**kept, **self._own_environment()}.items()))

    def write_config(self):
        """A configuration with this one server behind the gateway."""
        entry = {
            "command": self.command[0], "args": self.command[1:], "env": self._own_environment(),
            "cwd": str(self.files), "call_timeout": "30s",
        }
        config = self._folder / "portcullis.json"
        config.write_text(json.dumps({"listen": "127.0.0.1:0", "servers": {self.name: entry}}))
        return config

    def reset(self):
        """Everything as at the first start."""
        # Moved away first: what is left of the start before may still write here while it is removed.
        if self._folder.exists():
            old = tempfile.mkdtemp(dir=self._folder.parent)
            self._folder.rename(os.path.join(old, self.name))
            shutil.rmtree(old, ignore_errors=True)
        for folder in (self.home, self.files, self._folder / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.files / "note.txt").write_text("A note.\nalpha\n")
        (self.files / "table.csv").write_text("name,number\nalpha,1\nbeta,2\n")
        (self.files / "kubeconfig").write_text(_KUBECONFIG)
        (self.files / "package.json").write_text('{"name": "sample", "version": "1.0.0"}\n')
        with sqlite3.connect(self.files / "data.db") as database:
            database.execute("CREATE TABLE item (name TEXT, number INTEGER)")
            database.execute("INSERT INTO item VALUES ('alpha', 1)")
        database.close()
        self._make_repository()

    def _make_repository(self):
        folder = self.files / "repository"
        folder.mkdir()
        (folder / "note.txt").write_text("A note.\n")
        who = {"NAME": "A", "EMAIL": "a@example.com", "DATE": _COMMITTED}
        environment = {**self.environment(), "GIT_CONFIG_NOSYSTEM": "1"}
        environment |= {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "First"]):
            subprocess.run(["git", "-C", folder, *command], env=environment, check=True, capture_output=True)
        shutil.rmtree(self.home)
        self.home.mkdir()
