"""How a page of the report looks: its margins and type, escaped text, tables, and a slice with outlines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from reportlab import rl_config
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import inch
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfdoc import PDFDictionary, PDFInfo, PDFString
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Table

from lgg_demo.output.display import BLUE, ORANGE
from lgg_demo.output.table import printable

rl_config.useA85 = 0  # bytes as they are: to write them as letters took most of the time

MARGIN, HEAD, FOOT = 0.62 * inch, 0.46 * inch, 0.8 * inch
WIDTH = A4[0] - 2 * MARGIN
SHARP = 180 / inch  # pixels a point of a slice; more is not seen in print
NO_BREAK = "\N{NO-BREAK SPACE}"
REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"
INK, SOFT, RULE = HexColor("#1f2933"), HexColor("#5f6c7b"), HexColor("#d5dbe1")
PREDICTION, REFERENCE = (Color(*(value / 255 for value in colour)) for colour in (BLUE, ORANGE))

TEXT = ParagraphStyle("text", fontName=REGULAR, fontSize=8.5, leading=11, textColor=INK)
STRONG = ParagraphStyle("strong", TEXT, fontName=BOLD)
TITLE = ParagraphStyle("title", STRONG, fontSize=17, leading=23, spaceAfter=7)
SUBJECT = ParagraphStyle("subject", STRONG, fontSize=11, leading=15)
HEADING = ParagraphStyle("heading", STRONG, leading=15)
SMALL = ParagraphStyle("small", TEXT, fontSize=7.5, leading=9.5, textColor=SOFT)
AT_RIGHT = {style: ParagraphStyle("right", style, alignment=TA_RIGHT) for style in (TEXT, STRONG, SMALL)}

TIGHT: list[tuple[Any, ...]] = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
TIGHT += [("VALIGN", (0, 0), (-1, -1), "TOP"), ("FONTNAME", (0, 0), (-1, -1), REGULAR)]
CAPTION = [*TIGHT, ("TOPPADDING", (0, 0), (-1, -1), 2), ("BOTTOMPADDING", (0, 0), (-1, -1), 6)]
BARRED = [*TIGHT, ("LINEBEFORE", (0, 0), (0, -1), 3, REFERENCE), ("LEFTPADDING", (0, 0), (-1, -1), 9)]
RULED = [
    *TIGHT,
    ("TOPPADDING", (0, 0), (-1, -1), 2.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 3.5),
    ("LINEBELOW", (0, 0), (-1, -1), 0.6, RULE),
    ("LINEBELOW", (0, 0), (-1, 0), 0.6, INK),
]


@cache
def register_fonts() -> None:
    """DejaVu Sans, which matplotlib brings: it has the letters of every European language and the signs of the report."""
    package = find_spec("matplotlib")  # found, and not imported
    assert package is not None and package.origin is not None
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf"))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD)


def paragraph(text: str, style: ParagraphStyle = TEXT, most: int = 400) -> Paragraph:
    """Any text: what does not print is a space, and what is too long loses its middle, as names differ at their ends."""
    text = NO_BREAK.join(map(printable, text.split(NO_BREAK)))
    return Paragraph(escape(shortened(text, most)), style)


def shortened(text: str, most: int) -> str:
    """At most so many letters, the middle left out."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"


def barred(paragraphs: Iterable[Paragraph]) -> Table:
    """Paragraphs beside a bar that catches the eye."""
    return Table([[one] for one in paragraphs], [WIDTH], style=BARRED)


def ruled(rows: Sequence[Sequence[str]], widths: Sequence[float], figures: int, sums: bool = False) -> Table:
    """A table below its first row, its last columns, so many, at the right. sums: the last row is bold as the first is."""
    cells = []
    for number, row in enumerate(rows):
        style = STRONG if number == 0 or (sums and number == len(rows) - 1) else TEXT
        styles = [style] * (len(row) - figures) + [AT_RIGHT[style]] * figures
        cells.append([paragraph(text, style) for text, style in zip(row, styles, strict=True)])
    return Table(cells, widths, repeatRows=1, hAlign="LEFT", style=RULED)


class Slice(Flowable):
    """A slice (H, W) uint8 in a black square, the whole field of view in true proportion, with lines on it.

    spacing: between rows and columns. lines: points (N, 2) of row and column, a pixel's middle being a whole number, with
    their colour, their width in points and whether they are dashed.
    """

    def __init__(
        self,
        picture: np.ndarray,
        spacing: tuple[float, float],
        lines: Iterable[tuple[np.ndarray, Color, float, bool]],
        side: float,
    ) -> None:
        super().__init__()
        self.picture, self.spacing, self.lines = picture, np.array(spacing), lines
        self.width = self.height = side

    def draw(self) -> None:
        side, canvas = self.width, self.canv
        size = np.array(self.picture.shape) * self.spacing
        scale = self.spacing * side / size.max()  # points of a row and of a column
        height, width = size * side / size.max()
        left, top = (side - width) / 2, (side + height) / 2
        canvas.rect(0, 0, side, side, stroke=0, fill=1)
        pixels = [max(1, round(extent * SHARP)) for extent in (width, height)]
        shown = Image.fromarray(self.picture).resize((pixels[0], pixels[1]), Image.Resampling.BICUBIC)
        canvas.drawImage(ImageReader(shown), left, top - height, width, height)
        canvas.setLineJoin(1)
        for points, colour, thickness, dashed in self.lines:
            canvas.setStrokeColor(colour)
            canvas.setLineWidth(thickness)
            canvas.setDash(*((2.2, 1.6) if dashed else ()))
            path = canvas.beginPath()
            for n, (row, column) in enumerate((points + 0.5) * scale):
                (path.lineTo if n else path.moveTo)(left + column, top - row)
            canvas.drawPath(path)


class _Info(PDFInfo):
    """Neither date nor author: the file says what made it and nothing else."""

    def format(self, document: Any) -> Any:
        said = {"Title": self.title, "Creator": self.creator, "Producer": self.producer}
        return PDFDictionary({key: PDFString(value) for key, value in said.items()}).format(document)


class _Canvas(Canvas):
    """Pages that say how many there are: all are kept until the last is known."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._doc.info = _Info()
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, 1):
            self.__dict__.update(page)
            self.setFont(REGULAR, SMALL.fontSize)
            self.setFillColor(SOFT)
            self.drawRightString(A4[0] - MARGIN, MARGIN + FOOT - 17, f"{number} / {len(self._pages)}")
            super().showPage()
        super().save()


def printed(story: list[Flowable], head: str, foot: Sequence[str], title: str, software: str, language: str) -> bytes:
    """A story as a PDF of A4 pages; on each what stands at its head, beside a bar, and at its foot."""

    def margins(canvas: Canvas, _: object) -> None:
        notice = barred([paragraph(head, STRONG)])
        notice.drawOn(canvas, MARGIN, A4[1] - MARGIN - notice.wrapOn(canvas, WIDTH, HEAD)[1])
        top = MARGIN + FOOT - 9
        canvas.setStrokeColor(RULE)
        canvas.line(MARGIN, top + 3, A4[0] - MARGIN, top + 3)
        for text in foot:
            line = paragraph(text, SMALL)
            top -= line.wrapOn(canvas, WIDTH - 0.5 * inch, FOOT)[1]
            line.drawOn(canvas, MARGIN, top)

    file = BytesIO()
    document = BaseDocTemplate(
        file, pagesize=A4, title=title, creator=software, producer=software, lang=language, invariant=1,
        initialFontName=REGULAR,
    )  # fmt: skip
    space = Frame(MARGIN, MARGIN + FOOT, WIDTH, A4[1] - 2 * MARGIN - HEAD - FOOT, 0, 0, 0, 0)
    document.addPageTemplates(PageTemplate(frames=[space], onPage=margins))
    document.build(story, canvasmaker=_Canvas)
    return file.getvalue()
