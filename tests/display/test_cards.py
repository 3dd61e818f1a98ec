"""Cards and reports: what they show, and what documents cannot do to them."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from metaembed_rag import Budget
from metaembed_rag.display.cards import PICTURE_DENSITY, PICTURE_WIDTH
from metaembed_rag.display.report import show_report, write_report
from metaembed_rag.display.thumbnail import data_uri
from metaembed_rag.errors import InputError
from metaembed_rag.hit import Hit, Hits

EVIL = '<script>alert(1)</script><img src="http://example.org/x" onerror="alert(2)">&amp;\' "'
VOID = {"img", "meta", "br", "hr"}


class Reader(HTMLParser):
    """Collects tags and attributes, and that every element is closed where it was opened."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def assert_harmless(html):
    """Nothing that runs, and nothing that is fetched."""
    reader = read(html)
    assert not {"script", "iframe", "object", "embed", "link", "form", "svg"} & set(reader.tags)
    for name, value in reader.attributes:
        assert not name.startswith("on")
        if name == "src":
            assert value.startswith("data:image/")
        if name == "href":
            assert value.startswith("file://")
    assert "url(" not in html
    return reader


def hit(**changes):
    fields = {
        "id": "a",
        "score": 3.21,
        "source": "notes/ferry.txt",
        "page": 1,
        "text": "The first ferries leave at six.",
        "metadata": {},
        "budget": Budget(4, 8),
        "span": (0, 31),
        "route": "text",
    }
    return Hit(**{**fields, **changes})


def hits(*members, query="first ferry"):
    return Hits(members, query=query, budget=Budget(4, 8), plan="exact scan by (4,8)", seconds=0.0123)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "harbour plan.png"
    Image.effect_noise((1200, 1600), 90).convert("RGB").save(path)
    return hit(source=str(path), route="ocr")


def test_a_hit_is_a_card_with_its_facts_and_the_query_s_words_marked():
    (shown,) = hits(hit())
    reader = assert_harmless(shown._repr_html_())
    for fact in ("ferry.txt", "page 1", "score 3.210", "budget (4,8)", "12 ms"):
        assert fact in reader.text
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", shown._repr_html_()) == ["first", "ferries"]


def test_hits_are_cards_in_order_under_the_question_the_time_and_the_plan():
    html = hits(hit(page=7), hit(page=2, score=1.0))._repr_html_()
    text = assert_harmless(html).text
    assert "first ferry" in text
    assert "2 pages · 12 ms · exact scan by (4,8)" in text
    assert text.index("page 7") < text.index("page 2")
    assert "no pages match" in assert_harmless(hits()._repr_html_()).text


def test_a_card_without_a_query_marks_nothing():
    assert "<mark" not in hit()._repr_html_()


def test_a_page_picture_is_small_and_inside_the_card(picture):
    html = picture._repr_html_()
    (uri,) = re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    image = Image.open(BytesIO(base64.b64decode(uri)))
    assert image.width == PICTURE_DENSITY * PICTURE_WIDTH
    assert len(html) < 250_000
    assert_harmless(html)


def test_long_answers_stay_small(picture, monkeypatch):
    monkeypatch.setattr("metaembed_rag.display.cards.PICTURES", 2)
    html = hits(*[picture] * 5)._repr_html_()
    assert (html.count("<img"), html.count("score 3.210")) == (2, 5)


def test_a_missing_source_is_said_on_the_card(tmp_path):
    gone = hit(source=str(tmp_path / "gone.pdf"), route="layer")
    text = assert_harmless(gone._repr_html_()).text
    assert "no picture: no such file or folder" in text
    assert "The first ferries" in text


def test_documents_cannot_write_into_the_page(tmp_path):
    bad = hit(text=EVIL, span=(0, len(EVIL)), source=f"{EVIL}.pdf", metadata={EVIL: EVIL}, route=EVIL)
    for html in (hits(bad, query=EVIL)._repr_html_(), hits(bad, query=EVIL).to_html(), bad._repr_html_()):
        reader = assert_harmless(html)
        assert "<script>alert(1)</script>" in reader.text
        assert "img" not in reader.tags


def test_a_report_is_a_whole_document_that_asks_nobody(picture):
    html = hits(picture).to_html()
    reader = assert_harmless(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in html
    assert dict(reader.attributes)["href"].endswith("harbour%20plan.png#page=1")


def test_a_card_in_a_notebook_links_nowhere(picture):
    assert "href" not in picture._repr_html_()


def test_hits_keep_query_and_time_out_of_results_for_programs():
    (shown,) = hits(hit())
    assert (shown.query, shown.seconds) == ("first ferry", 0.0123)
    assert shown == hit()
    assert {"query", "seconds"}.isdisjoint(shown.to_dict())


@pytest.mark.parametrize("limit", [5_000, 40_000])
def test_pictures_are_squeezed_until_they_fit(limit):
    noise = Image.effect_noise((900, 1200), 90)
    uri = data_uri(noise, max_bytes=limit)
    assert len(base64.b64decode(uri.split(",")[1])) <= limit


def test_reports_are_written_opened_and_refused(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    target = tmp_path / "report.html"
    assert str(target) in show_report("<p>ü</p>", target, browser=False)
    assert (target.read_text(encoding="utf-8"), opened) == ("<p>ü</p>", [])
    assert "report: " in show_report("<p>", target)
    assert opened == [target.as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert "no browser could be opened" in show_report("<p>", target)
    with pytest.raises(InputError, match="name another file"):
        write_report("<p>", tmp_path / "absent" / "report.html")
