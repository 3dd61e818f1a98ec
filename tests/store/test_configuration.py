"""The arguments that open an index again: enough to do it, and nothing secret."""

from __future__ import annotations

import json

import pytest

from metaembed_rag import MetaEmbedIndex

from .loopback import Loopback


def test_a_folder_opens_again(model, tmp_path):
    for engine in ("edge", "local"):
        with MetaEmbedIndex(tmp_path / engine, engine=engine, collection="reports", model=model) as index:
            index.add_texts(["The ferry leaves at six."], ids=["ferry"])
            written = json.dumps(index.configuration())
        with MetaEmbedIndex(**json.loads(written)) as again:
            assert [hit.id for hit in again.get(["ferry"])] == ["ferry"]
            assert json.dumps(again.configuration()) == written


def test_a_tenant_stays_one(model, tmp_path):
    with MetaEmbedIndex(tmp_path / "shared", tenant="north", model=model) as index:
        index.add_texts(["The ferry leaves at six."], ids=["ferry"])
        written = index.configuration()
    with MetaEmbedIndex(**written) as again:
        assert again.info()["tenant"] == "north"
        assert [hit.id for hit in again.get(["ferry"])] == ["ferry"]


def test_what_is_in_memory_does_not():
    with MetaEmbedIndex(":memory:") as index:
        assert index.configuration() is None


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server_goes_by_its_address_without_user_or_key(server: Loopback, monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "secret-of-the-environment")
    with MetaEmbedIndex(url=server.url, collection="reports", api_key="secret-argument") as index:
        assert index.configuration() == {"url": server.url, "collection": "reports", "model": "mini"}
        assert "secret" not in repr(index)
    named = server.url.replace("http://", "http://user:secret-word@") + "?api-key=secret"
    with MetaEmbedIndex(url=named, collection="reports") as index:
        assert index.configuration() == {"url": server.url, "collection": "reports", "model": "mini"}
