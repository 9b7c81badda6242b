"""An amount in Vietnamese words, as a receipt has to say it: `bảy mươi nghìn đồng`."""

from __future__ import annotations

DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
SCALES = ("", " nghìn", " triệu", " tỷ")


def in_words(amount_vnd: int) -> str:
    """From 0 up to what one charge can be, and a thousand times that."""
    if not 0 <= amount_vnd < 10**12:
        raise ValueError(f"{amount_vnd} has no words here")
    if not amount_vnd:
        return "Không đồng"
    groups = [amount_vnd // 1000**place % 1000 for place in range(len(SCALES))]
    highest = max(place for place, group in enumerate(groups) if group)
    said = [
        _group(groups[place], whole=place < highest) + SCALES[place]
        for place in range(highest, -1, -1)
        if groups[place]
    ]
    text = " ".join(said)
    return f"{text[0].upper()}{text[1:]} đồng"


def _group(number: int, *, whole: bool) -> str:
    """Three digits; `whole`: something stands before them, so that also the hundreds are said."""
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    said = []
    if hundreds or whole:
        said.append(f"{DIGITS[hundreds]} trăm")
    if tens > 1:
        said.append(f"{DIGITS[tens]} mươi")
    elif tens:
        said.append("mười")
    elif ones and said:
        said.append("lẻ")
    if ones:
        said.append("mốt" if ones == 1 and tens > 1 else "lăm" if ones == 5 and tens else DIGITS[ones])
    return " ".join(said)
