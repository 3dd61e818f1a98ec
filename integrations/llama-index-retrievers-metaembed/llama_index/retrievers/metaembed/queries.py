"""From a LlamaIndex query bundle to what an index is asked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.retrievers.metaembed.flat import FloatArray, is_query, query_rows, unit_rows
from llama_index.retrievers.metaembed.pictures import open_picture

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    from llama_index.core.schema import QueryBundle

    from metaembed_rag import MetaEmbedIndex
    from metaembed_rag.search.query import Query


def is_text(bundle: QueryBundle) -> bool:
    """Whether ``to_query`` has one text to pass on, and nothing to read or to encode."""
    return bundle.image_path is None and bundle.embedding is None and bundle.embedding_strs == [bundle.query_str]


def with_words(rows: FloatArray, text: str | None) -> Query:
    """Meta Tokens, with the text whose words a hybrid search goes by, if there is one."""
    return {"text": text, "vectors": rows} if text and text.strip() else rows


def to_query(bundle: QueryBundle, index: MetaEmbedIndex) -> Query:
    """What to search for.

    With ``image_path`` the picture there, together with the text if there is one. Else ``embedding``, if a
    MetaEmbedEmbedding made it for a query; one of another model, which other retrievers leave in a bundle they share,
    is of no use. Else ``custom_embedding_strs`` or ``query_str``; the Meta Tokens of several texts are averaged, as
    LlamaIndex averages embeddings. Where words count too, they are those of ``query_str``.

    Raises:
        DocumentError: there is no picture at ``image_path``, or it cannot be read.
        InputError: there is nothing to search for, or several texts with one picture.
    """
    texts = [str(text) for text in bundle.embedding_strs]
    if bundle.image_path is not None:
        if len(texts) > 1:
            raise InputError(
                f"a picture goes with one text, not {len(texts)}: give one query_str or one string in "
                "custom_embedding_strs (HyDEQueryTransform: include_original=False)"
            )
        image = open_picture(bundle.image_path, index.limits)
        return {"text": texts[0], "image": image} if texts and texts[0].strip() else image
    if bundle.embedding is not None and is_query(bundle.embedding, index.model.dim):
        return with_words(query_rows(bundle.embedding, index.model.dim), bundle.query_str)
    if texts == [bundle.query_str] or (len(texts) == 1 and not bundle.query_str.strip()):
        return texts[0]
    if texts:
        return with_words(unit_rows(index.model.encode_queries(texts).mean(axis=0)), bundle.query_str)
    if bundle.embedding is not None:
        raise InputError(
            f"an embedding of {len(bundle.embedding)} numbers is not one that MetaEmbedEmbedding makes of a query with "
            "this index's model; give query_str or image_path"
        )
    raise InputError("there is nothing to search for: give query_str, image_path or custom_embedding_strs")
