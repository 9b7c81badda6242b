"""What becomes of a payer's transfer text on its way through the banks. Pure; the same seed gives the same text."""

from __future__ import annotations

import random
import re
import unicodedata
from typing import Literal, get_args
from uuid import UUID

PayerText = Literal["as_typed", "edited", "missing"]
TextStyle = Literal["dirty", "clean", "squeezed", "cut", "glued", "surrounded"]

LONGEST_TEXT = 140
CUT_AT = 19  # api.vietqr.vn takes no more
REPLACEMENTS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
STAMPS = (
    "MBVCB.{digits10}.{text}.CT TU {payer_account} {payer_name} TOI {account}",
    "{text}-CHUYEN TIEN-OQCH{digits6}-MOMO{digits10}",
    "{text}   MA GIAO DICH/ TRACE {digits6}",
    "IBFT {payer_name} CHUYEN TIEN {text}",
    "CT DEN:{digits10} {text}; THOI GIAN GD:{digits6}",
    "NHAN TU {payer_account} TRACE {digits6} ND {text}",
)
SHARE_WITHOUT_SPACES = 0.25


def arrivals(text: str, *, seed: UUID, payer_name: str, payer_account: str, account: str) -> dict[str, dict[str, str]]:
    """The text for each way in which a payer treats it, and then each way in which banks deliver it."""
    typed: dict[PayerText, str] = {
        "as_typed": text,
        "edited": edited(text, seed=seed),
        "missing": f"{payer_name} chuyen tien",
    }
    return {
        payer: {
            style: delivered(
                words, style, seed=seed, payer_name=payer_name, payer_account=payer_account, account=account
            )
            for style in get_args(TextStyle)
        }
        for payer, words in typed.items()
    }


def delivered(text: str, style: TextStyle, *, seed: UUID, payer_name: str, payer_account: str, account: str) -> str:
    """The text as the receiving bank passes it on.

    `squeezed`: capitals without spaces; `cut`: letters, digits and spaces, the first 19; `glued`: squeezed, with eight
    digits straight behind it, as of a date; `surrounded`: words of the banks before and after; `dirty`: see `dirtied`.
    """
    if style == "dirty":
        return dirtied(text, seed=seed, payer_name=payer_name, payer_account=payer_account, account=account)
    squeezed = without_marks(text).upper().replace(" ", "")
    if style == "squeezed":
        return squeezed
    if style == "cut":
        return re.sub(r"[^A-Za-z0-9 ]", "", without_marks(text))[:CUT_AT]
    if style == "glued":
        return f"{squeezed}{random.Random(seed.int).randrange(10**8):08}"
    if style == "surrounded":
        return f"IBFT {payer_account} {payer_name} . {text} . FT{random.Random(seed.int).randrange(10**10):010} TOI {account}"
    return text


def edited(text: str, *, seed: UUID) -> str:
    """The text with one wrong character in its longest word, where a reference would stand."""
    words = list(re.finditer(r"[A-Za-z0-9]+", text))
    if not words:
        return text
    chance = random.Random(seed.int)
    longest = max(words, key=lambda word: len(word[0]))
    at = chance.randrange(*longest.span())
    wrong = chance.choice(REPLACEMENTS.replace(text[at].upper(), ""))
    return text[:at] + wrong + text[at + 1 :]


def dirtied(text: str, *, seed: UUID, payer_name: str, payer_account: str, account: str) -> str:
    """The text as a receiving bank delivers it: capitals, no marks, bank words around, spaces sometimes gone."""
    chance = random.Random(seed.int)
    stamped = chance.choice(STAMPS).format(
        text=text,
        payer_name=payer_name,
        payer_account=payer_account,
        account=account,
        digits6=f"{chance.randrange(10**6):06}",
        digits10=f"{chance.randrange(10**10):010}",
    )
    plain = without_marks(stamped).upper().strip()
    return plain.replace(" ", "") if chance.random() < SHARE_WITHOUT_SPACES else plain


def without_marks(text: str) -> str:
    """Vietnamese text in bare Latin letters: "Đống Đa" becomes "Dong Da"."""
    letters = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
