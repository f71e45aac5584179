"""A chart of one figure against time, on a page of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reportlab.platypus import Flowable

from lgg_demo.output.paper import INK, PREDICTION, REGULAR, RULE, SMALL, SOFT, STRONG

LEFT, RIGHT, TOP, BOTTOM = 30.0, 10.0, 18.0, 24.0  # points around the plot
HEIGHT = 150.0
DOT, CAP = 2.4, 3.0  # points
LINES = 4  # across the plot, about


@dataclass(frozen=True)
class Point:
    """x: in the unit of the axis; low, high: the interval, None where there is none."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


def steps_of(highest: float) -> list[float]:
    """Round values from 0 to at least the highest, for the lines of a chart."""
    rough = max(highest, 1e-9) / LINES
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough * (1 - 1e-9))
    return [n * step for n in range(max(1, math.ceil(highest / step - 1e-9)) + 1)]


class Chart(Flowable):
    """Points with their intervals, joined by a line, from 0 up.

    title: what is shown, with its unit; below: what the x axis is; marks: of the x axis, with their places. trend: the
    two ends of a line through the points.
    """

    def __init__(
        self,
        points: Sequence[Point],
        title: str,
        below: str,
        marks: Sequence[tuple[float, str]],
        width: float,
        trend: tuple[Point, Point] | None = None,
    ) -> None:
        super().__init__()
        self.points, self.title, self.below, self.marks, self.trend = points, title, below, marks, trend
        self.width, self.height = width, HEIGHT
        ends = [point.x for point in points]
        self._from, self._wide = min(ends), max(ends) - min(ends) or 1.0
        self._lines = steps_of(max(max(p.value, p.high or 0.0) for p in points))

    def _x(self, x: float) -> float:
        inner = self.width - LEFT - RIGHT
        return LEFT + inner * (0.06 + 0.88 * (x - self._from) / self._wide)

    def _y(self, value: float) -> float:
        return BOTTOM + (HEIGHT - TOP - BOTTOM) * value / self._lines[-1]

    def draw(self) -> None:
        canvas = self.canv
        canvas.setFont(STRONG.fontName, SMALL.fontSize)
        canvas.setFillColor(INK)
        canvas.drawString(0, HEIGHT - 9, self.title)
        canvas.setFont(REGULAR, SMALL.fontSize - 0.5)
        canvas.setFillColor(SOFT)
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.6)
        for value in self._lines:
            canvas.line(LEFT, self._y(value), self.width - RIGHT, self._y(value))
            canvas.drawRightString(LEFT - 4, self._y(value) - 2.5, f"{value:g}")
        for x, mark in self.marks:
            canvas.drawCentredString(self._x(x), BOTTOM - 10, mark)
        canvas.drawCentredString(LEFT + (self.width - LEFT - RIGHT) / 2, 3, self.below)
        self._draw_points()

    def _draw_points(self) -> None:
        canvas = self.canv
        canvas.setStrokeColor(PREDICTION)
        canvas.setLineWidth(1.4)
        for one, other in zip(self.points, self.points[1:], strict=False):
            canvas.line(self._x(one.x), self._y(one.value), self._x(other.x), self._y(other.value))
        canvas.setStrokeColor(INK)
        canvas.setFillColor(INK)
        canvas.setLineWidth(0.8)
        if self.trend is not None:
            canvas.setDash(2.2, 1.6)
            (one, other) = self.trend
            canvas.line(self._x(one.x), self._y(one.value), self._x(other.x), self._y(other.value))
            canvas.setDash()
        for point in self.points:
            x = self._x(point.x)
            if point.low is not None and point.high is not None:
                low, high = self._y(point.low), self._y(point.high)
                canvas.line(x, low, x, high)
                for end in (low, high):
                    canvas.line(x - CAP, end, x + CAP, end)
            canvas.circle(x, self._y(point.value), DOT, stroke=0, fill=1)
