"""ServerOptions: how a collection is spread and held on a Qdrant server or cluster, and how calls reach it."""

from __future__ import annotations

from dataclasses import dataclass

from metaembed_rag.errors import InputError


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What only a server has. The first five are fixed when the collection is made.

    Attributes:
        shard_number: parts of the collection, spread over the nodes; None leaves it to the server.
        replication_factor: copies of each part.
        write_consistency_factor: copies that must have a write before it is acknowledged.
        on_disk: read vectors from disk when needed and keep only 4 bit codes (of precision "4bit") and the
            graph of the first tokens in memory; otherwise all of them are held in memory.
        on_disk_payload: the same for texts and metadata; None leaves it to the server.
        uploads: requests in flight while documents are written.
        batch_bytes: bytes of vectors and text in one upload. A REST body holds 32 MB and a gRPC message 64 MB by the
            server's defaults; a float of 4 bytes takes up to 21 characters of JSON, so 4 MiB fit both.
        timeout: seconds a call may take.
        patience: seconds for which a call is tried again while the server cannot be reached, as while a
            node restarts.
    """

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    on_disk: bool = False
    on_disk_payload: bool | None = None
    uploads: int = 4
    batch_bytes: int = 4 << 20
    timeout: int = 60
    patience: float = 30.0

    def __post_init__(self) -> None:
        for name in ("shard_number", "replication_factor", "write_consistency_factor"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("uploads", "batch_bytes", "timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.patience < 0:
            raise InputError(f"patience must be seconds of at least 0, not {self.patience!r}")
        if (self.write_consistency_factor or 1) > (self.replication_factor or 1):
            raise InputError(
                f"write_consistency_factor={self.write_consistency_factor} asks for more copies than "
                f"replication_factor={self.replication_factor} makes"
            )
