"""The part of the PDF that compares a patient's visits: charts, tables and the words that go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.lib.units import inch
from reportlab.platypus import CondPageBreak, Flowable, Spacer, Table

from lgg_demo.measure.growth import MONTHS_A_YEAR, mean_diameter
from lgg_demo.measure.rano import Category
from lgg_demo.output import paper
from lgg_demo.output.chart import HEIGHT, Chart, Point
from lgg_demo.output.paper import WIDTH, paragraph, shortened
from lgg_demo.output.wording import Wording

MOST_ROWS, MOST_VISITS = 20, 5  # of the table of lesions; the visits that it has columns for are the last
GAP = 14.0  # points between the two charts
CATEGORIES: dict[Category, str] = {
    "complete_response": "rano_complete_response",
    "partial_response": "rano_partial_response",
    "minor_response": "pdf_minor_response",
    "stable_disease": "rano_stable_disease",
    "progressive_disease": "rano_progressive_disease",
}
STATES = {
    "present": "pdf_lesion_present",
    "new": "pdf_lesion_new",
    "disappeared": "pdf_lesion_disappeared",
    "outside": "pdf_lesion_outside",
}


def compared(follow_up: Mapping[str, Any], wording: Wording) -> list[Flowable]:
    """What a report's `follow_up` says of one patient."""
    heading = wording.say("pdf_follow_up", patient=shortened(follow_up["patient"], 60))
    story: list[Flowable] = [Spacer(0, 12), CondPageBreak(4 * inch), paragraph(heading, paper.SUBJECT), Spacer(0, 4)]
    sized = all(visit["volume_ml"] is not None for visit in follow_up["visits"])
    if sized:
        story += [_charts(follow_up, wording), Spacer(0, 6)]
    story += [_visits(follow_up["visits"], wording), Spacer(0, 8)]
    if follow_up["changes"]:
        story += [_changes(follow_up["changes"], wording), Spacer(0, 4)]
        story += [paragraph(_notice(follow_up["changes"]), paper.SMALL), Spacer(0, 8)]
    if follow_up["lesions"]:
        story += [CondPageBreak(1.2 * inch), _lesions(follow_up, wording), Spacer(0, 8)]
    if follow_up["warnings"]:
        story += [paper.barred(map(paragraph, follow_up["warnings"])), Spacer(0, 6)]
    return story


def _notice(changes: Sequence[Mapping[str, Any]]) -> str:
    return str(next(change["rano_2_0"]["notice"] for change in changes if change["rano_2_0"]))


def _charts(follow_up: Mapping[str, Any], wording: Wording) -> Flowable:
    """Volume and mean diameter against months; against the order of the visits where nobody said when they were."""
    visits = follow_up["visits"]
    timed = all(visit["months"] is not None for visit in visits) and len({visit["months"] for visit in visits}) > 1
    places = [float(visit["months"]) if timed else float(n) for n, visit in enumerate(visits)]
    marks = [
        (x, wording.number(x, 0 if x == round(x) else 1) if timed else shortened(visit["visit"], 10))
        for x, visit in zip(places, visits, strict=True)
    ]
    below = wording.say("pdf_months" if timed else "pdf_order")
    volumes, diameters = [], []
    for x, visit in zip(places, visits, strict=True):
        ends = visit["volume_ml_interval"]
        volumes.append(Point(x, visit["volume_ml"], *(ends or ())))
        diameters.append(Point(x, visit["mean_diameter_mm"], *(mean_diameter(end) for end in ends or ())))
    side = (WIDTH - GAP) / 2
    charts = [
        Chart(volumes, wording.say("chart_volume"), below, marks, side),
        Chart(diameters, wording.say("chart_diameter"), below, marks, side, _trend(follow_up, diameters, timed)),
    ]
    return Table([charts], [side + GAP, side], [HEIGHT], style=paper.TIGHT)


def _trend(follow_up: Mapping[str, Any], points: Sequence[Point], timed: bool) -> tuple[Point, Point] | None:
    """The line whose slope is the velocity through all visits: it goes through the mean of all points."""
    slopes = [c["velocity_mm_per_year"] for c in follow_up["changes"] if c["rano_2_0"]]
    if not timed or not slopes or slopes[-1] is None:
        return None
    slope = slopes[-1] / MONTHS_A_YEAR
    x, value = (sum(v) / len(points) for v in ([p.x for p in points], [p.value for p in points]))
    first, last = (Point(end.x, max(0.0, value + slope * (end.x - x))) for end in (points[0], points[-1]))
    return first, last


def _visits(visits: Sequence[Mapping[str, Any]], wording: Wording) -> Flowable:
    keys = ("pdf_visit", "file", "pdf_months_after", "volume", "pdf_interval", "chart_diameter")
    rows = [[wording.say(key) for key in keys]]
    for visit in visits:
        ends = visit["volume_ml_interval"]
        name = f"{shortened(visit['visit'], 16)}{'*' if visit.get('corrected') else ''}"
        rows.append(
            [
                f"{name} ({visit['date']})" if "date" in visit else name,
                shortened(visit["file"], 30),
                "–" if visit["months"] is None else wording.number(visit["months"], 1),
                wording.volume(visit["volume_ml"]),
                _between(ends, wording, 1, "mL"),
                wording.unit(visit["mean_diameter_mm"], "mm"),
            ]
        )
    if any(visit.get("corrected") for visit in visits):
        rows.append([wording.say("pdf_corrected"), *[""] * (len(keys) - 1)])
    widths = [1.1 * inch, WIDTH - 5.0 * inch, 0.6 * inch, 0.8 * inch, 1.3 * inch, 1.2 * inch]
    return paper.ruled(rows, widths, figures=4)


def _between(ends: Sequence[float] | None, wording: Wording, digits: int, unit: str, sign: bool = False) -> str:
    if not ends:
        return "–"
    low, high = (wording.signed(end, digits) if sign else wording.number(end, digits) for end in ends)
    return wording.say("pdf_between", low=low, high=high, unit=unit)


def _changes(changes: Sequence[Mapping[str, Any]], wording: Wording) -> Flowable:
    keys = ("pdf_change", "volume", "pdf_share", "pdf_velocity", "pdf_by_volume", "pdf_by_area")
    rows = [[wording.say(key) for key in keys]]
    for change in changes:
        rano = change["rano_2_0"] or {}
        share = f"{wording.signed(change['volume_percent'])} %" if change["volume_percent"] is not None else "–"
        if change["volume_percent_interval"]:
            share += f" ({_between(change['volume_percent_interval'], wording, 0, '%', sign=True)})"
        if change["measurable"] is False:
            share += f" {wording.say('pdf_not_measurable')}"
        rows.append(
            [
                f"{shortened(change['from'], 12)} → {shortened(change['to'], 12)}",
                f"{wording.signed(change['volume_ml'])} mL",
                share,
                wording.signed(change["velocity_mm_per_year"]),
                _category(rano.get("by_volume"), wording),
                _category(rano.get("by_area"), wording),
            ]
        )
    widths = [1.1 * inch, 0.75 * inch, WIDTH - 4.75 * inch, 0.9 * inch, 1.0 * inch, 1.0 * inch]
    return paper.ruled(rows, widths, figures=0)


def _category(category: Category | None, wording: Wording) -> str:
    return "–" if category is None else wording.say(CATEGORIES[category])


def _lesions(follow_up: Mapping[str, Any], wording: Wording) -> Flowable:
    """A row for each lesion: what became of it, its volume at the last visits, its change."""
    labels = [visit["visit"] for visit in follow_up["visits"]][-MOST_VISITS:]
    rows = [[wording.say("lesions"), "", *(shortened(label, 10) for label in labels), wording.say("pdf_change")]]
    for lesion in follow_up["lesions"][:MOST_ROWS]:
        volumes = [wording.volume(visit["volume_ml"]) for visit in lesion["visits"][-MOST_VISITS:]]
        change = f"{wording.signed(lesion['volume_percent'])} %" if lesion["volume_percent"] is not None else "–"
        rows.append([str(lesion["lesion"]), wording.say(STATES[lesion["status"]]), *volumes, change])
    if (more := len(follow_up["lesions"]) - MOST_ROWS) > 0:
        rows.append([wording.say("report_more", more=more), *[""] * (len(labels) + 2)])
    each = min(1.0 * inch, (WIDTH - 2.8 * inch) / len(labels))
    widths = [0.8 * inch, WIDTH - 1.7 * inch - each * len(labels), *[each] * len(labels), 0.9 * inch]
    return paper.ruled(rows, widths, figures=len(labels) + 1)
