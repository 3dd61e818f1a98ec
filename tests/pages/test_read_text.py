"""Plain text and Markdown: encodings, cuts, and that no character is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_files import squeezed

from metaembed_rag.errors import DocumentTooLargeError, EmptyDocumentError, UnsupportedDocumentError
from metaembed_rag.pages import Limits, count_pages, read_document
from metaembed_rag.pages.text import PAGE_CHARS, cut, decode, split_markdown, split_plain

PRINTABLE = st.text(
    st.one_of(st.sampled_from("ab .\n\n#`~-=\t\f"), st.characters(exclude_categories=["Cs", "Cc", "Cn"])),
    max_size=400,
)
TEXTS = st.text(
    st.one_of(st.sampled_from("ab .\n\n#`~-=\t\f。|"), st.characters(exclude_categories=["Cs"])), max_size=400
)


def write(tmp_path, content, name="a.txt"):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


def texts(path, **options):
    return [page.text for page in read_document(path, **options)]


@given(text=TEXTS, size=st.integers(1, 60))
def test_parts_put_together_are_the_text(text, size):
    parts = cut(text, size)
    assert "".join(parts) == text
    assert all(len(part) <= size for part in parts)
    assert "".join(split_plain(text, size)) == text.replace("\f", "")
    assert "".join(split_markdown(text, size)) == text.replace("\f", "")


@given(blocks=st.lists(PRINTABLE, min_size=1, max_size=8), markdown=st.booleans())
def test_pages_of_a_file_hold_every_character(tmp_path_factory, blocks, markdown):
    text = decode("a", "\n\n".join(["x", *blocks * 12]).encode())
    path = write(tmp_path_factory.mktemp("text"), text, "a.md" if markdown else "a.txt")
    pages = list(read_document(path))
    assert squeezed("".join(page.text for page in pages)) == squeezed(text)
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert all(page.text.strip() and page.words == () and page.route == "text" for page in pages)
    assert count_pages(path) == len(pages)


def test_cuts_prefer_paragraphs_then_lines_then_sentences_then_words():
    paragraph = "Some words of a sentence. " * 40
    assert cut(f"{paragraph}\n\n{paragraph}", 1500) == [f"{paragraph}\n\n", paragraph]
    line = "no stop here " * 40
    assert cut(f"{line}\n{line}", 800) == [f"{line}\n", line]
    assert all(part.endswith(". ") for part in cut(paragraph, 500))
    assert all(part.endswith(" ") for part in cut(line, 300))
    assert [len(part) for part in cut("x" * 1000, 300)] == [300, 300, 300, 100]


def test_pages_are_of_similar_length():
    lengths = [len(part) for part in cut("A sentence of words. " * 170, PAGE_CHARS)]
    assert len(lengths) == 2 and min(lengths) > 1500


def test_form_feeds_end_pages(tmp_path):
    long = "word " * 1000
    assert texts(write(tmp_path, f"one\f\ftwo\n\f{long}")) == ["one", "two", long.strip()]


def test_markdown_is_cut_before_headings(tmp_path):
    source = (
        "---\ntitle: x\n---\nIntro text.\n\n# One\n\n## One A\n\nBody A.\n\n"
        "```sh\n# no heading\n## neither\n```\n"
        "\n~~~\n```\n# inside\n~~~\n\nTwo\n===\n\nBody two, #5 is no heading.\n#neither\n\n"
        "- item\n---\n\n### Last ###\n    # code\nEnd.\n"
    )
    pages = texts(write(tmp_path, source, "a.md"))
    assert [page.splitlines()[0] for page in pages] == ["---", "# One", "Two", "### Last ###"]
    assert "## neither" in pages[1] and "# inside" in pages[1] and pages[1].startswith("# One\n\n## One A")
    assert pages[2].endswith("- item\n---") and pages[3].endswith("    # code\nEnd.")


def test_a_long_section_is_cut_by_size(tmp_path):
    pages = texts(write(tmp_path, "# Head\n\n" + "A sentence of words. " * 400 + "\n# Next\nText", "a.md"))
    assert len(pages) == 4 and pages[0].startswith("# Head") and pages[-1] == "# Next\nText"


def test_indentation_of_the_first_line_stays(tmp_path):
    assert texts(write(tmp_path, "\n  \n    indented\nrest\n\n")) == ["    indented\nrest"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"], ids=lambda encoding: encoding
)
def test_encodings(tmp_path, encoding):
    text = "Überraschung: café, “naïve” €5\r\nsecond line, plain"
    assert texts(write(tmp_path, text.encode(encoding))) == [text.replace("\r\n", "\n")]


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\x00" * 10,
        bytes(range(256)) * 8,
        b"a" * 9000 + b"\x00" * 50,
        b"\x01\x02\x03\x04\x05" * 40,
        "日本語の文章です".encode("shift_jis") * 20,
        b"\xff\xfea",
    ],
    ids=["program", "all bytes", "late zeros", "controls", "unknown encoding", "half a unit"],
)
def test_what_is_not_text_is_refused(tmp_path, data):
    with pytest.raises(UnsupportedDocumentError, match=r"a\.txt: "):
        texts(write(tmp_path, data))


def test_stray_controls_are_removed(tmp_path):
    assert texts(write(tmp_path, b"\x1b[31mred\x1b[0m alert\x07 and more text to read here")) == [
        "[31mred[0m alert and more text to read here"
    ]


@pytest.mark.parametrize("content", ["", "  \n\t\n", "\f\f", "\ufeff"])
def test_nothing_to_read(tmp_path, content):
    with pytest.raises(EmptyDocumentError):
        texts(write(tmp_path, content))


def test_limits(tmp_path):
    path = write(tmp_path, "word " * 5000)
    with pytest.raises(DocumentTooLargeError, match="max_text_bytes"):
        texts(path, limits=Limits(max_text_bytes=1000))
    with pytest.raises(DocumentTooLargeError, match="max_pages"):
        texts(path, limits=Limits(max_pages=2))
