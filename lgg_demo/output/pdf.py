"""The report as a PDF: pictures with outlines, warnings, figures, and what was used to make them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
from reportlab.lib.colors import white
from reportlab.lib.units import inch
from reportlab.platypus import CondPageBreak, Flowable, Paragraph, Spacer, Table

from lgg_demo.grid import Grid
from lgg_demo.measure.diameters import Diameters, largest_diameters
from lgg_demo.measure.units import area_mm2
from lgg_demo.messages import Language
from lgg_demo.output import paper
from lgg_demo.output.compared import compared
from lgg_demo.output.paper import NO_BREAK, PREDICTION, REFERENCE, WIDTH, paragraph, shortened
from lgg_demo.output.result import Result
from lgg_demo.output.wording import Wording

EDITS = ("edits_added", "edits_removed")
_ALONE = threading.Lock()  # reportlab keeps its fonts for the whole process

MOST_PICTURES, MOST_ROWS, MOST_WARNINGS, MOST_EDITS, MOST_LESIONS = 6, 40, 12, 24, 10


def write_pdf(
    path: Path,
    results: Sequence[Result],
    pictures: Sequence[np.ndarray | None] | None,
    report: Mapping[str, Any],
    language: Language = "en",
) -> None:
    """`pdf_of` as a file. Raises OSError where it cannot be written."""
    path.write_bytes(pdf_of(results, pictures, report, language))


def pdf_of(
    results: Sequence[Result],
    pictures: Sequence[np.ndarray | None] | None,
    report: Mapping[str, Any],
    language: Language = "en",
) -> bytes:
    """A report of one or several A4 pages as PDF.

    pictures: (S, H, W) uint8 of each result, see `display.grey`; None where a result has none. report: what `build_report`
    made of the same results in the same language.
    """
    with _ALONE:
        paper.register_fonts()
        return _Report(report, language).pages(results, pictures)


def chosen_slices(results: Sequence[Result], threshold: float, most: int = MOST_PICTURES) -> list[tuple[int, int]]:
    """The (result, slice) with the most predicted area, in the order of the stack.

    Where nothing is predicted, those with the most reference; without one either, slices evenly spread.
    """
    everything = [(r, s) for r, result in enumerate(results) for s in range(len(result.probability))]
    areas = (
        [r.mask(threshold).sum(axis=(1, 2)) for r in results],
        [np.zeros(len(r.probability)) if r.reference is None else r.reference.sum(axis=(1, 2)) for r in results],
    )
    for area in map(np.concatenate, areas):
        if area.any():
            best = np.argsort(-area, kind="stable")[:most]
            return [everything[i] for i in sorted(best) if area[i]]
    spread = np.linspace(0, len(everything), min(most, len(everything)), endpoint=False) + len(everything) / most / 2
    return [everything[min(int(i), len(everything) - 1)] for i in spread]


class _Report(Wording):
    """What a report says, in the words of a language."""

    def __init__(self, report: Mapping[str, Any], language: Language) -> None:
        super().__init__(language)
        self.report = report
        self.threshold: float = report["threshold"]

    def pages(self, results: Sequence[Result], pictures: Sequence[np.ndarray | None] | None) -> bytes:
        images, model, software = self.report["images"], self.report["model"], str(self.report["software"])
        title = self.say("report_title")
        made = self.say("report_model", model=model.get("name") or "–", sha=str(model.get("sha256") or "–")[:16])
        story = [paragraph(title, paper.TITLE), *self.subject(images)]
        shown = [(r, p) for r, p in zip(results, pictures or [None] * len(results), strict=True) if p is not None]
        if shown:
            story += self.pictures([r for r, _ in shown], [p for _, p in shown])
        story += self.warnings()
        if len(images) == 1:
            story += [self.figures(images[0], results[0]), *self.lesions(self.report["series"][0])]
        elif images:
            story += [CondPageBreak(1.5 * inch), self.table(images)]
        story += self.edits(images)
        for follow_up in self.report["follow_up"]:
            story += compared(follow_up, self)
        head = f"LGG Demo{NO_BREAK}·{NO_BREAK}{self.report['notice']}"
        foot = f"{made}  ·  {software}", self.say("report_conventions")
        return paper.printed(story, head, foot, title, software, self.language)

    # Words

    def area(self, pixels: int | None, grid: Grid | None = None) -> str:
        if pixels is None or grid is None:
            return self.unit(pixels, self.say("pixels"), 0)
        return self.unit(area_mm2(pixels, grid), "mm²", 0)

    def in_slice(self, value: str, number: int, slices: int) -> str:
        return value if slices == 1 else self.say("report_in_slice", value=value, slice=number)

    def diameters(self, entry: Mapping[str, Any], whose: str = "", in_slice: bool = False) -> str:
        unit = "mm" if "diameters_mm" in entry else "px"
        if not (lines := entry.get(f"{whose}diameters_{unit}")):
            return "–"
        value = f"{self.number(lines['longest'], 1)} × {self.unit(lines['perpendicular'], unit)}"
        return self.in_slice(value, lines["slice"], entry["slices"]) if in_slice else value

    # Parts

    def subject(self, images: Sequence[Mapping[str, Any]]) -> list[Flowable]:
        names = [shortened(image["file"], 70) for image in images[:1]]
        if len(images) > 1:
            names[0] += f"{NO_BREAK * 2}+ {len(images) - 1}"
        parts = [self.say("report_slices", slices=self.report["total"]["slices"])] if images else []
        sizes = {(image["width"], image["height"]) for image in images}
        if len(sizes) == 1:
            parts.append("{} × {} {}".format(*sizes.pop(), self.say("pixels")))
        voxels = {tuple(image.get("spacing_mm", ())) for image in images}
        if len(voxels) == 1 and (voxel := voxels.pop()):
            parts.append(self.say("report_voxels", voxel=" × ".join(self.number(v, 2) for v in reversed(voxel))))
        parts.append(self.say("report_threshold", threshold=self.number(self.threshold, 2)))
        said = paragraph(f"{NO_BREAK * 2}·{NO_BREAK} ".join(parts), paper.SMALL)
        return [*(paragraph(name, paper.SUBJECT) for name in names), said, Spacer(0, 8)]

    def pictures(self, results: Sequence[Result], pictures: Sequence[np.ndarray]) -> list[Flowable]:
        chosen = chosen_slices(results, self.threshold)
        longest = {
            r: largest_diameters(results[r].mask(self.threshold), _plane(results[r])) for r in {r for r, _ in chosen}
        }
        columns, gap = min(3, len(chosen)), 7.0
        side = min((WIDTH - gap * (columns - 1)) / columns, (4.0, 3.3, 2.3)[columns - 1] * inch)
        cells: list[Any] = [
            [self.slice(results[r], pictures[r][s], s, longest[r], side), self.caption(results[r], s, side)]
            for r, s in chosen
        ]
        cells += [""] * (-len(cells) % columns)
        rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        grid = Table(rows, [side + gap] * columns, hAlign="LEFT", style=paper.TIGHT)
        keys = [(PREDICTION, "panel_prediction")]
        keys += [(REFERENCE, "panel_reference")] if any(_known(results[r], s) is not None for r, s in chosen) else []
        legend = [f'<font color="#{colour.hexval()[2:]}">▬</font> {self.say(key)}' for colour, key in keys]
        if not self.report["total"]["predicted_pixels"]:
            legend.append(f"<b>{self.say('report_nothing')}</b>")
        return [grid, Paragraph((NO_BREAK * 5).join(legend), paper.TEXT), Spacer(0, 9)]

    def slice(self, result: Result, picture: np.ndarray, s: int, longest: Diameters | None, side: float) -> Flowable:
        outlines = [(result.mask(self.threshold, slice(s, s + 1))[0], PREDICTION, 1.0)]
        if (reference := _known(result, s)) is not None:
            outlines.insert(0, (reference, REFERENCE, 2.0))  # wider, to be seen where both are one
        lines = [
            (np.asarray(points)[:, ::-1] - 1, colour, width, False)
            for mask, colour, width in outlines
            for points in contourpy.contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)  # closed at the edge too
        ]
        if longest is not None and longest.slice == s:
            lines += [(ends, white, 0.7, True) for ends in longest.ends]
        return paper.Slice(picture, _plane(result), lines, side)

    def caption(self, result: Result, s: int, side: float) -> Flowable:
        name, place = next((name, place) for name, place in result.entries if place.start <= s < place.stop)
        parts = [shortened(name, 20)] if len(self.report["images"]) > 1 else []
        if place.stop - place.start > 1:
            parts.append(self.say("report_slice", slice=s - place.start + 1))
        area = self.area(int(result.mask(self.threshold, slice(s, s + 1)).sum()), result.physical)
        row = [paragraph((NO_BREAK * 2).join(parts), paper.SMALL), paragraph(area, paper.AT_RIGHT[paper.SMALL])]
        return Table([row], [side * 0.68, side * 0.32], hAlign="LEFT", style=paper.CAPTION)

    def warnings(self) -> list[Flowable]:
        """What went wrong, and what to beware of."""
        said = [*(unread["message"] for unread in self.report["unreadable"]), *self.report["warnings"]]
        more = [self.say("report_more", more=len(said) - MOST_WARNINGS)] if len(said) > MOST_WARNINGS else []
        if not said:
            return []
        heading = [CondPageBreak(inch), paragraph(self.say("report_warnings"), paper.HEADING)]
        return [*heading, paper.barred(map(paragraph, [*said[:MOST_WARNINGS], *more])), Spacer(0, 10)]

    def figures(self, entry: Mapping[str, Any], result: Result) -> Flowable:
        """The measures of one file: prediction beside reference, and their agreement on the right."""
        scored, grid = "dice" in entry, result.physical
        rows = {"measures": [self.say("panel_prediction"), self.say("panel_reference")]}
        if grid is None:
            rows["report_area"] = [self.area(entry.get(key)) for key in ("predicted_pixels", "reference_pixels")]
        else:
            rows["volume"] = [self.volume(entry.get(key)) for key in ("volume_ml", "reference_volume_ml")]
            rows["largest_area"] = [self.largest_area(m, grid) for m in (result.mask(self.threshold), result.reference)]
        rows["diameters"] = [self.diameters(entry, whose, in_slice=True) for whose in ("", "reference_")]
        table = [[self.say(key), *values[: 1 + scored]] for key, values in rows.items()]
        if not scored:
            return paper.ruled(table, [1.2 * inch, WIDTH - 1.2 * inch], figures=0)
        surfaces = ("hd95", "surface_dice", "volume_difference") if "hd95_mm" in entry else ()
        agreement = [[self.say(key), self.cell(entry, key)] for key in ("panel_agreement", "dice", "iou", *surfaces)]
        left = paper.ruled(table, [1.15 * inch, 1.8 * inch, 1.8 * inch], figures=0)
        right = paper.ruled(agreement, [1.4 * inch, WIDTH - 6.4 * inch], figures=1)
        return Table([[left, right]], [5 * inch, WIDTH - 5 * inch], style=paper.TIGHT)

    def lesions(self, series: Mapping[str, Any]) -> list[Flowable]:
        """A row for each of several abnormalities; of a single one the figures above say as much."""
        if series["lesion_count"] < 2:
            return []
        sized = "volume_ml" in series["lesions"][0]
        rows = [
            [
                self.say(key)
                for key in ("lesions", "volume" if sized else "report_area", "diameters", "report_extent", "slices")
            ]
        ]
        for number, lesion in enumerate(series["lesions"][:MOST_LESIONS], 1):
            amount = self.volume(lesion["volume_ml"]) if sized else self.area(lesion["pixels"])
            extent = self.unit(lesion.get("craniocaudal_mm"), "mm")
            place = "–".join(str(s) for s in sorted(set(lesion["slices"])))
            size = self.diameters(lesion | {"slices": series["slices"]}, in_slice=True)
            rows.append([str(number), amount, size, extent, place])
        if (more := series["lesion_count"] - MOST_LESIONS) > 0:
            rows.append([self.say("report_more", more=more), *[""] * 4])
        widths = [0.8 * inch, 1.0 * inch, 2.0 * inch, 1.9 * inch]
        table = paper.ruled(rows, [*widths, WIDTH - sum(widths)], figures=0)
        return [Spacer(0, 10), CondPageBreak(1.2 * inch), table]

    def largest_area(self, mask: np.ndarray | None, grid: Grid) -> str:
        """The largest area of a mask (S, H, W) in one slice, and which."""
        if mask is None or not mask.any():
            return "–"
        areas = mask.sum(axis=(1, 2))
        return self.in_slice(self.area(int(areas.max()), grid), int(areas.argmax()) + 1, len(mask))

    def table(self, images: Sequence[Mapping[str, Any]]) -> Flowable:
        """A row a file, the largest first, and all together."""
        total = self.report["total"]
        sized = all("volume_ml" in image for image in images)
        widths = {"slices": 0.6, "volume" if sized else "report_area": 1.0, "diameters": 1.5}
        widths |= {"dice": 0.6, "iou": 0.6} if "dice" in total else {}
        widths |= {"hd95": 1.1} if sized and any("hd95_mm" in image for image in images) else {}
        columns = [width * inch for width in widths.values()]
        room = WIDTH - sum(columns)
        rows = [[self.say(key) for key in ("file", *widths)]]
        for entry in sorted(images, key=lambda image: -image["volume_ml" if sized else "predicted_pixels"])[:MOST_ROWS]:
            rows.append([shortened(entry["file"], int(room / 5.5)), *(self.cell(entry, key) for key in widths)])
        if len(images) > MOST_ROWS:
            rows.append([self.say("report_more", more=len(images) - MOST_ROWS), *[""] * len(widths)])
        rows.append([self.say("report_all"), *(self.cell(total, key) for key in widths)])
        return paper.ruled(rows, [room, *columns], figures=len(columns), sums=True)

    def edits(self, images: Sequence[Mapping[str, Any]]) -> list[Flowable]:
        """What was corrected by hand: by slice on the left, by lesion on the right."""
        edited = [(image, image["manual_edits"]) for image in images if "manual_edits" in image]
        if not edited:
            return []
        several = len(images) > 1
        tables = []
        for kind, key in (("slices", "edits_slices"), ("lesions", "edits_lesions")):
            rows = [
                [*([shortened(image["file"], 18)] if several else []), _placed(e), *self.added_and_removed(e)]
                for image, edits in edited
                for e in edits[kind]
            ]
            head = [*([self.say("file")] if several else []), self.say(key), *map(self.say, EDITS)]
            more = len(rows) - MOST_EDITS
            rest = [[self.say("report_more", more=more), *[""] * (len(head) - 1)]] if more > 0 else []
            widths = [1.0 * inch] * several + [1.5 * inch - 0.5 * inch * several, 0.8 * inch, 0.8 * inch]
            tables.append(paper.ruled([head, *rows[:MOST_EDITS], *rest], widths, figures=2))
        heading = paragraph(self.say("report_edits"), paper.HEADING)
        return [Spacer(0, 10), CondPageBreak(2 * inch), heading, Table([tables], [WIDTH / 2] * 2, style=paper.TIGHT)]

    def added_and_removed(self, edits: Mapping[str, int]) -> list[str]:
        return [f"+{edits['added_pixels']}", f"−{edits['removed_pixels']}"]

    def cell(self, entry: Mapping[str, Any], key: str) -> str:
        """What a table says of an entry, or of all together."""
        match key:
            case "slices":
                return str(entry["slices"])
            case "volume":
                return self.volume(entry.get("volume_ml"))
            case "report_area":
                return self.area(entry["predicted_pixels"])
            case "diameters":
                return self.diameters(entry)
            case "hd95":
                return self.unit(entry.get("hd95_mm"), "mm")
            case "surface_dice":
                return self.number(entry["surface_dice_2mm"])
            case "volume_difference":
                difference = entry["volume_difference_ml"]
                return ("+" if difference > 0 else "−" if difference < 0 else "") + self.volume(abs(difference))
            case "dice" | "iou":
                return self.number(entry.get(key))
        return ""


def _placed(edits: Mapping[str, int]) -> str:
    """The slice, or the first and the last, of an entry of `manual_edits`."""
    if "slice" in edits:
        return str(edits["slice"])
    return "–".join(map(str, sorted({edits["first_slice"], edits["last_slice"]})))


def _plane(result: Result) -> tuple[float, float]:
    """Spacing between rows and columns, which gives the proportions of a slice."""
    return result.grid.spacing_mm[1:] if result.grid else (1.0, 1.0)


def _known(result: Result, s: int) -> np.ndarray | None:
    """The reference (H, W) of a slice, None where it has none."""
    if result.reference is None or result.referenced is None or not result.referenced[s]:
        return None
    return np.asarray(result.reference[s])
