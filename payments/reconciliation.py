"""Which line of a bank's statement is which movement in the books: pure calculation, the same for the same rows in any order.

Automatic is only what leaves no doubt: the bank's reference and the amount agree, or where one side has no reference our own
code in the text and the amount, and nothing else fits either of the two. Everything else is a suggestion with its reasons,
for a person to accept; where several fit equally they are shown together as ambiguous, unless they are so many that they
say no more than that the amount is a common one. Two references of the bank that differ are two transfers, whatever else
agrees, unless nothing better is found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain, combinations, islice
from operator import attrgetter
from typing import Literal, TypeVar

WINDOW_DAYS = 3
"""So far apart may be what only its amount speaks for."""
PARTS_MAX, CANDIDATES_MAX = 5, 14
"""A sum is looked for among so many, of at most so many parts: beyond that chance finds sums that mean nothing."""
ALIKE_MAX = 5
"""More lines or movements than these of one amount, within the window: then it speaks for none of them."""

Rule = Literal["ref", "order", "code", "ref_only", "code_only", "amount", "sum", "parts", "batch"]
"""`ref`: the bank's reference and the amount. `order`: the number that we gave the transfer. `code`: our reference in its text.
`ref_only`, `code_only`: so, but the amounts differ. `amount`: nothing but amount and day. `sum`: one line for several
movements. `parts`: several lines for one movement. `batch`: one line for all movements of a day."""
SCORES: Mapping[Rule, int] = {
    "ref": 100,
    "order": 95,
    "code": 95,
    "amount": 80,
    "ref_only": 70,
    "batch": 65,
    "code_only": 60,
    "sum": 55,
    "parts": 55,
}
AUTOMATIC: frozenset[Rule] = frozenset({"ref", "order", "code"})
OTHER_REF = 40
"""What it costs that both sides have a reference of the bank, and another one."""


@dataclass(frozen=True, slots=True)
class Side:
    """A line, or a movement. `key` names it; `codes`: our own references, in its text or of what it paid; `order`: of a
    transfer that we ordered, the number that we gave it."""

    key: str
    account: str
    ref: str
    amount_vnd: int
    day: date
    codes: frozenset[str] = frozenset()
    order: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Lines and movements that may belong together. `difference_vnd`: lines less movements. `ambiguous`: something else fits
    as well as this does."""

    rule: Rule
    lines: tuple[str, ...]
    movements: tuple[str, ...]
    score: int
    difference_vnd: int = 0
    days: int = 0
    ambiguous: bool = False

    @property
    def automatic(self) -> bool:
        return self.rule in AUTOMATIC and not self.ambiguous and self.score == SCORES[self.rule]


def decide(lines: Iterable[Side], movements: Iterable[Side]) -> list[Match]:
    """Automatic matches and suggestions. What an automatic match takes nothing else is suggested for; the order is fixed."""
    left, right = ({side.key: side for side in sorted(given, key=_key)} for given in (lines, movements))
    found: list[Match] = []
    ambiguous: list[Match] = []
    for rule in ("ref", "order", "code"):
        certain, tied = _certain(rule, left.values(), right.values())
        found += certain
        ambiguous += tied
        for match in (*certain, *tied):  # of what is tied nobody but a person may take one, also not by another rule
            left.pop(match.lines[0], None)
            right.pop(match.movements[0], None)
    suggested = list(_suggestions(list(left.values()), list(right.values())))
    claims = _counts(key for match in suggested for key in (*match.lines, *match.movements))
    for match in suggested:  # what is suggested twice may be taken once: nobody but a person says for what
        contested = any(claims[key] > 1 for key in (*match.lines, *match.movements))
        ambiguous.append(replace(match, ambiguous=True) if contested else match)
    return _sorted([*found, *ambiguous])


def batches(lines: Iterable[Side], movements: Iterable[Side]) -> set[str]:
    """Lines that may hold several movements, though not only them: at least two of the same way near it are no more than it.
    To take such a line for money of its own would count what is in it twice."""
    smallest: dict[Hashable, list[int]] = defaultdict(list)
    for movement in movements:
        key = _Near.key(movement)
        smallest[key] = sorted([*smallest[key], abs(movement.amount_vnd)])[:2]
    found = set()
    for line in lines:
        near = sorted(vnd for days in _WINDOW for vnd in smallest.get(_Near.key(line, days), ()))
        if len(near) > 1 and near[0] + near[1] <= abs(line.amount_vnd):
            found.add(line.key)
    return found


def _certain(rule: Rule, lines: Iterable[Side], movements: Iterable[Side]) -> tuple[list[Match], list[Match]]:
    """The pairs that a rule finds where each side has one only; and the pairs of those that have more."""
    pairs = list(_pairs(rule, lines, movements))
    of_line, of_movement = _counts(a.key for a, _ in pairs), _counts(b.key for _, b in pairs)
    certain: list[Match] = []
    tied: list[Match] = []
    for line, movement in pairs:
        alone = of_line[line.key] == of_movement[movement.key] == 1
        days = abs((line.day - movement.day).days)
        match = Match(rule, (line.key,), (movement.key,), SCORES[rule], days=days, ambiguous=not alone)
        (certain if alone else tied).append(match)
    return certain, tied


def _pairs(rule: Rule, lines: Iterable[Side], movements: Iterable[Side]) -> Iterator[tuple[Side, Side]]:
    by_value: dict[Hashable, list[Side]] = defaultdict(list)
    for movement in movements:
        for value in _values(rule, movement):
            by_value[movement.account, movement.amount_vnd, value].append(movement)
    for line in lines:
        met = set()
        for value in _values(rule, line):
            for movement in by_value.get((line.account, line.amount_vnd, value), ()):
                if movement.key not in met and (rule == "ref" or _may_be_one(line, movement)):
                    met.add(movement.key)
                    yield line, movement


def _values(rule: Rule, side: Side) -> Iterable[str]:
    match rule:
        case "ref" | "ref_only":
            return (side.ref,) if side.ref else ()
        case "order":
            return (side.order,) if side.order else ()
        case _:
            return side.codes


def _may_be_one(line: Side, movement: Side) -> bool:
    """Two references of the bank that differ are two transfers."""
    return not (line.ref and movement.ref and line.ref != movement.ref)


def _suggestions(lines: Sequence[Side], movements: Sequence[Side]) -> Iterator[Match]:
    """What a person may find plausible, for each line the best kind of reason only. What a reference or a code speaks for
    is offered to nothing that only has its amount."""
    by_ref, by_code = _Index(), _Index()
    for movement in movements:
        by_ref.put((movement.account, movement.ref), movement)
        for code in movement.codes:
            by_code.put((movement.account, code), movement)
    spoken_for: set[str] = set()
    left: list[Side] = []
    for line in lines:
        same_ref = by_ref.get((line.account, line.ref)) if line.ref else []
        same_code = {m.key: m for code in sorted(line.codes) for m in by_code.get((line.account, code))}
        if fitting := [m for m in same_ref if _same_way(line, m)]:
            yield from _each("ref_only", line, fitting)
        elif fitting := [m for m in same_code.values() if _same_way(line, m) and _may_be_one(line, m)]:
            yield from _each("code_only", line, fitting)
        else:
            left.append(line)
            continue
        spoken_for |= {m.key for m in fitting}
    yield from _by_amount(left, [movement for movement in movements if movement.key not in spoken_for])


def _by_amount(lines: Sequence[Side], movements: Sequence[Side]) -> Iterator[Match]:
    """What only amounts and days speak for: one for one, the whole day, a few that add up."""
    alike, rivals = _Alike(movements), _Alike(lines)
    there, waiting = _Near(movements), _Near(lines)
    spoken_for: set[str] = set()
    alone: list[Side] = []
    for line in lines:
        if fitting := alike.near(line):
            if len(fitting) <= ALIKE_MAX:
                yield from _of_amount(line, fitting, rivals)
        elif (
            len(fitting := there.on(line)) > PARTS_MAX
            and waiting.on(line) == [line]
            and _sum(fitting) == line.amount_vnd
        ):
            yield Match("batch", (line.key,), tuple(m.key for m in fitting), SCORES["batch"])
            spoken_for |= {m.key for m in fitting}
        else:
            yield from _sums("sum", line, there.near(line))
            alone.append(line)
    waiting = _Near(alone)
    for movement in movements:
        if movement.key not in spoken_for and not rivals.near(movement):
            yield from _sums("parts", movement, waiting.near(movement))


def _of_amount(line: Side, movements: Sequence[Side], lines: _Alike) -> Iterator[Match]:
    """A suggestion per movement that has few lines as well; so it is the same seen from either side."""
    for movement in movements:
        if (rivals := len(lines.near(movement))) <= ALIKE_MAX:
            yield _one("amount", line, movement, ambiguous=len(movements) > 1 or rivals > 1)


class _Index:
    """Sides by what they have in common, in their order."""

    def __init__(self) -> None:
        self._found: dict[Hashable, list[Side]] = defaultdict(list)

    def put(self, value: Hashable, side: Side) -> None:
        self._found[value].append(side)

    def get(self, value: Hashable) -> list[Side]:
        return self._found.get(value, [])


class _Alike:
    """Sides by account, amount and day."""

    def __init__(self, sides: Iterable[Side]) -> None:
        self._by_day = _Index()
        for side in sides:
            self._by_day.put((side.account, side.amount_vnd, side.day.toordinal()), side)

    def near(self, side: Side) -> list[Side]:
        """Those of its amount within the window; of more than say anything only so many that it is seen."""
        day = side.day.toordinal()
        found = (self._by_day.get((side.account, side.amount_vnd, day + days)) for days in _WINDOW)
        return list(islice(chain.from_iterable(found), ALIKE_MAX + 1))


class _Near:
    """Sides by account, direction and day."""

    def __init__(self, sides: Iterable[Side]) -> None:
        self._by_day = _Index()
        for side in sides:
            self._by_day.put(self.key(side), side)

    @staticmethod
    def key(side: Side, days: int = 0) -> Hashable:
        return side.account, side.amount_vnd > 0, side.day.toordinal() + days

    def on(self, side: Side, days: int = 0) -> list[Side]:
        return self._by_day.get(self.key(side, days))

    def near(self, side: Side) -> list[Side]:
        """Those within the window; none where there are too many to say anything by a sum. A sum has a reference of its
        own."""
        if sum(len(self.on(side, days)) for days in _WINDOW) > CANDIDATES_MAX:
            return []
        return [other for days in _WINDOW for other in self.on(side, days)]


_WINDOW = range(-WINDOW_DAYS, WINDOW_DAYS + 1)


def _each(rule: Rule, line: Side, movements: Sequence[Side]) -> Iterator[Match]:
    """A suggestion per movement; ambiguous where there is more than one."""
    for movement in movements[:PARTS_MAX]:
        yield _one(rule, line, movement, ambiguous=len(movements) > 1)


def _one(rule: Rule, line: Side, movement: Side, *, ambiguous: bool) -> Match:
    days = _days(line, movement)
    score = SCORES[rule] - 5 * days - (0 if _may_be_one(line, movement) else OTHER_REF)
    difference_vnd = line.amount_vnd - movement.amount_vnd
    return Match(rule, (line.key,), (movement.key,), max(score, 1), difference_vnd, days, ambiguous)


def _sums(rule: Rule, whole: Side, parts: Sequence[Side]) -> Iterator[Match]:
    """The parts that make the whole exactly, two to five of them. Several ways to do it are ambiguous."""
    found = [
        chosen
        for size in range(2, PARTS_MAX + 1)
        for chosen in combinations(parts, size)
        if _sum(chosen) == whole.amount_vnd
    ]
    for chosen in found[:PARTS_MAX]:
        keys, days = tuple(part.key for part in chosen), max(_days(whole, part) for part in chosen)
        lines, movements = ((whole.key,), keys) if rule == "sum" else (keys, (whole.key,))
        yield Match(rule, lines, movements, SCORES[rule] - 5 * days, days=days, ambiguous=len(found) > 1)


def _days(a: Side, b: Side) -> int:
    return abs((a.day - b.day).days)


def _sum(sides: Iterable[Side]) -> int:
    return sum(side.amount_vnd for side in sides)


def _same_way(a: Side, b: Side) -> bool:
    return (a.amount_vnd > 0) == (b.amount_vnd > 0)


_key = attrgetter("key")
T = TypeVar("T")


def _counts(values: Iterable[T]) -> dict[T, int]:
    counted: dict[T, int] = defaultdict(int)
    for value in values:
        counted[value] += 1
    return counted


def _sorted(matches: Iterable[Match]) -> list[Match]:
    return sorted(matches, key=lambda match: (-match.score, match.lines, match.movements, match.rule))
