"""Bars as SVG, written by hand: a picture that any browser shows needs no library."""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from figures.figure import Panel

_WIDTH, _LEFT, _RIGHT = 760, 210, 90
_BAR, _GAP, _TITLE, _AFTER, _MARGIN = 16, 6, 30, 18, 14
_OURS, _THEIRS, _INK = "#2463a8", "#b9c2cc", "#1c2630"


def draw(panels: Sequence[Panel], caption: str) -> str:
    """One panel below the other, each on its own scale from zero, and a caption."""
    parts: list[str] = []
    top = _MARGIN
    for panel in panels:
        parts += _panel(panel, top)
        top += _TITLE + len(panel.bars) * (_BAR + _GAP) + _AFTER
    parts.append(_text(_MARGIN, top + 4, caption, size=11))
    height = top + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" fill="{_INK}">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(panel: Panel, top: int) -> Iterable[str]:
    yield _text(_MARGIN, top + 14, panel.title, weight="bold")
    longest = max((bar.value for bar in panel.bars), default=0.0) or 1.0
    for number, bar in enumerate(panel.bars):
        y = top + _TITLE + number * (_BAR + _GAP)
        width = max(1.0, bar.value / longest * (_WIDTH - _LEFT - _RIGHT))
        yield _text(_LEFT - 8, y + 12, bar.label, anchor="end")
        yield (
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" '
            f'fill="{_OURS if bar.ours else _THEIRS}"/>'
        )
        yield _text(round(_LEFT + width + 6), y + 12, f"{_short(bar.value)} {panel.unit}")


def _text(x: int, y: int, text: str, *, anchor: str = "start", weight: str = "normal",
          size: int = 12) -> str:  # fmt: skip
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _short(value: float) -> str:
    """Three figures are what such a measurement has."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
