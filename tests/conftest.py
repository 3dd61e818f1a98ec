"""What tests of several rooms share: the shipped model, loaded once, and an empty index on either engine."""

from __future__ import annotations

import pytest

from metaembed_rag import MetaEmbed, MetaEmbedIndex


@pytest.fixture(scope="session")
def model():
    return MetaEmbed.from_pretrained("mini")


@pytest.fixture(params=["edge", "local"])
def index(request, model, tmp_path):
    with MetaEmbedIndex(tmp_path / "test.index", engine=request.param, model=model) as opened:
        yield opened
