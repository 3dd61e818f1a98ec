"""What a store takes in: texts and documents by id, pictures, the indexing API."""

from __future__ import annotations

import base64

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex
from langchain_core.indexing import index as index_documents

from langchain_metaembed import MetaEmbedEmbeddings, MetaEmbedLoader, MetaEmbedVectorStore, draw_page
from langchain_metaembed.pictures import picture_id
from metaembed_rag import MetaEmbedIndex, Page
from metaembed_rag.errors import InputError


@pytest.fixture
def store(index):
    return MetaEmbedVectorStore(index)


def held(store, *sources):
    return sorted(
        hit.text for source in sources for hit in store.index.search("x", top_k=99, filter={"source": source})
    )


async def test_documents_are_added_replaced_and_deleted_by_id(store):
    documents = [Document(page_content=text, metadata={"n": n}) for n, text in enumerate(("one", "two", "three"))]
    ids = store.add_documents(documents, ids=["1", "2", "3"], batch_size=2)
    assert ids == ["1", "2", "3"]
    assert await store.aadd_documents([Document(page_content="zwei", id="2")]) == ["2"]
    assert [(found.page_content, found.metadata) for found in await store.aget_by_ids(["2", "9", "1"])] == [
        ("zwei", {}),
        ("one", {"n": 0}),
    ]
    assert await store.adelete(["1", "9"]) is True
    assert store.delete(["2"]) is True
    assert [found.id for found in store.get_by_ids(ids)] == ["3"]
    more = await store.aadd_texts(["four", "five"], [{"n": 4}, {"n": 5}], batch_size=1)
    assert [found.metadata for found in store.get_by_ids(more)] == [{"n": 4}, {"n": 5}]


async def test_stores_are_made_from_texts_and_documents(model, tmp_path):
    embedding = MetaEmbedEmbeddings(model)
    with MetaEmbedVectorStore.from_texts(
        ["ferries", "coffee"], embedding, [{"a": 1}, {"a": 2}], ids=["f", "c"]
    ) as store:
        assert store.similarity_search("boats", k=1, budget=4) == [
            Document(page_content="ferries", metadata={"a": 1}, id="f")
        ]
    documents = [Document(page_content="ferries", id="f"), Document(page_content="coffee", id="c")]
    path = tmp_path / "made.index"
    made = await MetaEmbedVectorStore.afrom_documents(documents, embedding, index=path, latency_ms=500)
    with made:
        assert (made.budget, made.latency_ms) == (None, 500)
        assert sorted(found.id for found in made.get_by_ids(["c", "f"])) == ["c", "f"]
    with pytest.raises(InputError), MetaEmbedVectorStore.from_texts(["a", "b"], embedding, ids=["x"], index=path):
        pass
    with MetaEmbedIndex(path, model=model) as index:
        assert len(index) == 2, "a store that could not be filled let go of its index"


def test_pictures_are_pages_or_texts_with_ids_of_their_own(store, picture, tmp_path):
    path = tmp_path / "page.png"
    picture.save(path)
    ids = store.add_images([path, picture], [{"from": "file"}, {"from": "memory"}])
    file, memory = store.get_by_ids(ids)
    assert file.metadata == {"from": "file", "source": str(path), "page": 1}
    assert memory.metadata == {"from": "memory"}
    assert memory.id == picture_id(picture)
    assert "Holm" in file.page_content
    assert memory.page_content == file.page_content
    assert draw_page(file).size == picture.size
    assert store.similarity_search("boats to Holm", k=1, filter={"from": "memory"}) == [memory]


async def test_pictures_are_added_asynchronously(store, picture, tmp_path):
    picture.save(tmp_path / "page.png")
    content = base64.b64encode((tmp_path / "page.png").read_bytes()).decode()
    given = [(tmp_path / "page.png").as_uri(), f"data:image/png;base64,{content}", picture]
    ids = await store.aadd_images(given, ids=[None, None, "mine"], ocr="never")
    assert ids[1:] == [picture_id(picture), "mine"]
    assert [found.page_content for found in store.get_by_ids(ids)] == ["", "", ""]


def pages(*texts, source="a.pdf"):
    return [
        Document(page_content=text, metadata={"source": source, "page": number}) for number, text in enumerate(texts, 1)
    ]


def counts(result):
    return tuple(result[f"num_{kind}"] for kind in ("added", "updated", "skipped", "deleted"))


def test_the_indexing_api_adds_skips_and_cleans_up(store):
    records = InMemoryRecordManager("metaembed")
    records.create_schema()
    arguments = {"source_id_key": "source", "key_encoder": "sha256"}

    def run(documents, cleanup, **more):
        return counts(index_documents(documents, records, store, cleanup=cleanup, **arguments, **more))

    before = len(store.index)
    both = [*pages("ferries", "fares"), *pages("coffee", source="b.pdf")]
    assert run(both, "incremental") == (3, 0, 0, 0)
    assert run(both, "incremental") == (0, 0, 3, 0)
    assert run(both, "incremental", force_update=True) == (0, 3, 0, 0)
    assert run(pages("ferries", "new fares"), "incremental", batch_size=10) == (1, 0, 1, 1)
    assert held(store, "a.pdf", "b.pdf") == ["coffee", "ferries", "new fares"]
    assert run(pages("ferries", "new fares"), "full") == (0, 0, 2, 1)
    assert held(store, "a.pdf", "b.pdf") == ["ferries", "new fares"]
    (page,) = store.similarity_search("fares", filter={"source": "a.pdf", "page": 2})
    assert page.page_content == "new fares"
    assert run([], "full") == (0, 0, 0, 2)
    assert len(store.index) == before


async def test_the_indexing_api_runs_asynchronously_on_a_loader(store, tmp_path):
    (tmp_path / "boats.md").write_text("The ferry leaves at six.")
    (tmp_path / "beans.txt").write_text("Beans are roasted at 210 degrees.")
    records = InMemoryRecordManager("metaembed")
    await records.acreate_schema()
    arguments = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    loader = MetaEmbedLoader(tmp_path)
    assert counts(await aindex(loader, records, store, **arguments)) == (2, 0, 0, 0)
    assert counts(await aindex(loader, records, store, **arguments)) == (0, 0, 2, 0)
    (tmp_path / "beans.txt").unlink()
    assert counts(await aindex(loader, records, store, **arguments)) == (0, 0, 1, 1)
    assert held(store, str(tmp_path / "boats.md")) == ["The ferry leaves at six."]


def test_a_page_of_a_file_that_is_written_back_replaces_it(model):
    with MetaEmbedIndex(":memory:", model=model) as index:
        store = MetaEmbedVectorStore(index)
        text = " ".join(f"Chapter {number} is about harbours." for number in range(120))
        pages = [Page("book.pdf", 1, text), Page("book.pdf", 2, "Bread rises for three hours.")]
        index.add(pages)
        (document,) = store.similarity_search("harbours", k=1)
        document.metadata["reviewed"] = True
        store.add_documents([document])
        assert len(index) == 2
        assert store.get_by_ids([document.id])[0].metadata["reviewed"]
        for budget in (1, 4, "full"):
            found = store.similarity_search("harbours", budget=budget)
            assert [one.metadata.get("reviewed") for one in found if one.id == document.id] == [True]
        assert index.add(pages).added == 2, "adding the file again restores its page"
        assert "reviewed" not in store.get_by_ids([document.id])[0].metadata


def test_a_source_that_is_no_name_names_nothing(model):
    with MetaEmbedIndex(":memory:", model=model) as index:
        store = MetaEmbedVectorStore(index)
        store.add_texts(["one", "two"], [{"source": None}, {"source": {"a": 1}}], ids=["a", "b"])
        assert index.sources() == ["a", "b"]
