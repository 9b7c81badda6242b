"""The share over time as an SVG, drawn on the server: two lines, told apart by dash and marker, not by colour alone.

The table beside it has the same figures, and the drawing says so to readers who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 8, 16, 56


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name and a share (0..1) per day, None where nothing was charged."""

    name: str
    shares: Sequence[float | None]
    dashed: bool = False


def lines(days: Sequence[date], series: Sequence[Series], title: str) -> Markup:
    """The drawing. Days without a figure interrupt a line; a single day is a marker."""
    drawn = [*_grid(), *_days(days)]
    for one in series:
        points = [None if share is None else (_x(n, len(days)), _y(share)) for n, share in enumerate(one.shares)]
        dash = ' stroke-dasharray="7 5"' if one.dashed else ""
        for run in _runs(points):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
            drawn.append(f'<polyline points="{path}" fill="none" stroke="{_ink(one)}" stroke-width="3"{dash}/>')
            drawn += [_marker(x, y, one) for x, y in run]
    legend = (_LEFT + 8, WIDTH // 2 + 30)
    for one, x in zip(series, legend, strict=False):
        drawn.append(_marker(x, HEIGHT - 8, one))
        drawn.append(
            f'<text x="{x + 12}" y="{HEIGHT - 3}" font-size="16" fill="currentColor">{escape(one.name)}</text>'
        )
    return Markup(  # noqa: S704 - numbers of ours; every word is escaped
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img" aria-label="{escape(title)}">'
        + "".join(drawn)
        + "</svg>"
    )


def _grid() -> list[str]:
    drawn = []
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        drawn.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)" stroke-width="1"/>'
            f'<text x="{_LEFT - 8}" y="{y + 5:.1f}" font-size="16" text-anchor="end" fill="var(--soft)">{percent} %</text>'
        )
    return drawn


def _days(days: Sequence[date]) -> list[str]:
    step = max(1, -(-len(days) // 5))  # at most five dates fit
    return [
        f'<text x="{_x(n, len(days)):.1f}" y="{HEIGHT - _BOTTOM + 22}" font-size="16" text-anchor="middle"'
        f' fill="var(--soft)">{day:%d/%m}</text>'
        for n, day in enumerate(days)
        if n % step == 0
    ]


def _x(n: int, count: int) -> float:
    inside = WIDTH - _LEFT - _RIGHT - 40
    return _LEFT + 20 + (inside / 2 if count == 1 else inside * n / (count - 1))


def _y(share: float) -> float:
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _ink(series: Series) -> str:
    return "currentColor" if series.dashed else "var(--lacquer)"


def _marker(x: float, y: float, series: Series) -> str:
    if series.dashed:
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="var(--card)" stroke="{_ink(series)}" stroke-width="2"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{_ink(series)}"/>'


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]
