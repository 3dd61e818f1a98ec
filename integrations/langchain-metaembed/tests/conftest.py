"""The packaged model, loaded once, and a small index over it."""

from __future__ import annotations

import pytest

from langchain_metaembed import MetaEmbedEmbeddings
from metaembed_rag import MetaEmbed, MetaEmbedIndex

TEXTS = {
    "ferry": "The first ferry to Holm leaves at six in the morning.",
    "coffee": "Beans are roasted at 210 degrees for twelve minutes.",
    "solar": "The solar park delivers most of its power in June.",
}


@pytest.fixture(scope="session")
def model() -> MetaEmbed:
    return MetaEmbed.from_pretrained("mini")


@pytest.fixture(scope="session")
def embeddings(model):
    return MetaEmbedEmbeddings(model)


@pytest.fixture
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        opened.add_texts(list(TEXTS.values()), ids=list(TEXTS), metadatas=[{"topic": key} for key in TEXTS])
        yield opened
