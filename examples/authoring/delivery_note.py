"""A delivery note as it comes out of a scanner: one crooked, grainy picture and no text layer."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate, Table, TableStyle

from authoring.style import MARGIN, Look, centred, gap

LOOK = Look(accent=colors.HexColor(0x333333), body="Courier", bold="Courier-Bold", size=11)
TITLE = "Delivery note 20417"

#: How the scanner sees the sheet.
DPI = 150
TILT = 0.7
GRAIN = 9.0
SEED = 20417

ITEMS = (
    ("1", "Hull paint, sea green, 5 l", "12", "89.50", "1,074.00"),
    ("2", "Mooring rope, 24 mm, 50 m", "4", "216.00", "864.00"),
    ("3", "Rubber fender, type F-40", "6", "138.25", "829.50"),
    ("4", "Life jacket, adult, 150 N", "20", "64.90", "1,298.00"),
    ("5", "Signal lamp bulbs, box of 10", "3", "27.40", "82.20"),
)


def author(folder: Path) -> Path:
    """Write the scan into ``folder`` and say where it is."""
    path = folder / "delivery-note-scan.pdf"
    canvas = Canvas(str(path), pagesize=A4, invariant=1)
    canvas.setTitle("scan0007")
    canvas.drawImage(ImageReader(_scan(_sheet())), 0, 0, *A4)
    canvas.showPage()
    canvas.save()
    return path


def _sheet() -> bytes:
    """The note as it left the supplier's printer, as a PDF."""
    story: list[Flowable] = [
        centred("TANGMOUTH CHANDLERY", LOOK.bold, 20),
        centred("Rope Walk 9, Tangmouth Harbour", LOOK.body, 11),
        gap(22),
        LOOK.heading("DELIVERY NOTE No. 20417"),
        LOOK.text("Delivered on: 6 October 2022"),
        LOOK.text("Delivered to: Halvmoy Ferries, Kesterbru quay, shed 3"),
        LOOK.text("Your order: HF-881 of 27 September 2022"),
        LOOK.text("Carrier: motor vessel Brisling"),
        gap(8),
        _items(),
        gap(14),
        LOOK.text("Goods value: 4,147.70 crowns"),
        LOOK.text("Freight: 152.30 crowns"),
        LOOK.text("Total due: 4,300.00 crowns within 30 days"),
        gap(10),
        LOOK.text("One fender of item 3 arrived with a torn eye and was sent back with the driver. Five accepted."),
        gap(12),
        LOOK.text("Received by: S. Aamot, storekeeper"),
        gap(60),
        LOOK.text("Goods remain our property until paid in full."),
    ]
    target = BytesIO()
    SimpleDocTemplate(
        target,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        invariant=1,
    ).build(story)
    return target.getvalue()


def _items() -> Table:
    rows = [("No", "Article", "Qty", "Each", "Amount"), *ITEMS]
    table = Table([list(row) for row in rows], colWidths=[30, 225, 45, 70, 85])
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), LOOK.body, 11),
                ("FONT", (0, 0), (-1, 0), LOOK.bold, 11),
                ("GRID", (0, 0), (-1, -1), 0.8, colors.black),
                ("ALIGN", (2, 0), (-1, -1), "RIGHT"),
                ("TOPPADDING", (0, 0), (-1, -1), 4),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
            ]
        )
    )
    return table


def _scan(sheet: bytes) -> BytesIO:
    """Rasterise the first page of a PDF, tilt it, add grain and a shadow along an edge: grey JPEG bytes."""
    document = pypdfium2.PdfDocument(sheet)
    try:
        picture = document[0].render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
    finally:
        document.close()
    picture = picture.rotate(TILT, resample=Image.Resampling.BICUBIC, fillcolor=255)
    pixels = np.asarray(picture, dtype=np.float64)
    noise = np.random.default_rng(SEED).normal(0.0, GRAIN, pixels.shape)
    shadow = np.linspace(26.0, 0.0, 70, dtype=np.float32)
    pixels = pixels * 0.93 + 8 + noise
    pixels[:, : shadow.size] -= shadow
    target = BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(target, "JPEG", quality=45)
    target.seek(0)
    return target
