"""The packaged model, loaded once, and a small index over it."""

from __future__ import annotations

import pytest

from metaembed_rag import MetaEmbed, MetaEmbedIndex, Page

TEXTS = ["The first ferry to Holm leaves at six in the morning.", "Beans are roasted at 210 degrees."]


@pytest.fixture(scope="session")
def model() -> MetaEmbed:
    return MetaEmbed.from_pretrained("mini")


def fill(index: MetaEmbedIndex) -> None:
    index.add(
        [Page("notes.pdf", number, text, metadata={"year": 2020 + number}) for number, text in enumerate(TEXTS, 1)]
    )
    index.add_texts(
        ["The solar park delivers most power in June."], ids=["solar"], metadatas=[{"tags": ["sun", "power"]}]
    )


@pytest.fixture
def index(model):
    with MetaEmbedIndex(":memory:", model=model) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def stored(model, tmp_path):
    """The path of a closed index."""
    path = tmp_path / "stored.index"
    with MetaEmbedIndex(path, model=model) as opened:
        fill(opened)
    return path
