"""A registry of npm and an index of PyPI on loopback, made of what SHELF says: read anew for each request, so that a test can
publish, and put other bytes under a version that is there.

    python3 index.py SHELF

SHELF is JSON: `{"npm": [{"manifest": {…}, "files": {PATH: TEXT}, "links": {PATH: TARGET}}], "pypi": [{"name", "version", "requires":
[…], "scripts": {NAME: "module:function"}, "files": {PATH: TEXT}}]}`. Prints the port, then a line for each file that was fetched,
with its SHA-256.
"""

import base64
import hashlib
import http.server
import io
import json
import sys
import tarfile
import urllib.parse
import zipfile


def tarball(package):
    """What `npm publish` uploads."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        files = {"package.json": json.dumps(package["manifest"]), **package.get("files", {})}
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size, member.mode = len(text.encode()), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
        for path, target in package.get("links", {}).items():
            member = tarfile.TarInfo(f"package/{path}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    # The time of the compression, which is in its head.
    data = bytearray(out.getvalue())
    data[4:8] = bytes(4)
    return bytes(data)


def wheel(package):
    name, version = package["name"].replace("-", "_"), package["version"]
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {it}\n" for it in package.get("requires", []))
    scripts = "".join(f"{name} = {at}\n" for name, at in package.get("scripts", {}).items())
    files = {
        **package.get("files", {}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package['name']}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), text)
    return f"{name}-{version}-py3-none-any.whl", out.getvalue()


class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1]) as file:
            shelf = json.load(file)
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/")
        kind, _, rest = path.partition("/")
        if kind == "npm":
            self.npm(shelf["npm"], rest)
        else:
            self.pypi(shelf["pypi"], rest)

    do_HEAD = do_GET

    def npm(self, shelf, path):
        name, _, file = path.partition("/-/")
        versions = [it for it in shelf if it["manifest"]["name"] == name]
        if file:
            found = [it for it in versions if file == f"{it['manifest']['version']}.tgz"]
            return self.file(path, tarball(found[0])) if found else self.answer(404, b"{}")
        if not versions:
            return self.answer(404, b"{}")
        told = {}
        for it in versions:
            data, manifest = tarball(it), it["manifest"]
            digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
            host = self.headers["host"]
            where = f"http://{host}/npm/{name}/-/{manifest['version']}.tgz"
            scripts = {"hasInstallScript": True} if "scripts" in manifest else {}
            dist = {"tarball": where, "integrity": f"sha512-{digest}", "shasum": hashlib.sha1(data).hexdigest()}
            told[manifest["version"]] = {**manifest, **scripts, "dist": dist}
        latest = versions[-1]["manifest"]["version"]
        self.answer(200, json.dumps({"name": name, "dist-tags": {"latest": latest}, "versions": told}).encode())

    def pypi(self, shelf, path):
        wheels = {it["name"]: [] for it in shelf}
        for it in shelf:
            wheels[it["name"]].append(wheel(it))
        parts = path.split("/")
        if parts[0] == "files":
            found = [data for all in wheels.values() for name, data in all if name == parts[-1]]
            return self.file(path, found[0]) if found else self.answer(404, b"")
        if parts[-1] not in wheels:
            return self.answer(404, b"")
        link = lambda name, data: f'<a href="../../files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
        page = "<!DOCTYPE html><html><body>" + "".join(link(*it) for it in wheels[parts[-1]]) + "</body></html>"
        self.answer(200, page.encode(), "text/html")

    def file(self, path, data):
        if self.command != "HEAD":
            print(path, hashlib.sha256(data).hexdigest(), flush=True)
        self.answer(200, data, "application/octet-stream")

    def answer(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
print(server.server_port, flush=True)
server.serve_forever()
