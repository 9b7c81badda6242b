"""What is decided of lines and movements: the same in any order, nothing twice, and nothing where something else fits as well."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from payments.reconciliation import ALIKE_MAX, CANDIDATES_MAX, Match, Side, batches, decide

DAY = date(2026, 11, 20)
A = "970436/1"


def side(key: str, amount_vnd: int, ref: str = "", *, day: int = 0, codes: str = "", order: str = "") -> Side:
    return Side(key, A, ref, amount_vnd, DAY + timedelta(day), frozenset(codes.split()), order)


def rules(matches: list[Match]) -> list[tuple[str, tuple[str, ...], tuple[str, ...], bool]]:
    return [(match.rule, match.lines, match.movements, match.automatic) for match in matches]


def test_the_banks_reference_and_the_amount_leave_no_doubt() -> None:
    assert rules(decide([side("l", 5, "R1", day=9)], [side("m", 5, "R1")])) == [("ref", ("l",), ("m",), True)]


def test_a_doubled_line_is_never_matched_by_itself() -> None:
    found = decide([side("l1", 5, "R"), side("l2", 5, "R")], [side("m", 5, "R")])
    assert [(match.ambiguous, match.automatic) for match in found] == [(True, False)] * 2


def test_without_a_reference_our_own_code_speaks_for_a_line() -> None:
    assert rules(decide([side("l", 5, codes="AB")], [side("m", 5, "R1", codes="AB")])) == [
        ("code", ("l",), ("m",), True)
    ]
    tie = decide([side("l", 5, codes="AB")], [side("m1", 5, "R1", codes="AB"), side("m2", 5, "R2", codes="AB")])
    assert all(match.ambiguous for match in tie)
    assert len(tie) == 2, "both are shown"


def test_two_references_of_the_bank_are_two_transfers() -> None:
    (found,) = decide([side("l", 5, "R1", codes="AB")], [side("m", 5, "R2", codes="AB")])
    assert (found.rule, found.score, found.automatic) == ("amount", 40, False)


def test_the_number_that_we_gave_a_payout_speaks_for_its_debit() -> None:
    assert rules(decide([side("l", -9, order="aa")], [side("m", -9, "R", order="aa")])) == [
        ("order", ("l",), ("m",), True)
    ]


def test_another_amount_under_the_same_reference_is_shown_with_the_difference() -> None:
    (found,) = decide([side("l", 990, "R")], [side("m", 1_000, "R")])
    assert (found.rule, found.difference_vnd, found.automatic) == ("ref_only", -10, False)


def test_only_the_amount_is_a_suggestion_and_the_further_away_the_weaker() -> None:
    near, far = (decide([side("l", 5, day=day)], [side("m", 5, "R")])[0] for day in (0, 3))
    assert (near.score, far.score, near.automatic) == (80, 65, False)
    assert decide([side("l", 5, day=4)], [side("m", 5, "R")]) == []


def test_an_amount_that_many_share_speaks_for_none_of_them() -> None:
    lines, movements = [side(f"l{n}", 5) for n in range(9)], [side(f"m{n}", 5, f"R{n}") for n in range(9)]
    few = decide(lines[:ALIKE_MAX], movements[:ALIKE_MAX])
    assert len(few) == ALIKE_MAX**2
    assert all(match.ambiguous for match in few)
    assert decide(lines[: ALIKE_MAX + 1], movements[:1]) == [], "many lines, one movement"
    assert decide(lines[:1], movements[: ALIKE_MAX + 1]) == [], "one line, many movements"
    away = [side(f"l{n}", 5, day=4) for n in range(1, 9)]
    assert [match.ambiguous for match in decide([lines[0], *away], movements[:1])] == [False], "others are too far away"
    assert decide([lines[0], *lines], [side("m1", 2), side("m2", 3), *movements]) == [], "nor is a sum looked for"


def test_a_batch_a_sum_and_parts_are_found_where_they_are_the_only_way() -> None:
    (batch,) = decide([side("l", 21)], [side(f"m{n}", n, f"R{n}") for n in range(1, 7)])
    assert (batch.rule, len(batch.movements)) == ("batch", 6)
    assert rules(decide([side("l", 30)], [side("m1", 10, "R1"), side("m2", 20, "R2")])) == [
        ("sum", ("l",), ("m1", "m2"), False)
    ]
    assert rules(decide([side("l1", -40), side("l2", -60)], [side("m", -100, "R")])) == [
        ("parts", ("l1", "l2"), ("m",), False)
    ]
    two_ways = decide([side("l", 30)], [side("m1", 10), side("m2", 20), side("m3", 5), side("m4", 25)])
    assert {match.ambiguous for match in two_ways} == {True}


def test_a_line_that_may_hold_two_movements_and_more_is_nobodys_for_sure() -> None:
    two = [side("m1", 10, "R1"), side("m2", 20, "R2", day=3), side("far", 1, day=4), side("out", -1)]
    assert batches([side("less", 29), side("batch", 31), side("away", 31, day=-1)], two) == {"batch"}
    assert batches([side("l", 31)], two[:1]) == set(), "what is in one line once needs no batch"


def test_among_too_many_no_sum_is_looked_for() -> None:
    movements = [side(f"m{n:02}", 10 + n, f"R{n}") for n in range(CANDIDATES_MAX + 1)]
    assert decide([side("l", 35, "L")], movements) == []


sides = st.builds(
    Side,
    key=st.uuids().map(str),
    account=st.sampled_from(["970436/1", "970436/2"]),
    ref=st.sampled_from(["", "", "R1", "R2", "R3"]),
    amount_vnd=st.sampled_from([-2, -1, 1, 2, 3]),
    day=st.sampled_from([DAY, DAY + timedelta(1), DAY + timedelta(9)]),
    codes=st.frozensets(st.sampled_from(["AB", "CD"]), max_size=1),
    order=st.sampled_from(["", "", "o1"]),
)
lists = st.lists(sides, max_size=9, unique_by=lambda side: side.key)


@settings(max_examples=100)
@given(lists, lists, st.integers())
def test_whatever_comes_the_decision_is_one_and_takes_nothing_twice(
    lines: list[Side], movements: list[Side], seed: int
) -> None:
    found = decide(lines, movements)
    random.Random(seed).shuffle(lines)
    random.Random(seed).shuffle(movements)
    assert decide(lines, movements) == found, "whatever order they come in"
    by_key = {side.key: side for side in (*lines, *movements)}
    automatic = [match for match in found if match.automatic]
    taken = Counter(key for match in automatic for key in (*match.lines, *match.movements))
    assert max(taken.values(), default=1) == 1, "unique on both sides"
    for match in found:
        left, right = (sum(by_key[key].amount_vnd for key in keys) for keys in (match.lines, match.movements))
        assert left - right == match.difference_vnd
        assert len({by_key[key].account for key in (*match.lines, *match.movements)}) == 1
        if not match.automatic:
            assert not taken.keys() & {*match.lines, *match.movements}, "what is taken is suggested for nothing else"
    for match in automatic:
        line, movement = by_key[match.lines[0]], by_key[match.movements[0]]
        rivals = [m for m in movements if (m.account, m.ref, m.amount_vnd) == (line.account, line.ref, line.amount_vnd)]
        assert match.rule != "ref" or rivals == [movement], "no tie is ever decided"
