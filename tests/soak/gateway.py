"""The gateway as a process under test, and the one request that is sent to it."""

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")
VERSION = "2026-07-28"


def child(round_id, brood, **settings):
    """The configuration of one stdio server; its processes carry SOAK_ROUND=`round_id`."""
    env = {"SOAK_ROUND": round_id, "SOAK_BROOD": "1" if brood else "0"}
    arguments = ["-S", "-E", str(CHILD)]
    return {"command": sys.executable, "args": arguments, "env": env, "era": "legacy", **settings}


class Gateway:
    """A running gateway; leaving the `with` block stops it, if it still runs."""

    def __init__(self, program, folder, servers, marker, **settings):
        config = Path(folder) / "portcullis.json"
        config.write_text(json.dumps({"listen": "127.0.0.1:0", "servers": servers, **settings}))
        self.log = Path(folder) / "portcullis.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [os.path.abspath(program), "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, "SOAK_GATEWAY": marker},
            )
        try:
            self.host, self.port = self._address()
        except BaseException:
            self.stop()
            raise

    def _address(self):
        """Reads the endpoint from standard output, and reads on so that the pipe never fills."""
        lines = queue.Queue()

        def read():
            for line in self.process.stdout:
                lines.put(line.decode(errors="replace"))
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            while (line := lines.get(timeout=30)) is not None:
                if found := re.search(r"http://([^/\s:]+):(\d+)/mcp", line):
                    return found[1], int(found[2])
        except queue.Empty:
            raise RuntimeError(f"the gateway printed no endpoint within 30 s:\n{self.tail()}") from None
        raise RuntimeError(f"the gateway ended before it listened:\n{self.tail()}")

    @property
    def pid(self):
        """The gateway's own process id."""
        return self.process.pid

    def tail(self):
        """The end of the gateway's log, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def whoami(self, server):
        """Calls the tool `whoami` of a server and returns its answer, {"pid", "grandchild"}.

        One connection for each call, closed afterwards: the gateway's open files must not depend on ours.
        Raises OSError or http.client.HTTPException when there is no answer, ValueError when it is wrong.
        """
        meta = {
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": "whoami", "arguments": {}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "whoami",
        }
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request("POST", f"/mcp/s/{server}", body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(f"HTTP status {response.status}: {text[:300]}")
        if response.headers.get_content_type() == "text/event-stream":
            text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
        message = json.loads(text)
        if message.get("id") != 1 or "result" not in message or message["result"].get("isError"):
            raise ValueError(f"not the answer: {text[:300]}")
        return json.loads(message["result"]["content"][0]["text"])

    def kill(self):
        """`kill -9`, and reaps."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM, patience, SIGKILL. Returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
