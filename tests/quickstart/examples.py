#!/usr/bin/env python3
"""Checks that the example configurations are valid, and that the check would notice if they were not.

    examples.py --bin target/release/portcullis

The files that an example names (certificates, secrets) are made for the occasion. Ends with "N passed, N failed".
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples"
KUBECONFIG = """\
current-context: here
contexts: [{ name: here, context: { cluster: there, user: us } }]
clusters: [{ name: there, cluster: { server: "https://192.0.2.1", certificate-authority: tls/company-ca.pem } }]
users: [{ name: us, user: { token: a-token } }]
"""


def make_certificate(folder, name):
    """A self-signed certificate and its key: good enough to be loaded."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}.example.com", "-addext", f"subjectAltName=DNS:{name}.example.com"]
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)


def check(binary, config):
    """Exit code and output of `serve --check`."""
    command = [binary, "serve", "--config", config, "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CRM_TOKEN": "a-token"})
    return done.returncode, done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release" / "portcullis", help="the gateway")
    options = parser.parse_args()
    problems = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = shutil.copy(EXAMPLES / "production.yaml", folder)
        (folder / "tls").mkdir()
        for name in ("server", "clients-ca", "company-ca", "gateway"):
            make_certificate(folder / "tls", name)
        (folder / "secrets").mkdir()
        for name in ("notebook", "weather"):
            (folder / "secrets" / name).write_text("a-secret\n")

        code, told = check(options.bin, config)
        if code != 0 or "warning" in told:
            problems.append(f"examples/production.yaml is refused or warned of (exit code {code}):\n{told}")
        # Outside of a cluster it says which one.
        (folder / "kubeconfig").write_text(KUBECONFIG)
        cluster = folder / "cluster.yaml"
        text = (EXAMPLES / "kubernetes" / "portcullis.yaml").read_text()
        cluster.write_text(text.replace("\nkubernetes:\n", "\nkubernetes:\n  kubeconfig: kubeconfig\n"))
        code, told = check(options.bin, cluster)
        if code != 0 or "warning" in told:
            problems.append(f"examples/kubernetes/portcullis.yaml is refused or warned of (exit code {code}):\n{told}")
        shutil.copy(EXAMPLES / "toolsets.cedar", folder)
        toolsets = folder / "toolsets.yaml"
        text = (EXAMPLES / "toolsets.yaml").read_text()
        toolsets.write_text(text)
        code, told = check(options.bin, toolsets)
        if code != 0 or "warning" in told:
            problems.append(f"examples/toolsets.yaml is refused or warned of (exit code {code}):\n{told}")
        toolsets.write_text(text.replace("from: time/*", "from: tim/*"))
        code, told = check(options.bin, toolsets)
        if code != 2 or "there is no server `tim`" not in told:
            problems.append(f"a toolset of a server that is not there passes the check (exit code {code}):\n{told}")
        (folder / "tls" / "server.key").write_text("not a key\n")
        code, told = check(options.bin, config)
        if code != 2:
            problems.append(f"a broken key passes the check (exit code {code}):\n{told}")
    for problem in problems:
        print(f"FAILED {problem}")
    print(f"{5 - len(problems)} passed, {len(problems)} failed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
