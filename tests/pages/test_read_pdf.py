"""PDF pages: text layers, boxes, reading order, recognition where it is needed, and broken files."""

from __future__ import annotations

import gc
import os
import threading

import pytest
from page_files import A4, picture, raw_pdf, squeezed, stream, text_pdf
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from metaembed_rag.errors import (
    CorruptDocumentError,
    DocumentTooLargeError,
    EmptyDocumentError,
    EncryptedDocumentError,
)
from metaembed_rag.pages import Limits, count_pages, read_document

LEFT = [f"left column line {index} tells about grain" for index in range(14)]
RIGHT = [f"right column line {index} tells about steel" for index in range(14)]
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
HELVETICA = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def read(path, **options):
    return list(read_document(path, **options))


def word(page, text):
    return next(word for word in page.words if word.text == text)


def test_text_words_and_boxes(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", ["Total revenue grew", "Second page"])
    first, second = read(path)
    assert (first.source, first.number, first.route, first.text) == (path, 1, "layer", "Total revenue grew")
    assert (second.number, second.text) == (2, "Second page")
    left, top, right, bottom = word(first, "Total").box
    assert left == pytest.approx(72 / A4[0], abs=0.01)
    assert top < 72 / A4[1] <= bottom + 0.005
    assert 0.01 < right - left < 0.1
    assert word(first, "grew").box[0] > word(first, "revenue").box[2]
    assert count_pages(path) == 2


def test_paragraphs_and_hyphens(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    lines = [
        "First line of a para-",
        "graph with a state-of-the-",
        "art method",
        "",
        "Next paragraph",
        "here",
    ]
    for index, line in enumerate(lines):
        canvas.drawString(72, 700 - 14 * index, line)
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    assert page.text == ("First line of a paragraph with a state-of-the-art method\n\nNext paragraph\nhere")
    assert [w.text for w in page.words[4:6]] == ["para", "graph"]
    assert squeezed(page.text) == "".join(w.text for w in page.words)


@pytest.mark.parametrize("drawn", ["by line", "by column", "right first"])
def test_two_columns_are_read_one_after_the_other(tmp_path, drawn):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    canvas.setFont("Helvetica", 18)
    canvas.drawString(120, 780, "A title across the two columns")
    canvas.setFont("Helvetica", 10)
    columns = [(60, LEFT), (310, RIGHT)]
    cells = [(x, index, column[index]) for x, column in columns for index in range(14)]
    if drawn == "by line":
        cells.sort(key=lambda cell: cell[1])
    elif drawn == "right first":
        cells.sort(key=lambda cell: -cell[0])
    for x, index, line in cells:
        canvas.drawString(x, 740 - 13 * index, line)
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    lines = [line for line in page.text.splitlines() if line]
    assert lines == ["A title across the two columns", *LEFT, *RIGHT]


def test_a_table_is_read_row_by_row(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    rows = [(f"item {index}", f"{index * 7}", f"{index * 11}.5") for index in range(12)]
    for index, row in enumerate(rows):
        for column, cell in enumerate(row):
            canvas.drawString(72 + 160 * column, 700 - 14 * index, cell)
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    assert page.text.splitlines() == [" ".join(row) for row in rows]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_turns_boxes_and_pictures_alike(tmp_path, turn):
    # The page turns what is drawn clockwise; drawn turned the other way, it reads upright.
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(400, 300))
    canvas.setPageRotation(turn)
    canvas.translate(*{90: (300, 0), 180: (400, 300), 270: (0, 400)}[turn])
    canvas.rotate(turn)
    canvas.setFont("Helvetica", 20)
    canvas.drawString(40, 200, "Upright words")
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    width, height = 400, 300
    image = page.image(72)
    assert image.size == (width, height)
    assert page.text == "Upright words"
    ink = image.convert("L").point(lambda value: 255 if value < 128 else 0).getbbox()
    left, top = word(page, "Upright").box[0] * width, word(page, "Upright").box[1] * height
    right, bottom = word(page, "words").box[2] * width, word(page, "words").box[3] * height
    assert left == pytest.approx(ink[0], abs=4) and right == pytest.approx(ink[2], abs=4)
    assert top <= ink[1] + 2 and bottom >= ink[3] - 2
    assert left == pytest.approx(40, abs=2)


def test_text_outside_the_crop_box_is_not_on_the_page(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(600, 400), cropBox=(300, 0, 600, 400))
    canvas.drawString(50, 200, "Cropped")
    canvas.drawString(330, 200, "Visible")
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    assert page.text == "Visible"
    assert page.words[0].box[0] == pytest.approx(0.1, abs=0.01)
    assert page.image(72).size == (300, 400)


def test_form_fields_are_read(tmp_path):
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=A4)
    canvas.drawString(72, 700, "Name of the applicant")
    canvas.acroForm.textfield(name="who", value="Ada Lovelace", x=72, y=650, width=200, height=24)
    canvas.save()
    (page,) = read(tmp_path / "a.pdf")
    assert "Name of the applicant" in page.text and "Ada Lovelace" in page.text


def scan(path, caption="", lines=("Meta Tokens answer queries", "Budget 4 is enough")):
    canvas = Canvas(str(path), pagesize=(360, 120))
    canvas.drawImage(ImageReader(picture(list(lines), (720, 240), 36)), 0, 0, 360, 120)
    if caption:
        canvas.drawString(20, 5, caption)
    canvas.save()
    return str(path)


def test_a_scanned_page_is_recognised(tmp_path):
    path = scan(tmp_path / "scan.pdf")
    (page,) = read(path)
    assert page.route == "ocr"
    assert page.text.splitlines() == ["Meta Tokens answer queries", "Budget 4 is enough"]
    assert squeezed(page.text) == "".join(w.text for w in page.words)
    left, top, right, bottom = word(page, "Budget").box
    assert 0.0 < left < 0.1 and 0.3 < top < bottom < 0.8 and right < 0.4
    (unread,) = read(path, ocr="never")
    assert (unread.text, unread.words, unread.route) == ("", (), "layer")


def test_a_stamp_does_not_hide_a_scan(tmp_path):
    (page,) = read(scan(tmp_path / "a.pdf", caption="42"))
    assert page.route == "ocr" and "Meta Tokens answer queries" in page.text


def test_always_recognises_a_page_with_a_layer(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", ["Plain layer text"], size=(260, 120))
    (page,) = read(path, ocr="always")
    assert (page.route, page.text) == ("ocr", "Plain layer text")


class Blind:
    """A reader that sees nothing; counts its pictures."""

    def __init__(self):
        self.pictures = []

    def read(self, image):
        self.pictures.append(image.size)
        return "", ()


def test_a_layer_outlives_recognition_that_sees_nothing(tmp_path):
    reader = Blind()
    (page,) = read(scan(tmp_path / "a.pdf", caption="Caption"), reader=reader)
    assert (page.route, page.text) == ("layer", "Caption")
    assert [width for width, _ in reader.pictures] == [750]


def test_blank_pages_stay_and_are_not_recognised(tmp_path):
    reader = Blind()
    pages = read(text_pdf(tmp_path / "a.pdf", ["", "text", ""]), ocr="auto", reader=reader)
    assert [page.text for page in pages] == ["", "text", ""]
    assert reader.pictures == []


def mapped_pdf(path, code_points, content=b"BT /F 20 Tf 20 50 Td (ABCDEFGH) Tj ET"):
    """A PDF whose font says that the letters A.. stand for ``code_points`` (UTF-16BE in hexadecimal)."""
    chars = b"".join(b"<%02X> <%s>\n" % (65 + index, code.encode()) for index, code in enumerate(code_points))
    cmap = (
        b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        b"1 begincodespacerange <00> <FF> endcodespacerange\n%d beginbfchar\n%sendbfchar\n"
        b"endcmap end end" % (len(code_points), chars)
    )
    return raw_pdf(
        path,
        {
            1: CATALOG,
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R "
            b"/Resources << /Font << /F 5 0 R >> >> >>",
            4: stream(content),
            5: HELVETICA[:-2] + b"/ToUnicode 6 0 R >>",
            6: stream(cmap),
        },
    )


def test_a_garbled_layer_is_recognised_instead(tmp_path):
    path = mapped_pdf(tmp_path / "a.pdf", [f"E0{index:02X}" for index in range(8)])
    (page,) = read(path)
    assert (page.route, page.text) == ("ocr", "ABCDEFGH")
    (page,) = read(path, ocr="never")
    assert page.text == ""


def test_layer_text_is_valid_unicode(tmp_path):
    codes = ["0000", "0041", "D800", "0001", "D83DDE00", "FB01", "0042", "FFFF"]
    (page,) = read(mapped_pdf(tmp_path / "a.pdf", codes), ocr="never")
    page.text.encode("utf-8")
    assert "\x00" not in page.text and "fi" in page.text and "\U0001f600" in page.text
    assert squeezed(page.text) == "".join(w.text for w in page.words)


def test_pages_are_drawn_on_demand_and_leave_no_file_open(tmp_path, monkeypatch):
    text_pdf(tmp_path / "a.pdf", ["one", "two"])
    monkeypatch.chdir(tmp_path)
    pages = read("a.pdf")
    monkeypatch.chdir("/")
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    pictures = [page.image(50) for page in pages for _ in range(5)]
    assert len(os.listdir("/dev/fd")) == before
    assert {picture.mode for picture in pictures} == {"RGB"}
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 nothing left")
    with pytest.raises(CorruptDocumentError, match=r"a\.pdf"):
        pages[0].image()


def test_an_abandoned_reading_closes_the_file(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", ["one", "two"])
    before = len(os.listdir("/dev/fd"))
    pages = read_document(path)
    next(pages)
    pages.close()
    assert len(os.listdir("/dev/fd")) == before


def test_threads_read_and_draw_side_by_side(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", [f"page number {index}" for index in range(12)])
    results = []

    def work():
        results.append([(page.text, page.image(30).size) for page in read_document(path)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(results[0]) == 12
    assert all(result == results[0] for result in results)


def test_a_huge_page_is_drawn_small(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", ["far away"], size=(14_000, 14_000))
    (page,) = read(path, limits=Limits(max_pixels=1_000_000))
    image = page.image(300)
    assert image.width * image.height <= 1_000_000 and image.width > 900
    long = text_pdf(tmp_path / "b.pdf", ["thin"], size=(200, 14_000))
    assert max(read(long)[0].image(1200).size) <= 20_000


def test_encrypted(tmp_path):
    locked = text_pdf(tmp_path / "a.pdf", ["secret"], encrypt=StandardEncryption("user", "owner"))
    with pytest.raises(EncryptedDocumentError, match="password"):
        read(locked)
    with pytest.raises(EncryptedDocumentError):
        count_pages(locked)
    # Only printing is restricted: whoever may open it may read it.
    open_to_all = text_pdf(tmp_path / "b.pdf", ["public"], encrypt=StandardEncryption("", "owner", canPrint=0))
    assert read(open_to_all)[0].text == "public"


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.95])
def test_truncated(tmp_path, keep):
    path = text_pdf(tmp_path / "a.pdf", [f"page {index} " * 8 for index in range(5)])
    data = (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "a.pdf").write_bytes(data[: int(keep * len(data))])
    with pytest.raises(CorruptDocumentError, match=r"a\.pdf.*again"):
        read(path)


def test_garbage(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(4000) + b"\n%%EOF")
    with pytest.raises(CorruptDocumentError, match="repair"):
        read(tmp_path / "a.pdf")


def test_a_pdf_without_pages(tmp_path):
    path = raw_pdf(tmp_path / "a.pdf", {1: CATALOG, 2: b"<< /Type /Pages /Kids [] /Count 0 >>"})
    with pytest.raises(EmptyDocumentError, match="without pages"):
        read(path)


def test_a_page_that_cannot_be_loaded_is_named(tmp_path):
    path = raw_pdf(
        tmp_path / "a.pdf",
        {
            1: CATALOG,
            2: b"<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>",
            4: b"(no page at all)",
        },
    )
    pages = read_document(path)
    assert next(pages).number == 1
    with pytest.raises(CorruptDocumentError, match="page 2 of 2"):
        next(pages)


def test_limits(tmp_path):
    path = text_pdf(tmp_path / "a.pdf", ["some words here"] * 4)
    with pytest.raises(DocumentTooLargeError, match="4 pages, the limit is 3"):
        read(path, limits=Limits(max_pages=3))
    with pytest.raises(DocumentTooLargeError, match="page 1 has 15 characters"):
        read(path, limits=Limits(max_page_chars=10))
    with pytest.raises(DocumentTooLargeError, match="bytes"):
        read(path, limits=Limits(max_bytes=100))
    with pytest.raises(DocumentTooLargeError):
        count_pages(path, limits=Limits(max_pages=3))
