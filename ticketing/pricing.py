"""Who visits, what share of the entrance fee each pays, and what a group pays together.

Rates of the relics of Hanoi: People's Council resolution of 06/12/2023 (amending NQ 06/2020/NQ-HĐND), Decree 28/2012,
QĐ 170/2003/QĐ-TTg. Nothing stacks: a head counts in one category, and who belongs to two is still charged once. A
category is declared when buying and checked by the attendant against the proof; no proof is ever stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from foundation.errors import Refusal
from foundation.money import CHARGE_MAX_VND

HEADS_MAX = 255
"""One byte of the ticket code."""


@dataclass(frozen=True)
class Category:
    """A kind of visitor: `percent` is the share of the fee that is paid (0 free, 100 full).

    `code` is stable: it stands in orders and statistics. Its name and the proof to show at the gate are the texts
    `category.<code>.name` and `category.<code>.proof`. `sites` limits it to some sites; None means every site.
    """

    code: str
    percent: int
    needs_proof: bool
    sites: frozenset[str] | None = None

    @property
    def name_key(self) -> str:
        return f"category.{self.code}.name"

    @property
    def proof_key(self) -> str | None:
        return f"category.{self.code}.proof" if self.needs_proof else None


@dataclass(frozen=True)
class Line:
    """The heads of one category."""

    code: str
    percent: int
    heads: int
    price_vnd: int
    sum_vnd: int


@dataclass(frozen=True)
class Quote:
    """What a group pays, a line per category in the order of the categories. The total may be 0 (a class of pupils)."""

    lines: tuple[Line, ...]
    heads: int
    total_vnd: int


class NobodyComes(Refusal):
    """Choose at least one visitor."""

    status = 422


class HeadsNotCounted(Refusal):
    """The number of visitors must be a whole number that is not negative."""

    status = 422


class UnknownCategory(Refusal):
    """There is no visitor category {category} at this site."""

    status = 422


class TooManyHeads(Refusal):
    """One ticket admits at most {limit} visitors; buy a second one for the rest."""


class TotalTooLarge(Refusal):
    """One payment is at most {limit_vnd} đồng; buy for a smaller group."""


class BadPrice(Refusal):
    """A price must be a whole number of đồng that is not negative, a share from 0 to 100 percent."""

    status = 422


STUDENT_SITES = frozenset({"van-mieu", "ngoc-son", "co-loa", "quan-thanh", "hoa-lo", "thang-long"})

HANOI = (
    Category("adult", 100, needs_proof=False),
    Category("child", 0, needs_proof=True),  # under 16
    Category("student", 50, needs_proof=True, sites=STUDENT_SITES),  # pupils and students from 16, by their card
    Category("elderly", 50, needs_proof=True),  # from 60, citizens of Việt Nam
    Category("severe_disability", 50, needs_proof=True),
    Category("extreme_disability", 0, needs_proof=True),
    Category("policy", 50, needs_proof=True),  # beneficiaries of cultural policy
)
"""The categories at the relics of the city. Museums of the state have others: they are data of each site."""


def categories_at(site: str, categories: Iterable[Category] = HANOI) -> tuple[Category, ...]:
    """The categories that hold at a site, in their order."""
    return tuple(category for category in categories if category.sites is None or site in category.sites)


def price(base_vnd: int, percent: int) -> int:
    """The share `percent` of a fee in đồng, rounded half up to whole đồng. Raises BadPrice.

    All fees of today are multiples of 10,000 ₫ and all shares are 0, 50 and 100, so that nothing is rounded. Each head
    is rounded alone: a group pays exactly what its members would pay one by one.
    """
    if type(base_vnd) is not int or type(percent) is not int or base_vnd < 0 or not 0 <= percent <= 100:
        raise BadPrice()
    return (base_vnd * percent + 50) // 100


def total(*, base_vnd: int, heads: Mapping[str, int], categories: Iterable[Category]) -> Quote:
    """What a group pays: `heads` per category code at a full fee of `base_vnd`.

    Categories with 0 heads are left out. Raises HeadsNotCounted, UnknownCategory, NobodyComes, TooManyHeads,
    TotalTooLarge and BadPrice.
    """
    known = {category.code: category for category in categories}
    for code, count in heads.items():
        if code not in known:
            raise UnknownCategory(category=code)
        if type(count) is not int or count < 0:
            raise HeadsNotCounted()
    lines = tuple(_line(category, base_vnd, heads[code]) for code, category in known.items() if heads.get(code))
    quote = Quote(lines, heads=sum(line.heads for line in lines), total_vnd=sum(line.sum_vnd for line in lines))
    if not quote.heads:
        raise NobodyComes()
    if quote.heads > HEADS_MAX:
        raise TooManyHeads(limit=HEADS_MAX)
    if quote.total_vnd > CHARGE_MAX_VND:
        raise TotalTooLarge(limit_vnd=CHARGE_MAX_VND)
    return quote


def _line(category: Category, base_vnd: int, heads: int) -> Line:
    price_vnd = price(base_vnd, category.percent)
    return Line(category.code, category.percent, heads, price_vnd, sum_vnd=heads * price_vnd)
