"""What becomes of a payer's transfer text on its way through the banks. Pure; the same seed gives the same text."""

from __future__ import annotations

import random
import unicodedata
from uuid import UUID

LONGEST_TEXT = 140
STAMPS = (
    "MBVCB.{digits10}.{text}.CT TU {payer_account} {payer_name} TOI {account}",
    "{text}-CHUYEN TIEN-OQCH{digits6}-MOMO{digits10}",
    "{text}   MA GIAO DICH/ TRACE {digits6}",
    "IBFT {payer_name} CHUYEN TIEN {text}",
    "CT DEN:{digits10} {text}; THOI GIAN GD:{digits6}",
    "NHAN TU {payer_account} TRACE {digits6} ND {text}",
)
SHARE_WITHOUT_SPACES = 0.25


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
