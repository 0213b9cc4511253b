"""Many MCP servers (2026-07-28, Streamable HTTP) in one process, each at a path of its own; they only list tools."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "2026-07-28"


class Servers:
    """`tools`: for each server's name, its tools. Leaving the `with` block ends them."""

    def __init__(self, tools):
        self.tools = tools
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = {"jsonrpc": "2.0", "id": request.get("id")}
                if request["method"] == "tools/list":
                    outer.asked += 1
                    server = self.path.strip("/").split("/")[0]
                    answer["result"] = {"resultType": "complete", "tools": outer.tools[server], **HINTS}
                elif request["method"] == "server/discover":
                    answer["result"] = {
                        "resultType": "complete",
                        "supportedVersions": [VERSION],
                        "capabilities": {"tools": {}},
                        **HINTS,
                    }
                else:
                    answer["error"] = {"code": -32601, "message": "no such method"}
                body = json.dumps(answer).encode()
                self.send_response(200 if "result" in answer else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.send_response(405)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            # All servers are asked at once.
            request_queue_size = 1_024
            daemon_threads = True

        self.http = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def config(self):
        """Their entries in the gateway's configuration."""
        base = f"http://127.0.0.1:{self.http.server_address[1]}"
        return {name: {"url": f"{base}/{name}/mcp", "era": "modern"} for name in self.tools}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()


HINTS = {"ttlMs": 3_600_000, "cacheScope": "public"}
