"""Installs published servers, each by exact version and each in a folder of its own.

npm packages are installed with npm, Python packages with uv, which shares what they have in common. What a package
depends on is resolved as of `AS_OF`, so that a later run gets the same. No lifecycle script of a package is run, and
only wheels are taken: nothing is built or downloaded beside what the registries hold. A folder that is complete has a
stamp; one without it is made anew. Node.js comes from the peers, since many servers want 22.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / "target" / "sweep"
sys.path.insert(0, str(ROOT / "tests" / "peers"))

from stage import NODE

AS_OF = "2026-11-27T00:00:00Z"
"""No release younger than this is taken for what a server depends on."""

UV = "uv==0.13.8"
_NODE_FOLDER = CACHE / "node"
_STAMP = ".installed"
_uv_lock = threading.Lock()


class InstallError(Exception):
    """A package could not be installed, or has not the program that it should have."""


def folder_of(server):
    """Where a server's package is installed."""
    kind = "npm" if "npm" in server else "pypi"
    return CACHE / kind / server[kind].replace("/", "+").replace("==", "@")


def install(server):
    """Installs what `server` needs; a no-op when it is there."""
    folder = folder_of(server)
    wanted = json.dumps([server.get("npm"), server.get("pypi"), server.get("with"), AS_OF])
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if "npm" in server:
        _install_npm(server["npm"], folder)
    else:
        _install_pypi([server["pypi"], *server.get("with", ())], folder)
    stamp.write_text(wanted)


def _install_npm(package, folder):
    (folder / "package.json").write_text('{"private": true}\n')
    _run("npm", "install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock",
         "--omit=dev", "--loglevel=error", f"--before={AS_OF}", package, cwd=folder)


def _install_pypi(packages, folder):
    uv = _uv()
    _run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder, cwd=folder)
    _run(uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", "--only-binary", ":all:",
         "--exclude-newer", AS_OF, *packages, cwd=folder)


def _uv():
    """The path of uv, installed beside the servers."""
    folder = CACHE / "uv"
    stamp = folder / _STAMP
    with _uv_lock:
        if not (stamp.is_file() and stamp.read_text() == UV):
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", folder, cwd=CACHE)
            _run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", UV, cwd=CACHE)
            stamp.write_text(UV)
    return folder / "bin" / "uv"


def _run(*command, cwd):
    environment = {**os.environ, "UV_CACHE_DIR": str(CACHE / "uv-cache"), "UV_NATIVE_TLS": "1"}
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command)}\n{done.stdout[-1000:]}{done.stderr[-2000:]}")


def program_of(server):
    """The program that starts a server: a script or binary that its package brought."""
    folder = folder_of(server)
    places = [folder / "bin"] if "pypi" in server else [folder / "node_modules" / ".bin", folder / "node_modules"]
    for place in places:
        if (path := place / server["run"]).exists():
            path.chmod(0o755)  # some packages leave that to their install script
            return path
    raise InstallError(f"{server['name']}: {folder} has no program {server['run']}")


def lay_path():
    """Makes the folder that `path_for_children` names."""
    link = _NODE_FOLDER / "node"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(NODE.resolve())


def path_for_children():
    """A PATH with the Node.js of the peers first, and no other program of theirs."""
    return f"{_NODE_FOLDER}:/usr/local/bin:/usr/bin:/bin"
