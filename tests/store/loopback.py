"""A server on this machine that speaks Qdrant's REST interface, answered by qdrant-client's own in-memory engine.

No Qdrant server can be installed by pip, so this is as near as the tests come to one: every request crosses HTTP as
JSON and is parsed by Qdrant's own models, so what the client sends must be what a server understands.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client import QdrantClient, models

Answer = Callable[..., Any]


def _upsert(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.upsert(name, models.PointsList(**body).points)


def _create(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.CreateCollection(**body)
    return client.create_collection(name, vectors_config=wanted.vectors, sparse_vectors_config=wanted.sparse_vectors)


def _update(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.update_collection(name, vectors_config=models.UpdateCollection(**body).vectors)


def _create_vector(client: QdrantClient, name: str, body: dict[str, Any], vector: str) -> Any:
    return client.create_vector_name(name, vector, models.DenseVectorNameConfig(**body))


def _drop_vector(client: QdrantClient, name: str, _: dict[str, Any], vector: str) -> Any:
    return client.delete_vector_name(name, vector)


def _update_vectors(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return client.update_vectors(name, models.UpdateVectors(**body).points)


def _set_payload(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.SetPayload(**body)
    return client.set_payload(name, wanted.payload, points=wanted.points)


def _delete(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    kind = models.FilterSelector if "filter" in body else models.PointIdsList
    return client.delete(name, kind(**body))


def _retrieve(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.PointRequest(**body)
    return client.retrieve(name, wanted.ids, with_payload=wanted.with_payload, with_vectors=wanted.with_vector)


def _scroll(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.ScrollRequest(**body)
    points, offset = client.scroll(
        name,
        scroll_filter=wanted.filter,
        limit=wanted.limit or 10,
        offset=wanted.offset,
        with_payload=wanted.with_payload,
        with_vectors=wanted.with_vector or False,
    )
    return models.ScrollResult(points=points, next_page_offset=offset)


def _count(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    wanted = models.CountRequest(**body)
    return client.count(name, count_filter=wanted.filter)


def _query(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return _answer(client, name, models.QueryRequest(**body))


def _query_batch(client: QdrantClient, name: str, body: dict[str, Any]) -> Any:
    return [_answer(client, name, wanted) for wanted in models.QueryRequestBatch(**body).searches]


def _answer(client: QdrantClient, name: str, wanted: models.QueryRequest) -> Any:
    return client.query_points(
        name,
        query=wanted.query,
        using=wanted.using,
        prefetch=wanted.prefetch,
        query_filter=wanted.filter,
        limit=wanted.limit or 10,
        with_payload=wanted.with_payload,
    )


def _describe(client: QdrantClient, name: str, _: dict[str, Any]) -> Any:
    return client.get_collection(name)


_ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", "exists"): lambda client, name, _: models.CollectionExistence(exists=client.collection_exists(name)),
    ("GET", ""): _describe,
    ("PUT", ""): _create,
    ("PATCH", ""): _update,
    ("PUT", "vectors/*"): _create_vector,
    ("DELETE", "vectors/*"): _drop_vector,
    ("PUT", "points/vectors"): _update_vectors,
    ("PUT", "index"): lambda *_: models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED),
    ("PUT", "points"): _upsert,
    ("POST", "points"): _retrieve,
    ("POST", "points/payload"): _set_payload,
    ("POST", "points/delete"): _delete,
    ("POST", "points/scroll"): _scroll,
    ("POST", "points/count"): _count,
    ("POST", "points/query"): _query,
    ("POST", "points/query/batch"): _query_batch,
}


class Loopback(ThreadingHTTPServer):
    """See the module docstring.

    Attributes:
        api_key: refused with 401 unless it comes with every request; None asks for none.
        failures: statuses of the next requests, before anything is answered again.
        requests: method and path of each request.
        version: what it says it is.
        bodies: of the requests that changed something, by method and path.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.api_key: str | None = None
        self.failures: list[int] = []
        self.requests: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        self.version = "1.20.0"
        self.client = QdrantClient(":memory:")
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Loopback

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.split("?")[0].strip("/")
        with self.server.lock:
            self.server.requests.append(f"{self.command} {path}")
            if self.command in ("PUT", "PATCH"):
                self.server.bodies[f"{self.command} {path}"] = body
            if self.server.api_key is not None and self.headers.get("api-key") != self.server.api_key:
                return self._send(401, {"status": {"error": "Must provide an API key"}})
            if self.server.failures:
                return self._send(self.server.failures.pop(0), {"status": {"error": "not now"}})
            if not path:
                return self._send(200, {"title": "qdrant", "version": self.server.version})
            _, name, *rest = path.split("/")
            named = [rest.pop()] if rest[:1] == ["vectors"] else []
            try:
                answer = _ANSWERS[self.command, "/".join([*rest, *("*" for _ in named)])]
                result = answer(self.server.client, name, body, *named)
            except (KeyError, ValueError) as error:
                return self._send(400, {"status": {"error": repr(error)}})
        return self._send(200, {"result": _plain(result), "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return None


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(item) for item in result]
    return result.model_dump(mode="json") if hasattr(result, "model_dump") else result


@contextmanager
def loopback() -> Iterator[Loopback]:
    """A server that runs until the block ends."""
    server = Loopback()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
