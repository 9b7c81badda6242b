"""VNPAY's language: the signature of domain.md, what it covers, and every code it may say."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation import texts
from foundation.errors import BadPayload
from payments.gateway import AttemptOrder, NoticeForged, Told, vnpay
from payments.gateway.vnpay import Vnpay

SECRETS = {"TESTTMN1": "test_secret"}
VECTOR = (
    "vnp_Amount=7000000&vnp_Command=pay&vnp_CreateDate=20261121093000&vnp_CurrCode=VND&vnp_ExpireDate=20261121094500"
    "&vnp_IpAddr=127.0.0.1&vnp_Locale=vn&vnp_OrderInfo=Ve+Van+Mieu+1+nguoi+lon&vnp_OrderType=other"
    "&vnp_ReturnUrl=https%3A%2F%2Fexample.vn%2Freturn&vnp_TmnCode=TESTTMN1&vnp_TxnRef=TK2026112100001&vnp_Version=2.1.0"
)
HASH = (
    "0258c9e878f1cab182df05f5ff61d553e9295e4cfa6f8b69433383349d88281bbfebc544e2d394855e842cdfe3714795420ed0026ccaa3339e0"
    "24860b10789fa"
)
PAID = {
    "vnp_TmnCode": "TESTTMN1",
    "vnp_TxnRef": "MCTEST01",
    "vnp_Amount": "7000000",
    "vnp_OrderInfo": "Mot Cham",
    "vnp_BankCode": "VISA",
    "vnp_CardType": "VISA",
    "vnp_PayDate": "20261121093000",
    "vnp_TransactionNo": "14226112",
    "vnp_ResponseCode": "00",
    "vnp_TransactionStatus": "00",
}
fields = st.dictionaries(
    st.from_regex(r"vnp_[A-Za-z]{1,12}", fullmatch=True).filter(lambda name: name not in vnpay.HASHES),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    max_size=8,
)


def test_the_signature_is_that_of_the_specification() -> None:
    order = AttemptOrder(
        "TESTTMN1",
        "TK2026112100001",
        70_000,
        "Ve Van Mieu 1 nguoi lon",
        datetime(2026, 11, 21, 2, 30, tzinfo=UTC),
        datetime(2026, 11, 21, 2, 45, tzinfo=UTC),
    )
    gateway = Vnpay(SECRETS, "https://gateway/pay")
    address = gateway.begin(order, language="vi", back="https://example.vn/return", payer_address="127.0.0.1")
    assert address == f"https://gateway/pay?{VECTOR}&vnp_SecureHash={HASH}"


def test_the_page_speaks_the_readers_language() -> None:
    order = AttemptOrder("TESTTMN1", "A", 1, "", datetime.now(UTC), datetime.now(UTC))
    address = Vnpay(SECRETS).begin(order, language="en", back="https://a", payer_address="::1")
    assert "vnp_Locale=en" in address


@given(fields)
def test_any_signed_set_of_fields_is_read_back(params: dict[str, str]) -> None:
    params["vnp_TmnCode"] = "TESTTMN1"
    read = vnpay.verified(vnpay.signed_query(params, "test_secret"), SECRETS)
    read.pop("vnp_SecureHash")
    assert read == {name: value for name, value in params.items() if value}


@given(fields, st.data())
def test_no_character_of_it_can_be_changed(params: dict[str, str], data: st.DataObject) -> None:
    params["vnp_TmnCode"] = "TESTTMN1"
    pairs = parse_qsl(vnpay.signed_query(params, "test_secret"))
    number = data.draw(st.integers(0, len(pairs) - 1))
    part = data.draw(st.integers(0, 1))
    text = pairs[number][part]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(exclude_categories=("Cs",)).filter(lambda letter: letter != text[at]))
    changed = text[:at] + other + text[at + 1 :]
    pairs[number] = (changed, pairs[number][1]) if part == 0 else (pairs[number][0], changed)
    with pytest.raises(NoticeForged):
        vnpay.verified(urlencode(pairs), SECRETS)


@pytest.mark.parametrize(
    "query",
    [
        "",
        VECTOR,
        f"{VECTOR}&vnp_SecureHash=",
        f"{VECTOR}&vnp_SecureHash={HASH.upper()}",
        f"{VECTOR}&vnp_SecureHash={HASH}&vnp_Amount=7000000",
        f"{VECTOR.replace('TESTTMN1', 'NOBODY00')}&vnp_SecureHash={HASH}",
        f"{VECTOR.replace('7000000', '100')}&vnp_SecureHash={HASH}",
    ],
)
def test_what_is_unsigned_doubled_or_a_strangers_is_forged(query: str) -> None:
    with pytest.raises(NoticeForged):
        vnpay.verified(query, SECRETS)


def test_a_merchant_whose_secret_is_empty_is_refused() -> None:
    with pytest.raises(NoticeForged):
        vnpay.verified(vnpay.signed_query({"vnp_TmnCode": "TESTTMN1"}, ""), {"TESTTMN1": ""})


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({}, "paid"),
        ({"vnp_ResponseCode": "51", "vnp_TransactionStatus": "02"}, "declined"),
        ({"vnp_ResponseCode": "99", "vnp_TransactionStatus": "04"}, "reversed"),
        ({"vnp_ResponseCode": "07", "vnp_TransactionStatus": "07"}, "suspected"),
        ({"vnp_ResponseCode": "07", "vnp_TransactionStatus": "00"}, "suspected"),
    ],
)
def test_code_and_status_together_say_what_happened(changes: dict[str, str], event: str) -> None:
    query = vnpay.signed_query(PAID | changes, "test_secret")
    news = Vnpay(SECRETS).hear(Told({}, query, b""))
    assert news and news.end and news.end.event == event
    assert (news.credit is not None) == (event == "paid")
    assert news.end.amount_vnd == 70_000


def test_who_has_not_finished_says_nothing_yet() -> None:
    query = vnpay.signed_query(PAID | {"vnp_TransactionStatus": "01"}, "test_secret")
    assert Vnpay(SECRETS).hear(Told({}, query, b"")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"vnp_TransactionStatus": "77"},
        {"vnp_ResponseCode": "51"},
        {"vnp_Amount": "7000050"},
        {"vnp_Amount": "-7000000"},
        {"vnp_Amount": "7e6"},
        {"vnp_Amount": "٧٠٠٠٠٠٠"},
        {"vnp_Amount": "0"},
        {"vnp_PayDate": "yesterday"},
        {"vnp_TransactionNo": ""},
        {"vnp_TransactionNo": "0"},
    ],
)
def test_what_cannot_be_true_is_not_read(changes: dict[str, str]) -> None:
    with pytest.raises(BadPayload):
        Vnpay(SECRETS).hear(Told({}, vnpay.signed_query(PAID | changes, "test_secret"), b""))


@pytest.mark.parametrize(
    ("bank", "card_type", "means"),
    [
        ("VISA", "VISA", "CARD"),
        ("NCB", "ATM", "CARD"),
        ("NCB", "QRCODE", "QR_TRANSFER"),
        ("VNPAYQR", "", "QR_TRANSFER"),
        ("ALIPAY", "", "WALLET"),
        ("", "WALLET", "WALLET"),
        ("", "", "CARD"),
    ],
)
def test_the_means_follow_from_bank_and_card_type(bank: str, card_type: str, means: str) -> None:
    assert vnpay.means_of(bank, card_type) == means


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_code_has_its_sentence(language: str) -> None:
    for word in {*vnpay.WHY.values(), vnpay.why("anything else")}:
        assert texts.text(language, f"pay.card.why.{word}") != f"pay.card.why.{word}"
