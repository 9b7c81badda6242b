"""Reading the QR code in a picture that a customer chose."""

from __future__ import annotations

import io

import zxingcpp
from PIL import Image

from mock_bank.refusal import Refusal

LARGEST_PICTURE_BYTES = 2 * 1024 * 1024
MOST_PIXELS = 25_000_000
FORMATS = ("PNG", "JPEG")


class NotAPicture(Refusal):
    """This is not a readable PNG or JPEG picture."""

    status = 400


class NoCodeInPicture(Refusal):
    """There is no QR code to be seen in the picture. Take it closer, straight and in good light."""

    status = 400


def read_code(content: bytes) -> str:
    """The text of the first QR code in a PNG or JPEG. Slow: keep it out of the event loop."""
    if len(content) > LARGEST_PICTURE_BYTES:
        raise NotAPicture
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:  # before anything is unpacked
                raise NotAPicture
            plain = _on_white(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NotAPicture from None
    found = zxingcpp.read_barcodes(plain, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    if not found:
        raise NoCodeInPicture
    return found[0].text


def _on_white(picture: Image.Image) -> Image.Image:
    """In grey; what is see-through becomes white, for a code drawn on nothing would turn black on black."""
    coloured = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("L")
