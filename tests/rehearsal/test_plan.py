"""The plan of a day: the same for the same seed, in the stated proportions, with amounts that the tariffs confirm."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from parking import tariff
from rehearsal import plan
from rehearsal.plan import LOTS, PERCENT, SITES, STEP, Party, Plan, Vehicle
from ticketing import pricing

DAY = date(2026, 11, 24)
PLANS = st.builds(
    plan.make,
    st.integers(0, 2**32),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    scale=st.sampled_from((0.01, 0.1, 0.3)),
    tet=st.booleans(),
    mistakes=st.sampled_from((0.0, 0.08, 1.0)),
)
CAR = {
    "kind": "hour_bands",
    "bands": [
        {"up_to_hour": 2, "price_vnd": 25_000},
        {"up_to_hour": 4, "price_vnd": 35_000},
        {"up_to_hour": None, "price_vnd": 45_000},
    ],
}
MOTORBIKE = {
    "kind": "day_night",
    "day_vnd": 5_000,
    "night_vnd": 8_000,
    "day_night_vnd": 12_000,
    "day_from": "06:00",
    "day_to": "18:00",
    "timezone": "Asia/Ho_Chi_Minh",
}
RULES = {"car": tariff.rule_from_json(CAR), "motorbike": tariff.rule_from_json(MOTORBIKE)}
few = settings(max_examples=12)


@few
@given(st.integers(0, 2**32), st.booleans())
def test_the_same_seed_and_day_are_the_same_plan_and_others_are_not(seed: int, tet: bool) -> None:
    made = plan.make(seed, DAY, scale=0.1, tet=tet)
    assert made == plan.make(seed, DAY, scale=0.1, tet=tet)
    assert made.events == plan.make(seed, DAY, scale=0.1, tet=tet).events
    assert made.events != plan.make(seed + 1, DAY, scale=0.1, tet=tet).events
    assert made.events != plan.make(seed, DAY + timedelta(days=1), scale=0.1, tet=tet).events


@few
@given(PLANS)
def test_everything_happens_on_the_day_and_in_an_order_that_can_be(made: Plan) -> None:
    happened: dict[str, list[str]] = {}
    before = None
    for event in made.events:
        assert event.at.date() == made.day
        assert event.at.utcoffset() == timedelta(hours=7)
        assert event.at.minute % 10 == 0
        assert before is None or before <= event.at
        before = event.at
        happened.setdefault(event.who.name, []).append(event.act)
    ways = {"orders", "orders enters", "orders enters enters", "orders pays enters", "orders pays enters enters"}
    ways |= {"arrives leaves", "arrives asks leaves", "arrives asks pays leaves"}
    assert {" ".join(acts) for acts in happened.values()} <= ways
    assert len(happened) == len(made.parties) + len(made.vehicles), "every name is somebody's alone"


@few
@given(PLANS)
def test_every_departure_is_after_its_arrival_and_before_midnight(made: Plan) -> None:
    for vehicle in made.vehicles:
        assert vehicle.arrives_at < vehicle.asks_at <= vehicle.pays_at <= vehicle.leaves_at
        assert vehicle.leaves_at < plan.at_step(made.day, plan.LAST_STEP)
        stands = vehicle.leaves_at - vehicle.arrives_at
        assert stands % timedelta(hours=1), "a whole number of hours would be dearer or not by a second"
        longest = 9 * 60 if vehicle.lot == "DD1" else 3 * 60
        assert timedelta(minutes=10) <= stands <= timedelta(minutes=longest) + 2 * STEP


@few
@given(PLANS)
def test_no_lot_is_ever_fuller_than_it_can_be(made: Plan) -> None:
    for lot in LOTS:
        standing = Counter[int]()
        for vehicle in made.vehicles:
            if vehicle.lot == lot:
                standing.update(range(plan.step_of(vehicle.arrives_at), plan.step_of(vehicle.leaves_at) + 1))
        assert max(standing.values(), default=0) <= LOTS[lot].capacity


@few
@given(PLANS, st.integers(5, 300), st.integers(5, 300))
def test_what_stays_cost_is_what_the_tariff_says_whenever_within_the_step(made: Plan, came: int, went: int) -> None:
    late = timedelta(seconds=came), timedelta(seconds=went)
    for vehicle in made.vehicles:
        rule = RULES[LOTS[vehicle.lot].vehicle_class]
        for at in (vehicle.asks_at, vehicle.pays_at, vehicle.leaves_at):
            fee = tariff.fee(rule, entered_at=vehicle.arrives_at + late[0], left_at=at + late[1])
            assert fee.amount_vnd == plan.fee_vnd(vehicle.lot, vehicle.arrives_at, at)


@few
@given(PLANS)
def test_what_parties_pay_is_what_the_prices_say(made: Plan) -> None:
    slugs = {"VANMIEU": "van-mieu", "THANGLONG": "thang-long"}
    for party in made.parties:
        known = pricing.categories_at(slugs[party.site])
        quote = pricing.total(base_vnd=SITES[party.site].price_vnd, heads=dict(party.heads), categories=known)
        assert (party.amount_vnd, party.size) == (quote.total_vnd, quote.heads)
        assert party.manner == "gives_up" or sum(number for _, number in party.enters) == party.size


@few
@given(st.integers(0, 2**32), st.sampled_from((0.1, 1.0)))
def test_the_proportions_of_the_pilot_hold_to_the_last_vehicle(seed: int, scale: float) -> None:
    made = plan.make(seed, DAY, scale=scale)
    ways = Counter((vehicle.lot, vehicle.way == "QR") for vehicle in made.vehicles)
    motorbikes, cars = (ways[lot, True] + ways[lot, False] for lot in ("VM1", "DD1"))
    assert not made.turned_away
    assert abs(motorbikes - plan.TURNS * scale * 608_207 / 880_064) < 1, "the pilot's mix of classes"
    assert abs(cars - plan.TURNS * scale * 271_857 / 880_064) < 1
    assert abs(ways["VM1", True] - 0.931 * motorbikes) < 1 + 0.001 * motorbikes, "93.1 % of motorbikes without cash"
    assert abs(ways["DD1", True] - 0.989 * cars) < 1 + 0.001 * cars, "98.9 % of cars without cash"


@few
@given(st.integers(0, 2**32), st.sampled_from((0.1, 0.3)), st.booleans())
def test_the_visitors_are_as_many_as_at_van_mieu_and_three_of_five_are_foreign(
    seed: int, scale: float, tet: bool
) -> None:
    made = plan.make(seed, DAY, scale=scale, tet=tet)
    inside = [party for party in made.parties if party.site == "VANMIEU" and party.enters]
    heads = sum(party.size for party in inside)
    assert heads == round((18_000 if tet else 4_400) * scale)
    assert sum(party.size for party in inside if party.foreign) == round(0.6 * heads)


def test_a_whole_day_at_tet_fills_the_lot_and_turns_vehicles_away() -> None:
    assert plan.make(1, DAY, scale=1.0, tet=True).turned_away > 0


@few
@given(PLANS)
def test_what_is_expected_is_the_sum_of_what_everybody_pays(made: Plan) -> None:
    expected = made.expected()
    parties = sum(party.amount_vnd for party in made.parties if party.manner != "gives_up")
    stays = sum(plan.fee_vnd(one.lot, one.arrives_at, one.leaves_at) for one in made.vehicles)
    assert sum(sale.amount_vnd for sale in expected.sales) == parties + stays
    assert all(sale.amount_vnd > 0 for sale in expected.sales)
    assert all(held.amount_vnd > 0 for held in expected.held)
    assert len(expected.free) == sum(not party.amount_vnd for party in made.parties)


def test_everybody_errs_in_every_way_if_all_make_mistakes() -> None:
    made = plan.make(1, DAY, scale=1.0, mistakes=1.0)
    assert {who.manner for who in made.everybody} == {
        "as_asked",  # who pays notes at a gate, and free tickets
        *("twice", "too_much", "too_little", "late", "gives_up", "lingers", "part_then_notes"),
    }
    dearer = [one for one in made.vehicles if one.way == "QR" and one.due_vnd]
    assert {one.manner for one in dearer} == {"late", "lingers"}, "only they owe something more at the exit"


@given(st.integers(0, 500), st.dictionaries(st.sampled_from(sorted(PERCENT)), st.floats(0.01, 9), min_size=1))
def test_shares_are_met_to_less_than_one(number: int, weights: dict[str, float]) -> None:
    counted = Counter(plan.shared(random.Random(1), number, weights))
    assert sum(counted.values()) == number
    for kind, weight in weights.items():
        assert abs(counted[kind] - number * weight / sum(weights.values())) < 1 + 1e-9


def test_a_plan_knows_both_kinds_of_people() -> None:
    kinds = {type(event.who) for event in plan.make(1, DAY, scale=0.05).events}
    assert kinds == {Party, Vehicle}
