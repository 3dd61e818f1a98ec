"""A stand-in of the hub on this machine: the requests of an upload, answered and remembered."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Hub(ThreadingHTTPServer):
    """Attributes: ``repositories`` maps an id to its files, ``refuse`` answers every request with that status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.branches: list[str] = []
        self.tokens: set[str | None] = set()
        self.refuse: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refuse is not None:
            return self._answer({"error": "refused"}, self.server.refuse)
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        _, _, _, owner, name, action, *_ = self.path.split("/")
        if action == "preupload":
            files = json.loads(body)["files"]
            return self._answer({"files": [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in files]})
        if action == "branch":
            self.server.branches.append(self.path.rsplit("/", 1)[-1])
            return self._answer({})
        if action == "commit":
            self.server.branches.append(self.path.rsplit("/", 1)[-1])
            return self._commit(f"{owner}/{name}", [json.loads(line) for line in body.splitlines()])
        return self._answer({"error": f"unknown {self.path}"}, 404)

    def _create(self, wanted: dict[str, Any]) -> None:
        repository = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        self.server.repositories.setdefault(repository, {})
        self.server.private[repository] = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self._answer({"url": f"{self.server.url}/{repository}", "name": repository, "id": repository})

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if line["key"] == "header":
                self.server.messages.append(line["value"]["summary"])
            else:
                content = base64.b64decode(line["value"]["content"])
                self.server.repositories[repository][line["value"]["path"]] = content
        self._answer({"commitUrl": f"{self.server.url}/{repository}/commit/abc", "commitOid": "abc", "success": True})

    def do_GET(self) -> None:
        self._answer({"error": f"unknown {self.path}"}, 404)

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class names it
        """Not to the terminal."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
