"""The report in a real browser: drawn, with its pictures, in light and in dark."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageDraw

from metaembed_rag import Budget
from metaembed_rag.hit import Hit, Hits

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None,
        reason=f"no headless browser found (looked for {', '.join(BROWSERS)}): install chromium to see reports drawn",
    ),
]


@pytest.fixture
def report(tmp_path):
    page = Image.new("RGB", (600, 800), "white")
    ImageDraw.Draw(page).rectangle((100, 100, 500, 700), fill=(0, 90, 200))
    page.save(tmp_path / "plan.png")
    text = "The first ferry leaves at six. <b>not bold</b>"
    hit = Hit("a", 3.2, str(tmp_path / "plan.png"), 1, text, {}, Budget(4, 8), (0, len(text)), "ocr")
    hits = Hits([hit], query="first ferry", budget=Budget(4, 8), plan="exact scan by (4,8)", seconds=0.012)
    path = tmp_path / "report.html"
    path.write_text(hits.to_html(), encoding="utf-8")
    return path


def browse(report, *options):
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            f"--user-data-dir={report.parent / 'profile'}",
            "--window-size=900,700",
            *options,
            report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def screenshot(report, name, *options):
    target = report.parent / name
    browse(report, f"--screenshot={target}", *options)
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def share(pixels, colour, within=25):
    return float((np.abs(pixels - np.array(colour)).max(axis=2) < within).mean())


def test_the_report_is_drawn_in_light_and_in_dark(report):
    light = screenshot(report, "light.png", "--blink-settings=preferredColorScheme=1")
    dark = screenshot(report, "dark.png", "--blink-settings=preferredColorScheme=0")
    for pixels in (light, dark):
        # The page's picture: a blue sheet of 200 x 300 of 900 x 700 pixels.
        assert share(pixels, (0, 90, 200)) == pytest.approx(200 * 300 / (900 * 700), rel=0.25)
    assert share(light, (251, 250, 248), 5) > 0.5
    assert share(dark, (26, 27, 30), 5) > 0.5
    assert share(light, (29, 29, 31)) > 0.001, "dark print on light paper"
    assert share(dark, (232, 230, 227)) > 0.001, "light print on dark paper"
    assert share(light, (254, 230, 155), 30) > 0.0005, "the query's words are marked"


def test_the_browser_sees_what_was_meant(report):
    seen = browse(report, "--dump-dom")
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", seen) == ["first", "ferry"]
    assert "&lt;b&gt;not bold&lt;/b&gt;" in seen
