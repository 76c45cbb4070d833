"""Draw curves over logarithmic axes as SVG: panels side by side, readable on a dark page and on a light one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

Ticks = Mapping[float, str]  # value and what is written there; the first and the last are the ends of the axis

_WIDTH, _HEIGHT = 380, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 84, 40, 48  # a panel's margins; the curves' labels are in the right one
# The background is drawn: who shows a picture on a dark page need not know of the media query.
_STYLE = """
.page { fill: #ffffff; }
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
text.title { font-weight: 600; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: #d1d9e0; fill: none; }
.curve { stroke-width: 2; fill: none; }
.a { stroke: #0969da; } .b { stroke: #bc4c00; } .c { stroke: #1a7f37; }
circle.a { fill: #0969da; } circle.b { fill: #bc4c00; } circle.c { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; } text { fill: #f0f6fc; } .grid { stroke: #3d444d; }
  .a { stroke: #4493f8; } .b { stroke: #f0883e; } .c { stroke: #3fb950; }
  circle.a { fill: #4493f8; } circle.b { fill: #f0883e; } circle.c { fill: #3fb950; }
}
"""
_COLOURS = "abc"


class Curve(NamedTuple):
    """A line through its points, whose label stands at its right end."""

    label: str
    points: Sequence[tuple[float, float]]


class Panel(NamedTuple):
    """Up to three curves over one pair of axes."""

    title: str
    x_name: str
    x: Ticks
    y: Ticks
    curves: Sequence[Curve]


def svg(panels: Sequence[Panel], description: str) -> str:
    """Draw the panels from left to right; `description` is for those who cannot see them."""
    width = _WIDTH * len(panels)
    size = f'viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={_quoted(description)}>',
        f"<style>{_STYLE}</style>",
        '<rect class="page" width="100%" height="100%"/>',
    ]
    for number, panel in enumerate(panels):
        lines += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def place(value: float, ends: Sequence[float], low: float, high: float) -> float:
    """Give where between `low` and `high` a value lies on a logarithmic axis, whose ends are the first and the last."""
    part = math.log(value / ends[0]) / math.log(ends[-1] / ends[0])
    return low + part * (high - low)


def decades(first: int, last: int) -> dict[float, str]:
    """Give an axis from one power of ten to another."""
    return {10.0**power: f"{10.0**power:,g}" for power in range(first, last + 1)}


def _panel(panel: Panel) -> Iterator[str]:
    yield f'<text class="title" x="{_LEFT}" y="20">{escape(panel.title)}</text>'
    yield from _axes(panel)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text class="middle" x="{middle:g}" y="{_HEIGHT - 10}">{escape(panel.x_name)}</text>'
    for colour, curve in zip(_COLOURS, panel.curves, strict=False):
        yield from _curve(colour, curve, panel)


def _axes(panel: Panel) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for value, label in panel.x.items():
        x = _x(value, panel)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        yield f'<text class="middle" x="{x:.1f}" y="{bottom + 18}">{escape(label)}</text>'
    for value, label in panel.y.items():
        y = _y(value, panel)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text class="end" x="{_LEFT - 8}" y="{y + 4:.1f}">{escape(label)}</text>'


def _curve(colour: str, curve: Curve, panel: Panel) -> Iterator[str]:
    places = [(_x(x, panel), _y(y, panel)) for x, y in curve.points]
    yield f'<path class="curve {colour}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'
    for (x, y), (_, value) in zip(places, curve.points, strict=True):
        yield f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{value:.3g}</title></circle>'
    x, y = places[-1]
    yield f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{escape(curve.label)}</text>'


def _x(value: float, panel: Panel) -> float:
    return place(value, list(panel.x), _LEFT, _WIDTH - _RIGHT)


def _y(value: float, panel: Panel) -> float:
    return place(value, list(panel.y), _HEIGHT - _BOTTOM, _TOP)


def _quoted(text: str) -> str:
    return f'"{escape(text, {chr(34): "&quot;"})}"'
