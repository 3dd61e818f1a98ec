"""How a schema is laid out in a collection of qdrant-client: named vectors, graphs, codes, payload indexes."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.schema import INDEXED_FIELDS, TENANT_FIELD, WORDS, Schema, vector_name

#: See ``edge.py``: eight bit codes need no originals.
_DATATYPES = {
    "f32": None,
    "f16": models.Datatype.FLOAT16,
    "int8": models.Datatype.TURBO8,
    "4bit": models.Datatype.TURBO8,
}
#: First releases of the server that know these.
PRECISION_SINCE: dict[str, tuple[int, int]] = {"int8": (1, 20), "4bit": (1, 20)}


def vectors_config(schema: Schema, options: ServerOptions) -> dict[str, models.VectorParams]:
    """Named vectors with all their settings."""
    return {
        vector_name(group): models.VectorParams(
            size=schema.dim,
            distance=models.Distance.DOT,
            multivector_config=_multivector(group),
            hnsw_config=_graph(schema, group),
            quantization_config=_codes(schema),
            datatype=_DATATYPES[schema.precision],
            on_disk=options.on_disk or None,
        )
        for group in schema.written
    }


def words_config(schema: Schema) -> dict[str, models.SparseVectorParams] | None:
    """The sparse vector of words, where there is one: the engine knows how rare each is in the collection."""
    return {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)} if schema.words else None


def new_vector(schema: Schema, group: int) -> models.DenseVectorNameConfig:
    """A named vector added to a collection in use; its further settings follow by ``new_settings``."""
    datatype = _DATATYPES[schema.precision]
    return models.DenseVectorNameConfig(
        dense=models.DenseVectorConfig(
            size=schema.dim,
            distance=models.Distance.DOT,
            multivector_config=_multivector(group),
            datatype=None if datatype is None else models.VectorStorageDatatype(datatype.value),
        )
    )


def new_settings(schema: Schema, group: int, options: ServerOptions) -> models.VectorParamsDiff:
    """What ``new_vector`` cannot say."""
    return models.VectorParamsDiff(
        hnsw_config=_graph(schema, group), quantization_config=_codes(schema), on_disk=options.on_disk or None
    )


def spread(options: ServerOptions) -> dict[str, Any]:
    """Arguments of ``create_collection`` beside its vectors; a server's defaults are left out."""
    arguments = {
        "shard_number": options.shard_number,
        "replication_factor": options.replication_factor,
        "write_consistency_factor": options.write_consistency_factor,
        "on_disk_payload": options.on_disk_payload,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def payload_indexes(schema: Schema) -> dict[str, models.PayloadSchemaType | models.KeywordIndexParams]:
    """Payload fields with an index. A tenant's points are stored next to each other."""
    indexes: dict[str, models.PayloadSchemaType | models.KeywordIndexParams] = dict.fromkeys(
        INDEXED_FIELDS, models.PayloadSchemaType.KEYWORD
    )
    if schema.tenants:
        indexes[TENANT_FIELD] = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return indexes


def _multivector(group: int) -> models.MultiVectorConfig | None:
    return None if group == 1 else models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)


def _graph(schema: Schema, group: int) -> models.HnswConfigDiff:
    if group > 1:
        return models.HnswConfigDiff(m=0)
    if schema.tenants:
        # One graph a tenant: no search crosses them.
        return models.HnswConfigDiff(m=0, payload_m=schema.hnsw_m, ef_construct=schema.hnsw_ef_construct)
    return models.HnswConfigDiff(m=schema.hnsw_m, ef_construct=schema.hnsw_ef_construct)


def _codes(schema: Schema) -> models.TurboQuantization | None:
    if schema.precision != "4bit":
        return None
    return models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
    )
