"""The report as a PDF of a few pages."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

from lgg_demo.grid import Grid
from lgg_demo.measure.diameters import Diameters, largest_diameters
from lgg_demo.measure.units import area_mm2
from lgg_demo.messages import Language, say
from lgg_demo.output.display import BLUE, ORANGE
from lgg_demo.output.table import printable
from lgg_demo.rounding import rounded

_ALONE = threading.Lock()  # matplotlib's caches are not made for several threads at once


class Outlined(Protocol):
    """What a page of a report shows of a case; see `report.Result`."""

    @property
    def files(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def probability(self) -> np.ndarray: ...
    @property
    def reference(self) -> np.ndarray | None: ...
    @property
    def referenced(self) -> np.ndarray | None: ...
    @property
    def grid(self) -> Grid | None: ...
    @property
    def physical(self) -> Grid | None: ...
    def mask(self, threshold: float, place: slice = ...) -> np.ndarray: ...


PAPER = (8.27, 11.69)  # A4, inches
MARGIN = 0.62
MOST_PICTURES = 6
MOST_ROWS = 8
MOST_WARNINGS = 7  # lines
LARGEST_PICTURE = 512  # pixels a side; more is not seen in print
INK, SOFT, RULE = "#1f2933", "#5f6c7b", "#d5dbe1"


def write_pdf(
    path: Path,
    results: Sequence[Outlined],
    pictures: Sequence[np.ndarray | None] | None,
    report: Mapping[str, Any],
    language: Language = "en",
) -> None:
    """One A4 page of a report: pictures with outlines, figures, warnings, and what was used to make them.

    pictures: (S, H, W) uint8 of each result, see `render.grey`; None where a result has none. report: what `build_report`
    made of the same results in the same language.
    """
    with _ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        shown = [None] * len(results) if pictures is None else pictures
        _Page(report, language).fill(results, shown).save(path)


def chosen_slices(results: Sequence[Outlined], threshold: float, most: int = MOST_PICTURES) -> list[tuple[int, int]]:
    """The (result, slice) with the most predicted area, in the order of the stack.

    Where nothing is predicted, those with the most reference; without one either, slices evenly spread.
    """
    everything = [(r, s) for r, result in enumerate(results) for s in range(len(result.probability))]
    predicted = np.concatenate([r.mask(threshold).sum(axis=(1, 2)) for r in results])
    reference = np.concatenate(
        [np.zeros(len(r.probability)) if r.reference is None else r.reference.sum(axis=(1, 2)) for r in results]
    )
    for area in (predicted, reference):
        if area.any():
            best = np.argsort(-area, kind="stable")[:most]
            return [everything[i] for i in sorted(best) if area[i]]
    spread = np.linspace(0, len(everything), min(most, len(everything)), endpoint=False) + len(everything) / most / 2
    return [everything[min(int(i), len(everything) - 1)] for i in spread]


class _Page:
    """A page that fills from the top; lengths in inches, sizes of type in points."""

    def __init__(self, report: Mapping[str, Any], language: Language) -> None:
        self.report, self.language = report, language
        self.labels = {
            "dice": "Dice",
            "iou": "IoU",
            "prediction": say("panel_prediction", language),
            "reference": say("panel_reference", language),
            "agreement": say("panel_agreement", language),
            "measures": say("measures", language),
            "file": say("file", language),
            "slices": say("slices", language),
            "volume": say("volume", language),
            "area": say("report_area", language),
            "largest_area": say("largest_area", language),
            "diameters": say("diameters", language),
            "hd95": say("hd95", language),
            "surface_dice": say("surface_dice", language),
            "volume_difference": say("volume_difference", language),
        }
        self.figure = Figure(figsize=PAPER)
        FigureCanvasPdf(self.figure)  # savefig then asks for no screen
        self.longest: dict[int, Diameters | None] = {}
        self.y = MARGIN  # from the upper edge
        self.width = PAPER[0] - 2 * MARGIN

    def save(self, path: Path) -> None:
        # No date and no path: the file says what made it and nothing else.
        software = str(self.report["software"])
        self.figure.savefig(path, format="pdf", metadata={"Creator": software, "Producer": software, "CreationDate": None})

    # Parts

    def fill(self, results: Sequence[Outlined], pictures: Sequence[np.ndarray | None]) -> _Page:
        images = self.report["images"]
        self.head()
        self.subject(images, results)
        if any(p is not None for p in pictures):
            self.pictures(results, pictures)
        if len(images) == 1:
            self.figures(images[0], results[0])
        elif images:
            self.table(images)
        self.warnings()
        self.foot()
        return self

    def head(self) -> None:
        self.text(MARGIN, self.y, "LGG Demo", 9, SOFT, bold=True)
        self.y += 0.2
        self.text(MARGIN, self.y, say("report_title", self.language), 17, bold=True)
        self.y += 0.38
        lines = self.wrap(str(self.report["notice"]), 9.5, self.width - 0.15, bold=True)
        self.box(MARGIN, self.y, 0.05, 0.175 * len(lines) + 0.02, "#E69F00")
        for line in lines:
            self.text(MARGIN + 0.15, self.y, line, 9.5, bold=True)
            self.y += 0.175
        self.y += 0.16

    def subject(self, images: Sequence[Mapping[str, Any]], results: Sequence[Outlined]) -> None:
        name = images[0]["file"] if images else ""
        more = f"  + {len(images) - 1}" if len(images) > 1 else ""
        self.text(MARGIN, self.y, self.shorten(name, 11, self.width - 0.6, bold=True) + more, 11, bold=True)
        self.y += 0.21
        parts = []
        if images:
            slices = self.report["total"]["slices"]
            parts.append(say("report_slices", self.language, slices=slices))
        sizes = {(i["width"], i["height"]) for i in images}
        if len(sizes) == 1:
            parts.append("{} × {} {}".format(*sizes.pop(), say("pixels", self.language)))
        voxels = {tuple(i.get("spacing_mm", ())) for i in images}
        if len(voxels) == 1 and (voxel := voxels.pop()):
            across = " × ".join(self.number(v, 2) for v in (voxel[2], voxel[1], voxel[0]))
            parts.append(say("report_voxels", self.language, voxel=across))
        parts.append(say("report_threshold", self.language, threshold=self.number(self.report["threshold"], 2)))
        self.text(MARGIN, self.y, "   ·   ".join(parts), 8.5, SOFT)
        self.y += 0.27

    def pictures(self, results: Sequence[Outlined], pictures: Sequence[np.ndarray | None]) -> None:
        shown = [k for k, p in enumerate(pictures) if p is not None]
        chosen = chosen_slices([results[k] for k in shown], self.report["threshold"])
        chosen = [(shown[r], s) for r, s in chosen]
        columns = min(3, len(chosen))
        rows = -(-len(chosen) // columns)
        gap, label = 0.1, 0.21
        side = min((self.width - gap * (columns - 1)) / columns, (4.0 if len(chosen) == 1 else 3.3) if rows == 1 else 2.3)
        left = MARGIN
        several = len(results) > 1 or len(results[0].files) > 1
        referenced = False
        for r in {r for r, _ in chosen}:
            mask = results[r].mask(self.report["threshold"])
            _, down, right = grid.spacing_mm if (grid := results[r].grid) else (1.0, 1.0, 1.0)
            self.longest[id(results[r])] = largest_diameters(mask, (down, right))
        for n, (r, s) in enumerate(chosen):
            x, y = left + n % columns * (side + gap), self.y + n // columns * (side + label)
            picture = pictures[r]
            assert picture is not None
            referenced |= self.picture(results[r], picture, s, x, y, side)
            name, number = _file_of(results[r].files, s)
            slices = dict(results[r].files).get(name, 1)
            said = say("report_slice", self.language, slice=number) if slices > 1 else ""
            if several:
                said = f"{name}  {said}".strip()
            area = int(results[r].mask(self.report["threshold"], slice(s, s + 1)).sum())
            value = self.area(area, results[r].physical)
            room = side - self.measure(value, 7.5) - 0.12
            self.text(x, y + side + 0.045, self.shorten(said, 7.5, room), 7.5)
            self.text(x + side, y + side + 0.045, value, 7.5, SOFT, align="right")
        self.y += rows * (side + label) + 0.05
        x = MARGIN
        for key, colour, there in (("prediction", BLUE, True), ("reference", ORANGE, referenced)):
            if there:
                self.box(x, self.y + 0.045, 0.22, 0.035, _hex(colour))
                said = self.labels[key]
                self.text(x + 0.29, self.y, said, 8)
                x += 0.29 + self.measure(said, 8) + 0.3
        if not self.report["total"]["predicted_pixels"]:
            self.text(x, self.y, say("report_nothing", self.language), 8, bold=True)
        self.y += 0.3

    def picture(self, result: Outlined, picture: np.ndarray, s: int, x: float, y: float, side: float) -> bool:
        """A slice in a square with its outlines and, where it is the longest, its diameters; whether it has a reference."""
        height, width = picture.shape[1:]
        _, down, right = result.grid.spacing_mm if result.grid else (1.0, 1.0, 1.0)
        axes = self.figure.add_axes((x / PAPER[0], 1 - (y + side) / PAPER[1], side / PAPER[0], side / PAPER[1]))
        axes.set_axis_off()
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, color="black", zorder=0))
        step = max(1, -(-max(height, width) // LARGEST_PICTURE))
        axes.imshow(
            picture[s, ::step, ::step], cmap="gray", vmin=0, vmax=255, interpolation="bilinear", aspect="auto",
            extent=(-0.5, width - 0.5, height - 0.5, -0.5), zorder=1,
        )  # fmt: skip
        masks = [(result.mask(self.report["threshold"], slice(s, s + 1))[0], BLUE, 1.0)]
        known = result.reference is not None and result.referenced is not None and bool(result.referenced[s])
        if known and result.reference is not None:
            masks.insert(0, (result.reference[s], ORANGE, 2.0))  # wider, to be seen where both are one
        for mask, colour, line in masks:
            small = np.pad(mask[::step, ::step], 1).astype(np.float32)  # closed where it touches the edge
            if small.any():
                at = [np.arange(-1, n - 1) * step + (step - 1) / 2 for n in small.shape]
                axes.contour(at[1], at[0], small, levels=[0.5], colors=[_hex(colour)], linewidths=line, zorder=2)
        lines = self.longest.get(id(result))
        if lines is not None and lines.slice == s:
            for (r0, c0), (r1, c1) in lines.ends:
                axes.plot([c0, c1], [r0, r1], color="white", linewidth=0.7, dashes=(3, 2), zorder=3)
        half = max(height * down, width * right) / 2  # the whole field of view, in true proportion
        axes.set_xlim(width / 2 - 0.5 - half / right, width / 2 - 0.5 + half / right)
        axes.set_ylim(height / 2 - 0.5 + half / down, height / 2 - 0.5 - half / down)
        return known

    def figures(self, entry: Mapping[str, Any], result: Outlined) -> None:
        """The measures of one file: prediction beside reference, agreement on the right."""
        sized = "volume_ml" in entry
        scored = "dice" in entry
        unit = "mm" if sized else "px"
        rows = []
        if sized:
            rows.append(("volume", self.unit(entry["volume_ml"], "mL"), self.unit(entry.get("reference_volume_ml"), "mL")))
        else:
            rows.append(("area", self.pixels(entry["predicted_pixels"]), self.pixels(entry.get("reference_pixels"))))
        if result.physical is not None:
            masks = [result.mask(self.report["threshold"]), result.reference if scored else None]
            areas = [self.largest(m, result.physical, entry) for m in masks]
            rows.append(("largest_area", areas[0], areas[1]))
        lines = [self.diameters(entry.get(f"{who}diameters_{unit}"), unit, entry) for who in ("", "reference_")]
        if lines[0] or lines[1]:
            rows.append(("diameters", lines[0] or "–", lines[1] or "–"))
        right = []
        if scored:
            right = [("dice", self.number(entry["dice"], 3)), ("iou", self.number(entry["iou"], 3))]
            if sized and "hd95_mm" in entry:
                far, difference = entry["hd95_mm"], entry["volume_difference_ml"]
                right.append(("hd95", "–" if far is None else self.unit(far, "mm")))
                right.append(("surface_dice", self.number(entry["surface_dice_2mm"], 3)))
                sign = "+" if difference > 0 else "−" if difference < 0 else ""
                right.append(("volume_difference", sign + self.unit(abs(difference), "mL")))
        top = self.y
        x = [MARGIN, MARGIN + 1.2, MARGIN + 2.98]
        end = MARGIN + (4.75 if scored else self.width)
        self.heading([(x[0], "measures"), (x[1], "prediction"), *([(x[2], "reference")] if scored else [])], end)
        for key, predicted, reference in rows:
            height = 0.0
            cells = [(x[0], self.labels[key], 1.15), (x[1], predicted, 1.73 if scored else 5), (x[2], reference, 1.75)]
            for place, value, width in cells:
                if place == x[2] and not scored:
                    continue
                for k, line in enumerate(self.wrap(value, 8.5, width)):
                    self.text(place, self.y + k * 0.15, line, 8.5, SOFT if place == x[0] else INK)
                    height = max(height, 0.15 * (k + 1))
            self.y += height + 0.06
            self.rule(self.y - 0.02, MARGIN, end)
            self.y += 0.03
        bottom = self.y
        if right:
            self.y = top
            start = end + 0.25
            self.heading([(start, "agreement")], PAPER[0] - MARGIN)
            for key, value in right:
                self.text(start, self.y, self.labels[key], 8.5, SOFT)
                self.text(PAPER[0] - MARGIN, self.y, value, 8.5, align="right")
                self.y += 0.21
                self.rule(self.y - 0.02, start, PAPER[0] - MARGIN)
                self.y += 0.03
        self.y = max(self.y, bottom) + 0.12

    def table(self, images: Sequence[Mapping[str, Any]]) -> None:
        """A row a file, the largest first, and all together."""
        total = self.report["total"]
        sized = all("volume_ml" in i for i in images)
        far = sized and any("hd95_mm" in i for i in images)
        columns = [("slices", 0.6), ("volume" if sized else "area", 1.0), ("diameters", 1.55)]
        if "dice" in total:
            columns += [("dice", 0.6), ("iou", 0.6)]
        if far:
            columns += [("hd95", 1.1)]
        room = self.width - sum(w for _, w in columns)
        ends = MARGIN + room + np.cumsum([w for _, w in columns])
        self.heading([(MARGIN, "file")], PAPER[0] - MARGIN, list(zip(ends, [k for k, _ in columns], strict=True)))
        rows = sorted(images, key=lambda i: -i["volume_ml" if sized else "predicted_pixels"])
        below = 0.3 + 5 * 0.155 if self.sentences else 0.0  # the warnings come first
        most = max(1, min(MOST_ROWS, int((self.floor - self.y - below - 0.75) / 0.22)))
        for entry in [*rows[:most], total]:
            whole = entry is total
            if whole and len(rows) > most:
                self.text(MARGIN, self.y, say("report_more", self.language, more=len(rows) - most), 8, SOFT)
                self.y += 0.2
            name = say("report_all", self.language) if whole else entry["file"]
            unit = "mm" if "diameters_mm" in entry else "px"
            cells = {
                "slices": str(entry["slices"]),
                "volume": self.unit(entry.get("volume_ml"), "mL"),
                "area": self.pixels(entry["predicted_pixels"]),
                "diameters": self.diameters(entry.get(f"diameters_{unit}"), unit, None),
                "dice": self.number(entry["dice"], 3) if "dice" in entry else "–",
                "iou": self.number(entry["iou"], 3) if "iou" in entry else "–",
                "hd95": "–" if entry.get("hd95_mm") is None else self.unit(entry["hd95_mm"], "mm"),
            }
            if whole:
                cells["diameters"] = cells["hd95"] = ""
            self.text(MARGIN, self.y, self.shorten(name, 8.5, room - 0.05, bold=whole), 8.5, bold=whole)
            for end, (key, _) in zip(ends, columns, strict=True):
                self.text(float(end), self.y, cells[key], 8.5, align="right", bold=whole)
            self.y += 0.2
            self.rule(self.y - 0.025)
            self.y += 0.02
        self.y += 0.12

    def warnings(self) -> None:
        said = self.sentences
        if not said:
            return
        most = min(MOST_WARNINGS, int((self.floor - self.y - 0.3) / 0.155))
        self.text(MARGIN, self.y, say("report_warnings", self.language), 9, bold=True)
        self.y += 0.2
        lines: list[str] = []
        for n, sentence in enumerate(said):
            # A long name loses its middle, so that what is said of it stays.
            room = self.width - 0.15
            wrapped = self.wrap(self.shorten(sentence, 8, 2.8 * room), 8, room)
            if lines and len(lines) + len(wrapped) + (n < len(said) - 1) > most:
                lines.append(say("report_more", self.language, more=len(said) - n))
                break
            lines += wrapped
        self.box(MARGIN, self.y, 0.035, 0.155 * len(lines), "#E69F00")
        for line in lines:
            self.text(MARGIN + 0.13, self.y, line, 8)
            self.y += 0.155

    @property
    def sentences(self) -> list[str]:
        """What went wrong, and what to beware of."""
        return [*(u["message"] for u in self.report["unreadable"]), *self.report["warnings"]]

    @property
    def floor(self) -> float:
        """Where the foot begins."""
        return PAPER[1] - MARGIN - 0.72

    def foot(self) -> None:
        model = self.report["model"]
        self.y = self.floor
        self.rule(self.y)
        self.y += 0.08
        sha = str(model.get("sha256") or "–")
        made = say("report_model", self.language, model=model.get("name") or "–", sha=sha[:16])
        for text in (f"{made}  ·  {self.report['software']}", say("report_conventions", self.language)):
            for line in self.wrap(text, 7.5, self.width)[:3]:
                self.text(MARGIN, self.y, line, 7.5, SOFT)
                self.y += 0.14

    # Words and numbers

    def number(self, value: float, digits: int) -> str:
        said = f"{rounded(value, digits):.{digits}f}"
        return said.replace(".", ",") if self.language == "fr" else said

    def unit(self, value: float | None, unit: str, digits: int = 1) -> str:
        if value is None:
            return ""
        if unit == "mL" and value < 1:
            digits = 2
        return f"{self.number(value, digits)} {unit}"

    def pixels(self, value: int | None) -> str:
        return "" if value is None else f"{value} {say('pixels', self.language)}"

    def area(self, pixels: int, grid: Grid | None) -> str:
        return self.pixels(pixels) if grid is None else self.unit(area_mm2(pixels, grid), "mm²", 0)

    def largest(self, mask: np.ndarray | None, grid: Grid, entry: Mapping[str, Any]) -> str:
        """The largest area of a mask (S, H, W) in one slice, and which."""
        if mask is None or not mask.any():
            return "–"
        areas = mask.sum(axis=(1, 2))
        return self.at(self.area(int(areas.max()), grid), int(areas.argmax()) + 1, entry)

    def at(self, value: str, number: int, entry: Mapping[str, Any]) -> str:
        if entry["slices"] == 1:
            return value
        return say("report_in_slice", self.language, value=value, slice=number)

    def diameters(self, lines: Mapping[str, Any] | None, unit: str, entry: Mapping[str, Any] | None) -> str:
        if not lines:
            return ""
        value = f"{self.number(lines['longest'], 1)} × {self.number(lines['perpendicular'], 1)} {unit}"
        return self.at(value, lines["slice"], entry) if entry else value

    # Ink

    def text(
        self, x: float, y: float, text: str, size: float, colour: str = INK, bold: bool = False, align: str = "left"
    ) -> None:
        # A dollar in a file name is no formula.
        self.figure.text(
            x / PAPER[0], 1 - y / PAPER[1], printable(text), fontsize=size, color=colour, ha=align, va="top",
            fontweight="bold" if bold else "normal", parse_math=False,
        )  # fmt: skip

    def heading(self, left: Sequence[tuple[float, str]], end: float, right: Sequence[tuple[float, str]] = ()) -> None:
        for x, key in left:
            self.text(x, self.y, self.labels[key], 8.5, bold=True)
        for x, key in right:
            self.text(float(x), self.y, self.labels[key], 8.5, bold=True, align="right")
        self.y += 0.2
        self.rule(self.y - 0.02, min(x for x, _ in left), end, INK)
        self.y += 0.04

    def rule(self, y: float, start: float = MARGIN, end: float = PAPER[0] - MARGIN, colour: str = RULE) -> None:
        self.box(start, y, end - start, 0.008, colour)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        place = (x / PAPER[0], 1 - (y + height) / PAPER[1])
        self.figure.add_artist(Rectangle(place, width / PAPER[0], height / PAPER[1], color=colour, linewidth=0))

    def measure(self, text: str, size: float, bold: bool = False) -> float:
        """How wide a line is."""
        font = FontProperties(weight="bold" if bold else "normal", size=size)
        return float(TextToPath().get_text_width_height_descent(printable(text), font, False)[0]) / 72

    def shorten(self, text: str, size: float, width: float, bold: bool = False) -> str:
        """A line that fits, its middle left out where it does not: names differ at their ends."""
        text = text if len(text) <= 1000 else f"{text[:500]}{text[-500:]}"
        if self.measure(text, size, bold) <= width:
            return text
        low, high = 0, len(text)
        while low < high:  # letters kept
            kept = (low + high + 1) // 2
            short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
            low, high = (kept, high) if self.measure(short, size, bold) <= width else (low, kept - 1)
        return f"{text[: (low + 1) // 2]}…{text[len(text) - low // 2 :]}"

    def wrap(self, text: str, size: float, width: float, bold: bool = False) -> list[str]:
        """Lines that fit; a word that does not is shortened."""
        lines: list[str] = []
        for word in text[:2000].split():
            word = self.shorten(word, size, width, bold)
            if lines and self.measure(f"{lines[-1]} {word}", size, bold) <= width:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        return lines


def _file_of(files: Sequence[tuple[str, int]], s: int) -> tuple[str, int]:
    """The file of a slice of the stack, and the slice's number in it from 1."""
    for name, slices in files:
        if s < slices:
            return name, s + 1
        s -= slices
    raise IndexError(s)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
