"""Pages of files as documents: the index's own reading, JSON metadata, pictures as they are asked for."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path

import pytest
from langchain_core.documents import Document
from PIL import Image, ImageChops

from langchain_metaembed import MetaEmbedLoader, draw_page
from metaembed_rag.errors import DocumentError, DocumentNotFoundError, InputError
from metaembed_rag.pages import read_document

REPORT = Path(__file__).parents[4] / "examples" / "reports" / "ferry-annual-report.pdf"


def test_each_page_is_a_document_as_the_index_reads_it():
    documents = MetaEmbedLoader(REPORT).load()
    pages = list(read_document(REPORT))
    assert [document.page_content for document in documents] == [page.text for page in pages]
    assert [document.metadata for document in documents] == [
        {"source": str(REPORT), "page": number, "route": "layer"} for number in range(1, len(pages) + 1)
    ]
    json.dumps([document.metadata for document in documents])


async def test_pages_come_one_by_one_and_asynchronously():
    loader = MetaEmbedLoader([REPORT])
    first = next(loader.lazy_load())
    async for document in loader.alazy_load():
        assert document == first
        break
    assert await loader.aload() == loader.load()


def test_pictures_are_drawn_later_or_travel_with_the_documents(tmp_path):
    (plain, *_) = MetaEmbedLoader(REPORT).lazy_load()
    drawn = draw_page(plain, dpi=50)
    encoded = next(MetaEmbedLoader(REPORT, pictures="base64", dpi=50).lazy_load())
    assert encoded.metadata["mime_type"] == "image/png"
    carried = Image.open(io.BytesIO(base64.b64decode(encoded.metadata["image"])))
    assert ImageChops.difference(drawn, carried).getbbox() is None
    json.dumps(encoded.metadata)
    written = MetaEmbedLoader(REPORT, pictures="file", folder=tmp_path / "pictures", dpi=50).load()
    paths = {document.metadata["image_path"] for document in written}
    assert len(paths) == len(written) == len(list((tmp_path / "pictures").iterdir()))
    assert ImageChops.difference(drawn, Image.open(written[0].metadata["image_path"])).getbbox() is None


def test_texts_have_no_pictures(tmp_path):
    (tmp_path / "note.md").write_text("# Boats\n\nThe ferry leaves at six.")
    (document,) = MetaEmbedLoader(tmp_path, pictures="base64").load()
    assert "The ferry leaves at six." in document.page_content
    assert "image" not in document.metadata
    with pytest.raises(InputError, match="cannot be drawn"):
        draw_page(document)
    with pytest.raises(InputError, match="source"):
        draw_page(Document(page_content="x"))


def test_a_file_that_cannot_be_read_is_told_or_skipped(tmp_path, caplog):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 broken off")
    (tmp_path / "b.txt").write_text("The ferry leaves at six.")
    with pytest.raises(DocumentError, match=r"a\.pdf"):
        MetaEmbedLoader(tmp_path).load()
    with pytest.raises(DocumentNotFoundError):
        MetaEmbedLoader(tmp_path / "none").load()
    with caplog.at_level(logging.WARNING):
        documents = MetaEmbedLoader([tmp_path, tmp_path / "none"], on_error="skip").load()
    assert [document.page_content for document in documents] == ["The ferry leaves at six."]
    assert [Path(record.args[0].path).name for record in caplog.records] == ["a.pdf", "none"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"ocr": "sometimes"},
        {"pictures": "png"},
        {"pictures": "file"},
        {"folder": "x"},
        {"dpi": 0},
        {"on_error": "ignore"},
    ],
    ids=str,
)
def test_arguments_that_cannot_be_used(arguments):
    with pytest.raises(InputError):
        MetaEmbedLoader(REPORT, **arguments)
    with pytest.raises(TypeError, match="picturess"):
        MetaEmbedLoader(REPORT, picturess="base64")
