"""A model hub on 127.0.0.1 with just the endpoints that fetching a snapshot needs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LoopbackHub:
    """Serves `repositories`, {id: {file name: content}}, at revision main.

    `GATED` repositories answer 403; `requests` records (method, path, Authorization header).
    """

    GATED = "org/gated"

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        self.repositories = repositories
        self.requests: list[tuple[str, str, str | None]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self)

            def do_GET(self) -> None:
                hub.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append((request.command, path, request.headers.get("Authorization")))
        api = re.fullmatch(r"/api/models/(?P<id>.+?)(/(?P<what>revision|tree)/(?P<revision>[^/]+))?", path)
        file = re.fullmatch(r"/(?P<id>.+?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)", path)
        match = api or file
        files = self.repositories.get(match["id"]) if match else None
        if match is None or files is None:
            self.refuse(request, 404, "RepoNotFound")
        elif match["id"] == self.GATED:
            self.refuse(request, 403, "GatedRepo")
        elif match["revision"] not in (None, "main", COMMIT):
            self.refuse(request, 404, "RevisionNotFound")
        elif file:
            self.send(request, files[file["name"]])
        elif match["what"] == "tree":
            tree = [{"type": "file", "path": n, "size": len(c), "oid": sha1(c)} for n, c in files.items()]
            self.send(request, json.dumps(tree).encode())
        else:
            siblings = [{"rfilename": name} for name in files]
            info = {
                "_id": "1",
                "id": match["id"],
                "modelId": match["id"],
                "sha": COMMIT,
                "siblings": siblings,
            }
            self.send(request, json.dumps(info).encode())

    def send(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        request.send_response(200)
        request.send_header("ETag", f'"{sha1(content)}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    def refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
