"""Shapes as a PNG, for clients that preview links. Pillow and its own font: no browser, no fonts of the system."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ircops.web.chart import Dot, Hint, Path, Shape, Text

FINE = 2  # drawn so many times as large, then made smaller, for smooth edges
PAPER = "#ffffff"
COLOURS = {
    "title": "#1b2733",
    "number": "#1b2733",
    "name": "#1b2733",
    "label": "#667788",
    "rule": "#e4e9ee",
    "grid": "#e4e9ee",
    "tick": "#f0f3f6",
    "day": "#dfe5ea",
    "base": "#b3bcc6",
    "mean": "#1769c2",
    "band": "#c0d8f0",
    "area": "#eef5fb",
    "limit": "#c4314b",
}
SIZES = {"title": 34, "number": 30, "name": 22, "label": 21, "limit": 21}
WIDTHS = {"mean": 3.0, "limit": 2.0}
DASHES = (12, 8)
SPELLED = str.maketrans("–—→≤µ", "--><u")  # the font has ASCII, and little more


def png(shapes: Iterable[Shape], width: int, height: int) -> bytes:
    """The picture as a file. Takes 0.1 s: for a worker thread."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width * FINE, height * FINE), PAPER)
    brush = _Brush(ImageDraw.Draw(image))
    for shape in sorted(shapes, key=_is_on_top):  # its colours hide what is below
        brush.draw(shape)
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()


def _is_on_top(shape: Shape) -> bool:
    return not (isinstance(shape, Path) and shape.is_area)


class _Brush:
    def __init__(self, canvas: Any) -> None:
        self._canvas = canvas
        self._fonts: dict[str, Any] = {}

    def draw(self, shape: Shape) -> None:
        match shape:
            case Text(x, y, text, role, anchor):
                place = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
                said = text.translate(SPELLED).encode("ascii", "replace").decode()
                self._canvas.text(
                    (x * FINE, y * FINE),
                    said,
                    fill=COLOURS[role],
                    font=self._font(role),
                    anchor=place,
                    stroke_width=3 * FINE if role == "limit" else 0,  # it lies on lines
                    stroke_fill=PAPER,
                )
            case Path(spots, role, True):
                self._canvas.polygon([(x * FINE, y * FINE) for x, y in spots], fill=COLOURS[role])
            case Path(spots, "limit", False):
                self._dashed(spots[0], spots[-1])
            case Path(spots, role, False):
                width = round(WIDTHS.get(role, 1.0) * FINE)
                places = [(x * FINE, y * FINE) for x, y in spots]
                self._canvas.line(places, fill=COLOURS[role], width=width, joint="curve")
            case Dot(x, y, role):
                self._canvas.circle((x * FINE, y * FINE), 4 * FINE, fill=COLOURS[role])
            case Hint():
                pass

    def _dashed(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A level line."""
        x, (right, y) = start[0], end
        while x < right:
            ends = [(x * FINE, y * FINE), (min(x + DASHES[0], right) * FINE, y * FINE)]
            self._canvas.line(ends, fill=COLOURS["limit"], width=round(WIDTHS["limit"] * FINE))
            x += sum(DASHES)

    def _font(self, role: str) -> Any:
        from PIL import ImageFont

        if role not in self._fonts:
            self._fonts[role] = ImageFont.load_default(SIZES[role] * FINE)
        return self._fonts[role]
