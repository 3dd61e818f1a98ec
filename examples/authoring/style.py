"""The look shared by the example documents: fonts every viewer has, tables, charts, page numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.charts.legends import Legend
from reportlab.graphics.charts.linecharts import HorizontalLineChart
from reportlab.graphics.charts.piecharts import Pie
from reportlab.graphics.shapes import Drawing, String
from reportlab.lib import colors
from reportlab.lib.enums import TA_CENTER
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    ListFlowable,
    ListItem,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

#: Left, right, top and bottom margins of every page.
MARGIN = 2.2 * cm


@dataclass(frozen=True, slots=True)
class Look:
    """Fonts and colours of one document.

    Attributes:
        accent: colour of headings, table heads and charts.
        body: the text font; one of the fourteen that every viewer has.
        bold: its bold cut.
        size: text size in points.
    """

    accent: colors.Color
    body: str = "Helvetica"
    bold: str = "Helvetica-Bold"
    size: float = 10.5

    def title(self, text: str) -> Paragraph:
        return self._paragraph(text, self.bold, self.size * 2.1, self.accent, after=10)

    def heading(self, text: str) -> Paragraph:
        return self._paragraph(text, self.bold, self.size * 1.35, self.accent, before=10, after=5)

    def text(self, text: str) -> Paragraph:
        return self._paragraph(text, self.body, self.size, colors.black, after=7)

    def caption(self, text: str) -> Paragraph:
        return self._paragraph(text, self.bold, self.size * 0.9, colors.HexColor(0x444444), before=6, after=4)

    def note(self, text: str) -> Table:
        """A framed remark across the column."""
        style = ParagraphStyle("note", fontName=self.body, fontSize=self.size, leading=self.size * 1.35)
        box = Table([[Paragraph(text, style)]], colWidths=["100%"])
        box.setStyle(
            TableStyle(
                [
                    ("BOX", (0, 0), (-1, -1), 1, self.accent),
                    ("BACKGROUND", (0, 0), (-1, -1), colors.HexColor(0xF6F6F2)),
                    ("LEFTPADDING", (0, 0), (-1, -1), 9),
                    ("RIGHTPADDING", (0, 0), (-1, -1), 9),
                    ("TOPPADDING", (0, 0), (-1, -1), 6),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 8),
                ]
            )
        )
        box.spaceBefore, box.spaceAfter = 6, 10
        return box

    def steps(self, items: Sequence[str], *, numbered: bool = True) -> ListFlowable:
        """A list, numbered or with dots."""
        return ListFlowable(
            [ListItem(self.text(item), leftIndent=18) for item in items],  # type: ignore[misc] # its stubs lack ListItem
            bulletType="1" if numbered else "bullet",
            bulletFontName=self.body,
            bulletFontSize=self.size,
            bulletFormat="%s." if numbered else None,
            start=None if numbered else "\N{BULLET}",
            leftIndent=18,
        )

    def table(self, rows: Sequence[Sequence[str]], widths: Sequence[float], *, numbers: int = 0) -> Table:
        """A ruled table whose first row is its head.

        Args:
            rows: cells as text; long ones wrap.
            widths: column widths in points.
            numbers: the last so many columns are figures, set flush right.
        """
        cell = ParagraphStyle("cell", fontName=self.body, fontSize=self.size - 1, leading=self.size * 1.2)
        head = ParagraphStyle("head", parent=cell, fontName=self.bold, textColor=colors.white)
        right = {
            "cell": ParagraphStyle("right", parent=cell, alignment=2),
            "head": head.clone("r", alignment=2),
        }
        first = len(rows[0]) - numbers
        content = [
            [
                Paragraph(value, (head if r == 0 else cell) if c < first else right["cell" if r else "head"])
                for c, value in enumerate(row)
            ]
            for r, row in enumerate(rows)
        ]
        table = Table(content, colWidths=list(widths), repeatRows=1, hAlign="LEFT")
        table.setStyle(
            TableStyle(
                [
                    ("BACKGROUND", (0, 0), (-1, 0), self.accent),
                    ("ROWBACKGROUNDS", (0, 1), (-1, -1), [colors.white, colors.HexColor(0xF1F3F4)]),
                    ("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.HexColor(0xB8BEC2)),
                    ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("TOPPADDING", (0, 0), (-1, -1), 3),
                    ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
                ]
            )
        )
        table.spaceBefore, table.spaceAfter = 4, 10
        return table

    def bars(
        self,
        labels: Sequence[str],
        values: Sequence[float],
        top: float,
        step: float,
        *,
        unit: str,
        wide: int = 440,
    ) -> Drawing:
        """A bar chart with its values written above the bars."""
        drawing = Drawing(wide, 190)
        chart = VerticalBarChart()
        chart.x, chart.y, chart.width, chart.height = 45, 28, wide - 60, 135
        chart.data = [tuple(values)]
        chart.categoryAxis.categoryNames = list(labels)
        chart.categoryAxis.labels.fontName = self.body
        chart.categoryAxis.labels.fontSize = 9
        chart.valueAxis.valueMin, chart.valueAxis.valueMax, chart.valueAxis.valueStep = 0, top, step
        chart.valueAxis.labels.fontName = self.body
        chart.valueAxis.labels.fontSize = 8
        chart.bars[0].fillColor = self.accent
        chart.bars[0].strokeColor = None
        chart.barLabels.fontName = self.body
        chart.barLabels.fontSize = 9
        chart.barLabels.nudge = 9
        chart.barLabelFormat = lambda value: f"{value:g}"
        drawing.add(chart)
        drawing.add(String(6, 176, unit, fontName=self.body, fontSize=8.5))
        return drawing

    def lines(
        self,
        labels: Sequence[str],
        values: Sequence[float],
        low: float,
        top: float,
        step: float,
        *,
        unit: str,
        wide: int,
    ) -> Drawing:
        """A line chart of one series."""
        drawing = Drawing(wide, 150)
        chart = HorizontalLineChart()
        chart.x, chart.y, chart.width, chart.height = 32, 26, wide - 44, 100
        chart.data = [tuple(values)]
        chart.categoryAxis.categoryNames = list(labels)
        chart.categoryAxis.labels.fontName = self.body
        chart.categoryAxis.labels.fontSize = 7.5
        chart.valueAxis.valueMin, chart.valueAxis.valueMax, chart.valueAxis.valueStep = low, top, step
        chart.valueAxis.labels.fontName = self.body
        chart.valueAxis.labels.fontSize = 7.5
        chart.lines[0].strokeColor = self.accent
        chart.lines[0].strokeWidth = 1.6
        drawing.add(chart)
        drawing.add(String(4, 138, unit, fontName=self.body, fontSize=8))
        return drawing

    def pie(self, shares: Sequence[tuple[str, int]]) -> Drawing:
        """A pie chart of percentages with a legend beside it."""
        drawing = Drawing(440, 170)
        pie = Pie()
        pie.x, pie.y, pie.width, pie.height = 25, 10, 150, 150
        pie.data = [share for _, share in shares]
        pie.labels = [f"{share}%" for _, share in shares]
        pie.slices.fontName = self.body
        pie.slices.fontSize = 9
        pie.slices.labelRadius = 1.16
        pie.slices.strokeColor = colors.white
        shades = [
            colors.linearlyInterpolatedColor(self.accent, colors.HexColor(0xE9E2D0), 0, len(shares), i)
            for i in range(len(shares))
        ]
        for position, shade in enumerate(shades):
            pie.slices[position].fillColor = shade
        legend = Legend()
        legend.x, legend.y, legend.boxAnchor = 230, 85, "w"
        legend.fontName, legend.fontSize, legend.deltay, legend.alignment = self.body, 9.5, 16, "right"
        legend.columnMaximum = len(shares)
        legend.colorNamePairs = [
            (shade, f"{name} ({share}%)") for shade, (name, share) in zip(shades, shares, strict=True)
        ]
        drawing.add(pie)
        drawing.add(legend)
        return drawing

    def _paragraph(
        self, text: str, font: str, size: float, color: colors.Color, *, before: float = 0, after: float = 0
    ) -> Paragraph:
        style = ParagraphStyle(
            "p",
            fontName=font,
            fontSize=size,
            leading=size * 1.35,
            textColor=color,
            spaceBefore=before,
            spaceAfter=after,
        )
        return Paragraph(text, style)


def centred(text: str, font: str, size: float) -> Paragraph:
    """A line in the middle of its column."""
    return Paragraph(text, ParagraphStyle("c", fontName=font, fontSize=size, leading=size * 1.3, alignment=TA_CENTER))


def gap(height: float) -> Spacer:
    """White space of so many points."""
    return Spacer(1, height)


def write(path: Path, title: str, look: Look, story: list[Flowable], *, columns: int = 1) -> None:
    """Lay a story out on A4 pages with a running title and page numbers.

    Args:
        path: the file to write; equal input gives equal bytes.
        title: the document's title, also printed at the head of every page.
        look: fonts and colours.
        story: what stands on the pages.
        columns: columns on a page.
    """
    width, height = A4
    space = 0.8 * cm
    column = (width - 2 * MARGIN - (columns - 1) * space) / columns
    frames = [
        Frame(
            MARGIN + i * (column + space),
            MARGIN,
            column,
            height - 2 * MARGIN,
            leftPadding=0,
            rightPadding=0,
            topPadding=0,
            bottomPadding=0,
        )
        for i in range(columns)
    ]

    def furniture(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont(look.body, 8)
        canvas.setFillColor(colors.HexColor(0x666666))
        canvas.drawString(MARGIN, height - MARGIN + 14, title)
        canvas.drawRightString(width - MARGIN, MARGIN - 24, f"Page {document.page}")
        canvas.setStrokeColor(look.accent)
        canvas.line(MARGIN, height - MARGIN + 8, width - MARGIN, height - MARGIN + 8)
        canvas.restoreState()

    document = BaseDocTemplate(str(path), pagesize=A4, title=title, author="The metaembed-rag authors", invariant=1)
    document.addPageTemplates([PageTemplate(id="page", frames=frames, onPage=furniture)])
    document.build(story)
