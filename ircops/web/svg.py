"""Shapes as SVG: for a page, whose stylesheet gives the colours, or a picture of its own, in light or dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ircops.web.chart import Dot, Hint, Path, Shape, Spot, Surface, Text

STYLE = """\
:root{--paper:#fff;--ink:#1b2733;--faint:#667788;--rule:#e4e9ee;--accent:#1769c2;--tint:#1769c2;--bad:#c4314b}
@media(prefers-color-scheme:dark){:root{--paper:#12181f;--ink:#e6ebf0;--faint:#93a1b0;--rule:#28323d;\
--accent:#62b0ff;--tint:#62b0ff;--bad:#ff7d8e}}
svg{background:var(--paper)}
text{font:10.5px system-ui,sans-serif;fill:var(--faint)}
text.title{font-size:17px;font-weight:600;fill:var(--ink)}
text.number{font-size:15px;fill:var(--ink)}text.name{font-size:11px;font-weight:600;fill:var(--ink)}
.grid,.tick{stroke:var(--rule)}.tick{stroke-dasharray:1 3}.day{stroke:var(--rule);stroke-width:1.5}
.base{stroke:var(--faint);stroke-opacity:.5}
.mean{stroke:var(--accent);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round;fill:none}
circle.mean{fill:var(--accent);stroke:none}
.band{fill:var(--tint);fill-opacity:.26}.area{fill:var(--tint);fill-opacity:.08}
.limit{stroke:var(--bad);stroke-dasharray:5 4}text.limit{fill:var(--bad);stroke:var(--paper);stroke-width:4px;paint-order:stroke;stroke-dasharray:none}
.hint{fill:transparent}.hint:hover{fill:var(--ink);fill-opacity:.08}
"""


def inline(shapes: Iterable[Shape], surface: Surface, name: str, kind: str = "") -> str:
    """An <svg> for a page; `name` is what it is, for who cannot see it."""
    body = "".join(map(_element, shapes))
    size = f'viewBox="0 0 {surface.width:g} {surface.height:g}"'
    return f'<svg class="chart {kind}" {size} role="img" aria-label="{_safe(name)}">{body}</svg>'


def document(shapes: Iterable[Shape], surface: Surface, name: str) -> str:
    """A file by itself; its style follows the reader's."""
    body = "".join(map(_element, shapes))
    width, height = f"{surface.width:g}", f"{surface.height:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img"><title>{_safe(name)}</title><style>{STYLE}</style>{body}</svg>\n'
    )


def _element(shape: Shape) -> str:
    match shape:
        case Text(x, y, text, role, anchor):
            place = "" if anchor == "start" else f' text-anchor="{anchor}"'
            return f'<text class="{role}" x="{x:.1f}" y="{y:.1f}"{place}>{_safe(text)}</text>'
        case Path(spots, role, is_area):
            return f'<path class="{role}" d="M{_line(spots)}{"Z" if is_area else ""}"/>'
        case Dot(x, y, role):
            return f'<circle class="{role}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>'
        case Hint(x, y, width, height, text):
            box = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height:.1f}"'
            return f'<rect class="hint" {box}><title>{_safe(text)}</title></rect>'


def _line(spots: Iterable[Spot]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)


def _safe(text: str) -> str:
    """Text for XML, which has no control characters at all."""
    return escape("".join(sign if sign.isprintable() else "\ufffd" for sign in text))
