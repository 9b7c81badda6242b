"""QR codes as pictures, as SVG and in a terminal."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foundation.qr import (
    TicketQrTooDense,
    TooMuchForQr,
    modules,
    png,
    svg,
    terminal,
    ticket_png,
    version,
)

TICKET = "HTTPS://CHAM-MOT-CHAM.HANOI.GOV.VN:8443/T/" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGHIJKLMNOP"
VIETQR = (
    "00020101021238540010A00000072701240006970436011001234567890208QRIBFTTA53037045405250005802VN"
    "62150811HNPK7F3K9Q26304AAD1"
)


def decoded(picture: Image.Image) -> list[str]:
    return [barcode.text for barcode in zxingcpp.read_barcodes(picture.convert("L"))]


def picture_of(rows: list[list[bool]], scale: int = 4) -> Image.Image:
    picture = Image.new("L", (len(rows[0]), len(rows)), 255)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x, y), 0)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


@pytest.mark.parametrize("text", [TICKET, VIETQR, "https://motcham.vn/P/17", "Một chạm là xong"])
def test_every_drawing_is_decoded_to_its_text(text: str) -> None:
    assert decoded(Image.open(io.BytesIO(png(text)))) == [text]
    assert decoded(picture_of(rows_of_svg(svg(text)))) == [text]
    assert decoded(picture_of(rows_of_terminal(terminal(text)))) == [text]


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", min_size=1, max_size=90))
@settings(max_examples=25)
def test_ninety_alphanumeric_characters_fit_version_4(text: str) -> None:
    assert version(text) <= 4


def test_a_ticket_of_ninety_characters_is_read_at_100_pixels_however_it_is_scaled() -> None:
    assert len(TICKET) == 90
    assert version(TICKET) == 4
    picture = Image.open(io.BytesIO(ticket_png(TICKET))).convert("L")
    assert picture.width == (33 + 8) * 8
    for way in (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        assert decoded(picture.resize((100, 100), way)) == [TICKET]


def test_the_error_level_is_m() -> None:
    (barcode,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png(TICKET))).convert("L"))
    assert barcode.ec_level == "M"


@pytest.mark.parametrize("url", [TICKET + "A", TICKET.lower(), TICKET + "A" * 200])
def test_a_ticket_that_needs_more_than_version_4_is_refused(url: str) -> None:
    with pytest.raises(TicketQrTooDense) as refusal:
        ticket_png(url)
    assert refusal.value.code == "ticket_qr_too_dense"


def test_more_than_a_qr_code_holds_is_refused_by_name() -> None:
    for text in ("", "a" * 2332, "a" * 100_000):
        with pytest.raises(TooMuchForQr):
            modules(text)
    assert version("a" * 2331) == 40


def test_scale_and_quiet_zone_decide_the_size_in_pixels() -> None:
    assert Image.open(io.BytesIO(png("A", scale=1, border=0))).size == (21, 21)
    assert Image.open(io.BytesIO(png("A", scale=3, border=4))).size == (87, 87)


def test_the_svg_is_a_labelled_image_that_a_strict_csp_lets_through() -> None:
    drawn = svg(TICKET, label='Vé "A" & <b>')
    element = ElementTree.fromstring(drawn)
    assert element.get("role") == "img"
    assert element.get("aria-label") == 'Vé "A" & <b>'
    assert "style" not in drawn
    assert "script" not in drawn
    assert "href" not in drawn
    assert drawn.count("http") == 1, "nothing but the name of the SVG namespace"
    assert len(drawn) < 4000


def test_the_terminal_drawing_brings_its_own_colours_on_every_line() -> None:
    for line in terminal(TICKET).splitlines():
        assert line.startswith("\x1b[38;5;16;48;5;231m")
        assert line.endswith("\x1b[0m")
        assert len(line) - len("\x1b[38;5;16;48;5;231m\x1b[0m") == 33 + 8


def rows_of_svg(drawn: str) -> list[list[bool]]:
    side = int(re.search(r'viewBox="0 0 (\d+) ', drawn)[1])  # type: ignore[index]
    rows = [[False] * side for _ in range(side)]
    path = re.search(r'stroke="#000" d="([^"]+)"', drawn)[1]  # type: ignore[index]
    for left, y, runs in re.findall(r"M(\d+) (\d+)\.5((?:h\d+|m\d+ 0)+)", path):
        x = int(left)
        for drawn_length, skipped_length in re.findall(r"h(\d+)|m(\d+) 0", runs):
            for _ in range(int(drawn_length or skipped_length)):
                rows[int(y)][x] = bool(drawn_length)
                x += 1
    return rows


def rows_of_terminal(drawn: str) -> list[list[bool]]:
    rows = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", drawn).split("\n"):
        rows.append([block in "▀█" for block in line])
        rows.append([block in "▄█" for block in line])
    return rows
