"""Drawing QR codes, always at error level M: as a PNG, as an SVG path, and in a terminal."""

from __future__ import annotations

import operator
import re
from functools import lru_cache
from html import escape
from io import BytesIO
from typing import Any, cast

import zxingcpp
from PIL import Image

from foundation.errors import Refusal

TICKET_VERSION = 4
QUIET_ZONE = 4

Modules = tuple[tuple[bool, ...], ...]


class TooMuchForQr(Refusal):
    """There is too much text for a QR code, or none at all."""

    status = 422


class TicketQrTooDense(Refusal):
    """This address would need a denser QR code than a ticket may have: version {version}, where {most} is the most."""


_RUN = re.compile(rb"\x00+|\x01+")


@lru_cache(maxsize=256)
def modules(text: str) -> Modules:
    """The rows of the code, dark is True, without the quiet zone. Raises TooMuchForQr."""
    if not text:
        raise TooMuchForQr
    # The library chooses the densest mode by itself: alphanumeric for an upper-case URL.
    try:
        made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    except ValueError:
        raise TooMuchForQr from None
    drawn: Any = made.to_image(scale=1, add_quiet_zones=False)  # a buffer of one byte per module, 0 is dark
    rows: list[list[int]] = cast(Any, memoryview(drawn).tolist())
    return tuple(tuple(map(operator.not_, row)) for row in rows)


def version(text: str) -> int:
    """1 to 40: how dense the code is; its side has 17 + 4 x version modules."""
    return (len(modules(text)) - 17) // 4


def png(text: str, *, scale: int = 8, border: int = QUIET_ZONE) -> bytes:
    """A black and white PNG of `scale` pixels per module, with a quiet zone of `border` modules."""
    rows = modules(text)
    image = Image.new("1", (len(rows) + 2 * border,) * 2, 1)
    for y, row in enumerate(rows, border):
        for x, dark in enumerate(row, border):
            if dark:
                image.putpixel((x, y), 0)
    file = BytesIO()
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(file, "PNG", optimize=True)
    return file.getvalue()


def ticket_png(url: str, *, scale: int = 8, border: int = QUIET_ZONE) -> bytes:
    """The PNG of a ticket code. Raises TicketQrTooDense above version 4: size decides how far away it is read."""
    if version(url) > TICKET_VERSION:
        raise TicketQrTooDense(version=version(url), most=TICKET_VERSION)
    return png(url, scale=scale, border=border)


def svg(text: str, *, label: str = "QR", border: int = QUIET_ZONE) -> str:
    """An SVG element one module to the unit, usable inline under a strict CSP; `label` is what a screen reader says."""
    rows = modules(text)
    side = len(rows) + 2 * border
    path = "".join(_row_path(row, y, border) for y, row in enumerate(rows, border))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/>'
        f'<path fill="none" stroke="#000" d="{path}"/></svg>'
    )


def _row_path(row: tuple[bool, ...], y: int, border: int) -> str:
    # A stroke of width 1 along the middle of the row.
    runs = _RUN.findall(bytes(row))
    return f"M{border} {y}.5" + "".join(f"h{len(run)}" if run[0] else f"m{len(run)} 0" for run in runs)


def terminal(text: str, *, border: int = QUIET_ZONE) -> str:
    """Lines of half blocks, two rows of modules each, black on white whatever the terminal's own colours are."""
    rows = modules(text)
    light = (False,) * (len(rows) + 2 * border)
    margin = [light] * border
    padded = [*margin, *((False,) * border + row + (False,) * border for row in rows), *margin]
    if len(padded) % 2:
        padded.append(light)
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    # Colours 16 and 231 of the fixed cube: themes redefine the first sixteen.
    return "\n".join(
        "\x1b[38;5;16;48;5;231m" + "".join(blocks[pair] for pair in zip(upper, lower, strict=True)) + "\x1b[0m"
        for upper, lower in zip(padded[::2], padded[1::2], strict=True)
    )
