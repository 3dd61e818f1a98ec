"""The packaged model, loaded once, small indexes over it, and a picture with words in it."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

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


def fill(index: MetaEmbedIndex) -> None:
    index.add_texts(list(TEXTS.values()), ids=list(TEXTS), metadatas=[{"topic": key} for key in TEXTS])


@pytest.fixture
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        fill(opened)
        yield opened


@pytest.fixture(scope="module")
def read_index(model):
    """The same for tests that only read."""
    with MetaEmbedIndex(":memory:", model=model) as opened:
        fill(opened)
        yield opened


@pytest.fixture(scope="module")
def local_index(model):
    """The same on the local mode of Qdrant's client."""
    with MetaEmbedIndex(":memory:", engine="local", model=model) as opened:
        fill(opened)
        yield opened


@pytest.fixture(scope="session")
def picture():
    """A small picture that says something about ferries."""
    image = Image.new("RGB", (620, 80), "white")
    ImageDraw.Draw(image).text((20, 20), "The ferry to Holm leaves at six", "black", ImageFont.load_default(32))
    return image
