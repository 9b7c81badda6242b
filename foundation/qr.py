"""Drawing QR codes, always at error level M: as a PNG, as an SVG path, and in a terminal."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from io import BytesIO
from typing import Any

import zxingcpp
from PIL import Image

from foundation.errors import Refusal

TICKET_VERSION = 4
QUIET_ZONE = 4

Modules = tuple[bytes, ...]
"""The rows of a code, a byte per module: 1 is dark, 0 is light."""


class TooMuchForQr(Refusal):
    """There is too much text for a QR code, or none at all."""

    status = 422


class TicketQrTooDense(Refusal):
    """This address would need a denser QR code than a ticket may have: version {version}, where {most} is the most."""


_DARK = bytes([1]) + bytes(255)
"""What the library draws in black (0) is 1 here."""


@lru_cache(maxsize=256)
def modules(text: str) -> Modules:
    """The rows of the code, without the quiet zone. Raises TooMuchForQr."""
    if not text:
        raise TooMuchForQr
    # The library chooses the densest mode by itself: alphanumeric for an upper-case URL.
    try:
        made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level="M")
    except ValueError:
        raise TooMuchForQr from None
    drawn: Any = made.to_image(scale=1, add_quiet_zones=False)  # a buffer of one byte per module
    side = drawn.shape[0]
    dark = bytes(drawn).translate(_DARK)
    return tuple(dark[at : at + side] for at in range(0, len(dark), side))


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
    # A stroke of width 1 along the middle of each row. Its runs are replaced from the longest down, which costs a third of
    # going through them one by one.
    strokes = b"\n".join(rows)
    for length in range(len(rows), 0, -1):
        strokes = strokes.replace(b"\1" * length, b"h%d" % length).replace(b"\0" * length, b"m%d 0" % length)
    path = "".join([f"M{border} {y}.5{row}" for y, row in enumerate(strokes.decode().split("\n"), border)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" role="img" aria-label="{escape(label)}" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{side}v{side}H0z"/>'
        f'<path fill="none" stroke="#000" d="{path}"/></svg>'
    )


def terminal(text: str, *, border: int = QUIET_ZONE) -> str:
    """Lines of half blocks, two rows of modules each, black on white whatever the terminal's own colours are."""
    rows = modules(text)
    light = bytes(len(rows) + 2 * border)
    margin = [light] * border
    padded = [*margin, *(bytes(border) + row + bytes(border) for row in rows), *margin]
    if len(padded) % 2:
        padded.append(light)
    blocks = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
    # Colours 16 and 231 of the fixed cube: themes redefine the first sixteen.
    return "\n".join(
        "\x1b[38;5;16;48;5;231m" + "".join(blocks[pair] for pair in zip(upper, lower, strict=True)) + "\x1b[0m"
        for upper, lower in zip(padded[::2], padded[1::2], strict=True)
    )
