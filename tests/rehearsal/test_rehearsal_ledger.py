"""The ledger of what was done: which figures of finance and city it moves, and how a difference is named."""

from __future__ import annotations

from rehearsal.ledger import Figures, Held, Ledger, Sale, moved_otherwise


def test_notes_that_an_attendant_transfers_himself_stay_cash_and_stand_apart() -> None:
    ledger = Ledger([Sale("vanmieu", "ticketing", "VANMIEU", "PROXY", 70_000)])
    moved = ledger.figures()
    assert moved["finance", "vanmieu", "ticketing", "CASH", "ATTENDANT_PROXY", "VND"] == 70_000
    assert moved["city", "ticketing", "charged_units"] == moved["city", "ticketing", "proxy_units"] == 1
    assert moved["city", "ticketing", "cashless_units"] == 0


def test_a_sale_by_qr_counts_on_both_sides_of_the_share() -> None:
    moved = Ledger([Sale("dongda", "parking", "DD1", "QR", 25_000)] * 2).figures()
    for side in ("cashless", "charged"):
        assert moved["city", "parking", f"{side}_units"] == 2
        assert moved["city", "parking", f"{side}_vnd"] == moved["city CSV", "parking", f"{side}_vnd"] == 50_000


def test_what_is_free_or_held_is_no_sale() -> None:
    moved = Ledger(free=[("vanmieu", "ticketing")], held=[Held("vanmieu", "twice", 70_000)]).figures()
    assert moved["finance", "vanmieu", "held for payers", "VND"] == 70_000
    assert moved["city", "ticketing", "free_units"] == 1
    assert not any(name.startswith(("charged", "cashless")) for *_, name in moved)


def test_a_difference_is_named_with_what_should_have_been() -> None:
    sales = ("finance", "vanmieu", "parking", "CASH", "CASH_DEPOSIT", "sales")
    amount = (*sales[:-1], "VND")
    before, after = Figures({sales: 3, amount: 15_000}), Figures({sales: 4, amount: 21_000})
    assert moved_otherwise(before, after, Figures({sales: 1, amount: 5_000})) == [
        "finance, vanmieu, parking, CASH, CASH_DEPOSIT, VND: should have moved by 5,000 VND, but moved by 6,000 VND."
    ]
    assert moved_otherwise(before, after, Figures({sales: 1, amount: 6_000})) == []
    assert len(moved_otherwise(before, before, Figures({sales: 1, amount: 6_000}))) == 2


def test_sums_for_programs_name_operator_service_means_and_channel() -> None:
    ledger = Ledger(
        [Sale("vanmieu", "parking", "VM1", "CASH", 5_000), Sale("vanmieu", "parking", "VM1", "CASH", 8_000)]
    )
    assert ledger.sums() == [
        {
            "operator": "vanmieu",
            "service": "parking",
            "means": "CASH",
            "channel": "CASH_DEPOSIT",
            "sales": 2,
            "amount_vnd": 13_000,
        }
    ]
