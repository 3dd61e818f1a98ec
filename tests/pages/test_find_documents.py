"""Finding documents, telling their kinds apart, and what is said about those that cannot be read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from page_files import picture, text_pdf

from metaembed_rag.errors import (
    CorruptDocumentError,
    DocumentError,
    DocumentNotFoundError,
    DocumentTooLargeError,
    EmptyDocumentError,
    InputError,
    UnsupportedDocumentError,
)
from metaembed_rag.pages import Limits, count_pages, find_documents, read_document, read_page


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")


def test_a_folder_is_walked_and_sorted_without_hidden_files(tmp_path, monkeypatch):
    touch(tmp_path, "b.txt", "a/z.pdf", "a/b/c.md", "a.txt", ".hidden", ".git/x", "a/.x/y", "a/data.bin")
    monkeypatch.chdir(tmp_path.parent)
    name = tmp_path.name
    expected = [f"{name}/{part}" for part in ("a/b/c.md", "a/data.bin", "a/z.pdf", "a.txt", "b.txt")]
    assert find_documents(name) == expected
    assert find_documents(f"{name}/") == expected
    assert find_documents(Path(name)) == expected
    assert find_documents(tmp_path) == [os.path.join(tmp_path.parent, part) for part in expected]
    assert find_documents(f"{name}/a.txt") == [f"{name}/a.txt"]
    assert find_documents(f"{name}/.git") == [f"{name}/.git/x"]


def test_links(tmp_path):
    touch(tmp_path, "root/real/a.txt", "elsewhere/b.txt")
    root = tmp_path / "root"
    (root / "a_loop").symlink_to(root)
    (root / "real" / "up").symlink_to("..")
    (root / "again").symlink_to(root / "real")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "out2").symlink_to(tmp_path / "elsewhere")
    (root / "broken").symlink_to("nowhere")
    (root / "file").symlink_to(tmp_path / "elsewhere" / "b.txt")
    found = [os.path.relpath(path, root) for path in find_documents(root)]
    assert found == ["broken", "file", "out/b.txt", "real/a.txt"]
    with pytest.raises(DocumentNotFoundError):
        read_document(root / "broken")
    assert next(read_document(root / "file")).text == "text"


def test_nothing_there(tmp_path):
    with pytest.raises(DocumentNotFoundError, match="check the path"):
        find_documents(tmp_path / "no")
    with pytest.raises(DocumentNotFoundError):
        read_document(tmp_path / "no")
    touch(tmp_path, "empty/.hidden")
    (tmp_path / "empty" / "sub").mkdir()
    with pytest.raises(EmptyDocumentError, match="no files"):
        find_documents(tmp_path / "empty")


@pytest.mark.parametrize("path", [None, 3, b"bytes", "", "a\x00b", ["a"]])
def test_what_is_no_path(path):
    for function in (find_documents, read_document, count_pages):
        with pytest.raises(InputError):
            function(path)


@pytest.mark.parametrize("mode", ["Auto", "", None, True, "yes"])
def test_unknown_ocr_mode(tmp_path, mode):
    touch(tmp_path, "a.txt")
    with pytest.raises(InputError, match="'auto', 'never' or 'always'"):
        read_document(tmp_path / "a.txt", ocr=mode)


def test_content_decides_not_the_suffix(tmp_path):
    text_pdf(tmp_path / "report.txt", ["a layer"])
    picture(["x"]).save(tmp_path / "scan.pdf", format="PNG")
    (tmp_path / "mail.pdf").write_bytes(b"From: a\n\n" + Path(tmp_path / "report.txt").read_bytes())
    (tmp_path / "about.txt").write_text("A PDF begins with %PDF-1.7, says the book.")
    assert next(read_document(tmp_path / "report.txt")).text == "a layer"
    assert next(read_document(tmp_path / "scan.pdf", ocr="never")).image() is not None
    assert next(read_document(tmp_path / "mail.pdf")).text == "a layer"
    assert next(read_document(tmp_path / "about.txt")).route == "text"


@pytest.mark.parametrize(
    ("name", "data", "error", "advice"),
    [
        ("a.docx", b"PK\x03\x04junk", UnsupportedDocumentError, "export it to PDF"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 40, UnsupportedDocumentError, "PDF"),
        ("a.pdf.gz", b"\x1f\x8b\x08junk", UnsupportedDocumentError, "unpack"),
        ("a.gif", b"GIF89a\x01\x00", UnsupportedDocumentError, "PNG"),
        ("a.html", b"<html>x</html>", UnsupportedDocumentError, "Markdown"),
        ("a.txt", b"\n<!DOCTYPE html>", UnsupportedDocumentError, "Markdown"),
        ("a", b"\x00\x01\x02\x03", UnsupportedDocumentError, "binary.*supported are PDF"),
        ("a.pdf", b"just words", CorruptDocumentError, "PDF"),
        ("a.PNG", b"\x00\x01\x02", CorruptDocumentError, "PNG"),
        ("a.txt", b"", EmptyDocumentError, "0 bytes"),
        ("a.pdf", b"", EmptyDocumentError, "0 bytes"),
    ],
)
def test_refusals_name_the_file_and_the_way_out(tmp_path, name, data, error, advice):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=advice) as raised:
        read_document(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value)
    with pytest.raises(error):
        count_pages(tmp_path / name)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again)) == (error, str(raised.value))


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert find_documents(tmp_path) == [str(tmp_path / "pipe")]
    with pytest.raises(UnsupportedDocumentError, match="regular file"):
        read_document(tmp_path / "pipe")
    with pytest.raises(DocumentError, match="folder"):
        read_document(tmp_path)


def test_a_name_that_is_no_unicode(tmp_path):
    name = os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt")
    Path(os.fsdecode(name)).write_text("text")
    (found,) = find_documents(tmp_path)
    with pytest.raises(UnsupportedDocumentError, match="rename") as raised:
        read_document(found)
    str(raised.value).encode("utf-8")


def test_limits_are_checked(tmp_path):
    touch(tmp_path, "a.txt")
    with pytest.raises(DocumentTooLargeError, match="4 bytes, the limit is 3"):
        read_document(tmp_path / "a.txt", limits=Limits(max_bytes=3))
    for value in (0, -1, 1.5, True, "9"):
        with pytest.raises(InputError, match="max_pages"):
            Limits(max_pages=value)


def test_importing_is_light():
    code = (
        "import sys; import metaembed_rag.pages; "
        "heavy = {'PIL', 'pypdfium2', 'rapidocr', 'onnxruntime', 'numpy', 'cv2'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_page_is_read_as_among_the_others(tmp_path):
    path = text_pdf(tmp_path / "three.pdf", ["first", "second", "third"])
    assert read_page(path, 2) == list(read_document(path))[1]
    with pytest.raises(DocumentError, match="no page 4 any more"):
        read_page(path, 4)
    with pytest.raises(InputError, match="from 1"):
        read_page(path, 0)
