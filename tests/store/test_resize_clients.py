"""Resizing a collection that several clients of a server have open."""

from __future__ import annotations

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import BudgetError, IndexMismatchError
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.resize import resize

from .conftest import document, open_server
from .test_resize import Encoder, find


@pytest.fixture
def documents():
    return [document(f"d{n}", 2, seed=n) for n in range(12)]


def test_another_client_learns_of_a_resize(server, documents):
    one, two = open_server(server.url), open_server(server.url)
    one.write(documents)
    resize(one, 16, Encoder(documents))
    with pytest.raises(BudgetError, match="search again"):
        find(two)
    assert two.schema.groups == (1, 4, 8, 16)
    two.write([document("new", 1)])
    assert resize(two, 64, Encoder([*documents, document("new", 1)])) == 25
    one.write([document("newer", 1)])
    assert one.schema.groups == (1, 4, 8, 16, 64)
    assert len(find(one)) == 26


def test_a_document_written_across_a_resize_is_refused_rather_than_hidden(server, documents):
    one, two = open_server(server.url), open_server(server.url)
    one.write(documents)
    resize(one, 8, Encoder(documents))
    two.refresh()

    def points():
        yield from document("slow", 2).points
        resize(one, 16, Encoder(documents))

    with pytest.raises(IndexMismatchError, match="write it again"):
        two.write([WriteDocument("slow", "slow", "d", points())])
    assert len(find(two, Budget(8, 16))) == 24
    two.write([document("slow", 2)])
    assert len(find(one, Budget(8, 16))) == 26
