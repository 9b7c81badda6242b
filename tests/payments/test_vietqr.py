"""VietQR payloads: built byte for byte as banks' own, and read so strictly that no altered one passes."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import Refusal
from payments.gateway import vietqr
from payments.gateway.vietqr import (
    MOST_VND,
    NotAVietqr,
    VietQR,
    VietqrAmountNotWhole,
    VietqrAmountTooLarge,
    VietqrAmountZero,
    VietqrBadAccount,
    VietqrBadBillNumber,
    VietqrBadBin,
    VietqrBadField,
    VietqrBadLength,
    VietqrBadPurpose,
    VietqrCrcMismatch,
    VietqrDuplicateTag,
    VietqrMissingField,
    VietqrNoAid,
    VietqrNotAscii,
    VietqrRefused,
    VietqrTagNotDigits,
    VietqrTipOrFee,
    VietqrTooLong,
    VietqrTrailingGarbage,
    VietqrUnknownBank,
    VietqrWrongCurrency,
    bank_name,
    build,
    crc,
    parse,
)


def asked(
    bin: str,
    account: str,
    amount_vnd: int | None = None,
    purpose: str = "",
    bill_number: str = "",
    service: str = "QRIBFTTA",
) -> VietQR:
    return VietQR(
        initiation="11" if amount_vnd is None else "12",
        bin=bin,
        account=account,
        service=service,
        amount_vnd=amount_vnd,
        bill_number=bill_number,
        purpose=purpose,
    )


ACCOUNT, CARD = ("970403", "0011012345678"), ("970403", "9704031101234567")
VECTORS = {
    "static, account": (
        "00020101021138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN63049E6F",
        asked(*ACCOUNT),
    ),
    "static, card": (
        "00020101021138600010A00000072701300006970403011697040311012345670208QRIBFTTC53037045802VN63044F52",
        asked(*CARD, service="QRIBFTTC"),
    ),
    "dynamic, account": (
        "00020101021238570010A00000072701270006970403011300110123456780208QRIBFTTA530370454061800005802VN"
        "62340107NPS68690819thanh toan don hang63042E2E",
        asked(*ACCOUNT, 180_000, "thanh toan don hang", "NPS6869"),
    ),
    "dynamic, card": (
        "00020101021238600010A00000072701300006970403011697040311012345670208QRIBFTTC530370454061800005802VN"
        "62340107NPS68690819thanh toan don hang6304A203",
        asked(*CARD, 180_000, "thanh toan don hang", "NPS6869", "QRIBFTTC"),
    ),
    "ACB static": (
        "00020101021138530010A0000007270123000697041601092576788590208QRIBFTTA53037045802VN6304AE9F",
        asked("970416", "257678859"),
    ),
    "ACB, 10,000": (
        "00020101021238530010A0000007270123000697041601092576788590208QRIBFTTA53037045405100005802VN"
        "62150811Chuyen tien630453E6",
        asked("970416", "257678859", 10_000, "Chuyen tien"),
    ),
    "VietinBank, 120,000": (
        "00020101021238570010A00000072701270006970415011300110019324180208QRIBFTTA530370454061200005802VN"
        "62170813ung ho lu lut6304C15C",
        asked("970415", "0011001932418", 120_000, "ung ho lu lut"),
    ),
    "a checksum with a leading zero": (
        "00020101021138580010A000000727012800069704070114190304136010180208QRIBFTTA53037045802VN63040283",
        asked("970407", "19030413601018"),
    ),
    "ours, 25,000": (
        "00020101021238540010A00000072701240006970436011001234567890208QRIBFTTA53037045405250005802VN"
        "62150811HNPK7F3K9Q26304AAD1",
        asked("970436", "0123456789", 25_000, "HNPK7F3K9Q2"),
    ),
    "ours, 140,000": (
        "00020101021238540010A00000072701240006970436011001234567890208QRIBFTTA530370454061400005802VN"
        "62160812HNTKA8B4C6D263049B3D",
        asked("970436", "0123456789", 140_000, "HNTKA8B4C6D2"),
    ),
}
OURS = VECTORS["ours, 25,000"][0]
VNPAY = (
    "00020101021126280010A000000775011001087990425204597753037045802VN5909MYPHAMHER6005HANOI"
    "62260311MY PHAM HER0707MPHER0163041C50"
)


def built(wanted: VietQR) -> str:
    return build(
        bin=wanted.bin,
        account=wanted.account,
        amount_vnd=wanted.amount_vnd,
        text=wanted.purpose,
        bill_number=wanted.bill_number,
        service=wanted.service,
    )


def sealed(*fields: str) -> str:
    """The fields with a right checksum behind them."""
    payload = "".join(fields) + "6304"
    return payload + crc(payload)


def field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"


def template(bin: str = "970436", account: str = "0123456789", service: str = "QRIBFTTA") -> str:
    inner = field("00", bin) + field("01", account)
    return field("38", field("00", "A000000727") + field("01", inner) + field("02", service))


HEAD, DONG, VIETNAM = "000201" + "010212", "5303704", "5802VN"


# What is right


@pytest.mark.parametrize("name", list(VECTORS))
def test_the_published_codes_are_built_byte_for_byte_and_read(name: str) -> None:
    payload, wanted = VECTORS[name]
    assert built(wanted) == payload
    assert parse(payload) == wanted


def test_a_lower_case_checksum_is_read_but_never_written() -> None:
    payload = "00020101021138540010A00000072701240006970422011003523509170208QRIBFTTA53037045802VN630479db"
    wanted = asked("970422", "0352350917")
    assert parse(payload) == wanted
    assert built(wanted) == payload[:-4] + "79DB"


def test_an_amount_may_end_with_a_point() -> None:
    assert parse(sealed(HEAD, template(), DONG, "540650000.", VIETNAM)).amount_vnd == 50_000


def test_a_purpose_may_be_left_to_the_payer() -> None:
    assert parse(sealed(HEAD, template(), DONG, VIETNAM, field("62", "0803***"))).purpose == "***"


def test_fields_between_the_first_and_the_last_may_stand_in_any_order_and_others_beside_them() -> None:
    extra = field("52", "7523"), field("59", "BAI XE DONG DA"), field("60", "HANOI"), field("62", field("07", "T1"))
    payload = sealed("000201", VIETNAM, *extra, DONG, "010211", template(service="QRPUSH"))
    assert parse(payload) == asked("970436", "0123456789", service="QRPUSH")


def test_the_checksum_is_crc_16_ccitt_false() -> None:
    assert crc("123456789") == "29B1"
    assert crc("00") == "2EC9"


@given(st.text(st.characters(max_codepoint=127)))
def test_the_checksum_is_the_textbook_one(text: str) -> None:
    register = 0xFFFF
    for byte in text.encode():
        register ^= byte << 8
        for _ in range(8):
            register = (register << 1 ^ (0x1021 if register & 0x8000 else 0)) & 0xFFFF
    assert crc(text) == f"{register:04X}"


def test_banks_are_known_by_their_number() -> None:
    assert bank_name("970436") == "Vietcombank"
    assert bank_name("458761") == "HSBC", "not every number begins with 9704"
    assert len(vietqr.banks()) == 53
    with pytest.raises(VietqrUnknownBank):
        bank_name("970499")
    with pytest.raises(VietqrBadBin):
        bank_name("97043")


words = st.text(string.ascii_letters + string.digits + " ", max_size=25)
wanted_codes = st.builds(
    asked,
    bin=st.sampled_from(["970436", "970403", "458761", "971025"]),
    account=st.text(string.ascii_letters + string.digits, min_size=1, max_size=19),
    amount_vnd=st.none() | st.integers(1, MOST_VND),
    purpose=words,
    bill_number=words,
    service=st.sampled_from(["QRIBFTTA", "QRIBFTTC"]),
)


@given(wanted_codes)
def test_what_is_built_is_read_back_unchanged(wanted: VietQR) -> None:
    assert parse(built(wanted)) == wanted


# What is altered


def same_but_for_the_case_of_the_checksum(altered: str, payload: str) -> bool:
    return altered[:-4] == payload[:-4] and altered[-4:].upper() == payload[-4:].upper()


@pytest.mark.parametrize("name", ["ours, 140,000", "dynamic, card", "a checksum with a leading zero"])
def test_every_change_of_one_character_is_refused(name: str) -> None:
    payload, wanted = VECTORS[name]
    for place in range(len(payload)):
        for character in string.printable + "é０":
            altered = payload[:place] + character + payload[place + 1 :]
            if same_but_for_the_case_of_the_checksum(altered, payload):
                assert parse(altered) == wanted
            else:
                with pytest.raises(VietqrRefused):
                    parse(altered)


@given(wanted_codes, st.data())
def test_a_changed_character_is_refused_in_any_code(wanted: VietQR, data: st.DataObject) -> None:
    payload = built(wanted)
    place = data.draw(st.integers(0, len(payload) - 1))
    altered = payload[:place] + data.draw(st.characters()) + payload[place + 1 :]
    if same_but_for_the_case_of_the_checksum(altered, payload):
        assert parse(altered) == wanted
    else:
        with pytest.raises(VietqrRefused):
            parse(altered)


def test_every_truncation_is_refused() -> None:
    for payload, _ in VECTORS.values():
        for length in range(len(payload)):
            with pytest.raises(VietqrRefused):
                parse(payload[:length])
            with pytest.raises(VietqrRefused):
                parse(payload[length + 1 :])


# Traps

TRAPS: dict[str, tuple[str, type[VietqrRefused]]] = {
    "the misprint of the standard's own first example": (
        "00020101021138570010A00000072701270006970403011200110123456780208QRIBFTTA53037045802VN6304F4E5",
        VietqrBadLength,
    ),
    "nothing": ("", VietqrMissingField),
    "a checksum of another payload": (OURS[:-4] + "AAD2", VietqrCrcMismatch),
    "a checksum that is no number": (OURS[:-4] + "ZZZZ", VietqrCrcMismatch),
    "no checksum": (OURS[:-8], VietqrMissingField),
    "a checksum of three digits": (OURS[:-6] + "03AAD", VietqrBadLength),
    "half a checksum": (OURS[:-2], VietqrBadLength),
    "half a head": (OURS[:-5], VietqrBadLength),
    "trailing text": (OURS + "X", VietqrTrailingGarbage),
    "a trailing newline": (OURS + "\n", VietqrTrailingGarbage),
    "a trailing field": (OURS + "5802VN", VietqrTrailingGarbage),
    "the same code twice": (OURS + OURS, VietqrTrailingGarbage),
    "a leading space": (" " + OURS, VietqrTagNotDigits),
    "VNPAY-QR": (VNPAY, NotAVietqr),
    "no account template": (sealed(HEAD, DONG, VIETNAM), NotAVietqr),
    "an AID of another system": (
        sealed(HEAD, field("38", "0010A000000775" + field("01", "x")), DONG, VIETNAM),
        NotAVietqr,
    ),
    "no AID": (
        sealed(HEAD, field("38", field("01", "0006970436" + "01100123456789") + "0208QRIBFTTA"), DONG, VIETNAM),
        VietqrNoAid,
    ),
    "an account template without lengths inside": (
        sealed(HEAD, field("38", "0010A000000727" + "01" + "9704360123456789" + "0208QRIBFTTA"), DONG, VIETNAM),
        VietqrBadLength,
    ),
    "no account": (
        sealed(HEAD, field("38", "0010A000000727" + field("01", "0006970436") + "0208QRIBFTTA"), DONG, VIETNAM),
        VietqrMissingField,
    ),
    "no bank": (
        sealed(HEAD, field("38", "0010A000000727" + field("01", "01100123456789") + "0208QRIBFTTA"), DONG, VIETNAM),
        VietqrMissingField,
    ),
    "no beneficiary": (
        sealed(HEAD, field("38", "0010A000000727" + "0208QRIBFTTA"), DONG, VIETNAM),
        VietqrMissingField,
    ),
    "no service": (
        sealed(HEAD, field("38", "0010A000000727" + field("01", "0006970436" + "01100123456789")), DONG, VIETNAM),
        VietqrMissingField,
    ),
    "an unknown service": (sealed(HEAD, template(service="QRIBFTTX"), DONG, VIETNAM), VietqrBadField),
    "dollars": (sealed(HEAD, template(), "5303840", VIETNAM), VietqrWrongCurrency),
    "no currency": (sealed(HEAD, template(), VIETNAM), VietqrMissingField),
    "no country": (sealed(HEAD, template(), DONG), VietqrMissingField),
    "another country": (sealed(HEAD, template(), DONG, "5802TH"), VietqrBadField),
    "another format": (sealed("000202", "010212", template(), DONG, VIETNAM), VietqrBadField),
    "the format not first": (sealed("010212", "000201", template(), DONG, VIETNAM), VietqrBadField),
    "no format": (sealed("010212", template(), DONG, VIETNAM), VietqrBadField),
    "no initiation": (sealed("000201", template(), DONG, VIETNAM), VietqrMissingField),
    "an unknown initiation": (sealed("000201", "010213", template(), DONG, VIETNAM), VietqrBadField),
    "a merchant category in letters": (sealed(HEAD, template(), field("52", "PARK"), DONG, VIETNAM), VietqrBadField),
    "an amount with cents": (sealed(HEAD, template(), DONG, field("54", "50000.50"), VIETNAM), VietqrAmountNotWhole),
    "an amount with zero cents": (sealed(HEAD, template(), DONG, field("54", "500.00"), VIETNAM), VietqrAmountNotWhole),
    "an amount with separators": (sealed(HEAD, template(), DONG, field("54", "50,000"), VIETNAM), VietqrAmountNotWhole),
    "a negative amount": (sealed(HEAD, template(), DONG, field("54", "-50000"), VIETNAM), VietqrAmountNotWhole),
    "an amount with an exponent": (sealed(HEAD, template(), DONG, field("54", "5e4"), VIETNAM), VietqrAmountNotWhole),
    "an amount that is a point": (sealed(HEAD, template(), DONG, field("54", "."), VIETNAM), VietqrAmountNotWhole),
    "an amount of 14 characters": (
        sealed(HEAD, template(), DONG, field("54", "00000000050000"), VIETNAM),
        VietqrBadLength,
    ),
    "an amount of nothing": (sealed(HEAD, template(), DONG, "540", "0", VIETNAM), VietqrBadLength),
    "an amount of 0": (sealed(HEAD, template(), DONG, field("54", "0"), VIETNAM), VietqrAmountZero),
    "an amount of 0 with a point": (sealed(HEAD, template(), DONG, field("54", "000."), VIETNAM), VietqrAmountZero),
    "half a billion": (sealed(HEAD, template(), DONG, field("54", "500000000"), VIETNAM), VietqrAmountTooLarge),
    "a tip": (sealed(HEAD, template(), DONG, "540550000", "550201", VIETNAM), VietqrTipOrFee),
    "a fixed fee": (sealed(HEAD, template(), DONG, "540550000", "550202", "56041000", VIETNAM), VietqrTipOrFee),
    "a bank of five digits": (sealed(HEAD, template(bin="97043"), DONG, VIETNAM), VietqrBadBin),
    "a bank in letters": (sealed(HEAD, template(bin="VCBVCB"), DONG, VIETNAM), VietqrBadBin),
    "an unknown bank": (sealed(HEAD, template(bin="970499"), DONG, VIETNAM), VietqrUnknownBank),
    "an account of 20 characters": (sealed(HEAD, template(account="1" * 20), DONG, VIETNAM), VietqrBadAccount),
    "an account with a dash": (sealed(HEAD, template(account="012-345"), DONG, VIETNAM), VietqrBadAccount),
    "a purpose of 26 characters": (
        sealed(HEAD, template(), DONG, VIETNAM, field("62", field("08", "A" * 26))),
        VietqrBadPurpose,
    ),
    "a purpose with signs": (
        sealed(HEAD, template(), DONG, VIETNAM, field("62", field("08", "MC/1"))),
        VietqrBadPurpose,
    ),
    "a bill number of 26 characters": (
        sealed(HEAD, template(), DONG, VIETNAM, field("62", field("01", "A" * 26))),
        VietqrBadBillNumber,
    ),
    "additional data that end too early": (
        sealed(HEAD, template(), DONG, VIETNAM, field("62", "0899MC")),
        VietqrBadLength,
    ),
    "a name whose length counts characters": (
        sealed(HEAD, template(), DONG, VIETNAM, "5911PHỞ HÀ NỘI "),
        VietqrNotAscii,
    ),
    "a name whose length counts bytes": (
        sealed(HEAD, template(), DONG, VIETNAM, "5914PHỞ HÀ NỘI"),
        VietqrNotAscii,
    ),
    "digits of another script": (OURS.replace("25000", "２5000"), VietqrNotAscii),
    "an amount twice": (sealed(HEAD, template(), DONG, "540550000", "540510000", VIETNAM), VietqrDuplicateTag),
    "an account template twice": (sealed(HEAD, template(), template(), DONG, VIETNAM), VietqrDuplicateTag),
    "two accounts": (
        sealed(
            HEAD,
            field("38", "0010A000000727" + field("01", "0006970436" + "01011" + "01012") + "0208QRIBFTTA"),
            DONG,
            VIETNAM,
        ),
        VietqrDuplicateTag,
    ),
    "two purposes": (
        sealed(HEAD, template(), DONG, VIETNAM, field("62", "0802MC" + "0802MD")),
        VietqrDuplicateTag,
    ),
    "a tag in letters": (sealed(HEAD, template(), DONG, VIETNAM, "5A02VN"), VietqrTagNotDigits),
    "a length in letters": (sealed(HEAD, template(), DONG, "580xVN"), VietqrTagNotDigits),
    "a signed length": (sealed(HEAD, template(), DONG, "58+2VN"), VietqrTagNotDigits),
    "a length of 0": (sealed(HEAD, template(), DONG, VIETNAM, "5900"), VietqrBadLength),
    "a length beyond the end": (sealed(HEAD, template(), DONG, "5899VN"), VietqrBadLength),
    "a megabyte": ("0" * 1_000_000, VietqrTooLong),
    "an address": ("https://motcham.vn/P/17", VietqrTagNotDigits),
}


@pytest.mark.parametrize("name", list(TRAPS))
def test_every_trap_is_refused_by_its_own_name(name: str) -> None:
    payload, refusal = TRAPS[name]
    with pytest.raises(refusal) as refused:
        parse(payload)
    assert type(refused.value) is refusal
    assert str(refused.value) == refusal.sentence().format(**refused.value.facts)


def test_every_refusal_has_a_code_of_its_own_and_is_tried_by_a_trap() -> None:
    refusals = set(VietqrRefused.__subclasses__())
    assert len({refusal.code for refusal in refusals}) == len(refusals)
    assert all(refusal.code.startswith(("vietqr_", "not_a_vietqr")) for refusal in refusals)
    assert {refusal for _, refusal in TRAPS.values()} == refusals


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"bin": "97043"}, VietqrBadBin),
        ({"bin": "97043６"}, VietqrBadBin),
        ({"bin": "970436\n"}, VietqrBadBin),
        ({"bin": "970499"}, VietqrUnknownBank),
        ({"account": ""}, VietqrBadAccount),
        ({"account": "1" * 20}, VietqrBadAccount),
        ({"account": "0123 456"}, VietqrBadAccount),
        ({"account": "0123456789\n"}, VietqrBadAccount),
        ({"amount_vnd": 0}, VietqrAmountZero),
        ({"amount_vnd": -1}, VietqrAmountZero),
        ({"amount_vnd": MOST_VND + 1}, VietqrAmountTooLarge),
        ({"amount_vnd": True}, VietqrAmountNotWhole),
        ({"amount_vnd": 25_000.0}, VietqrAmountNotWhole),
        ({"amount_vnd": "25000"}, VietqrAmountNotWhole),
        ({"text": "A" * 26}, VietqrBadPurpose),
        ({"text": "vé Văn Miếu"}, VietqrBadPurpose),
        ({"text": "MC-123"}, VietqrBadPurpose),
        ({"text": "***"}, VietqrBadPurpose),
        ({"text": "MC\n"}, VietqrBadPurpose),
        ({"bill_number": "A" * 26}, VietqrBadBillNumber),
        ({"bill_number": "Hóa đơn"}, VietqrBadBillNumber),
        ({"service": "QRPUSH"}, VietqrBadField),
        ({"service": ""}, VietqrBadField),
    ],
)
def test_what_a_bank_could_misread_is_never_built(wrong: dict[str, object], refusal: type[Refusal]) -> None:
    right: dict[str, object] = {"bin": "970436", "account": "0123456789", "amount_vnd": 25_000, "text": "HNPK7F3K9Q2"}
    assert build(**right) == OURS  # type: ignore[arg-type]
    with pytest.raises(refusal) as refused:
        build(**(right | wrong))  # type: ignore[arg-type]
    assert type(refused.value) is refusal


def test_the_largest_amount_of_one_transfer_is_built_and_read() -> None:
    payload = build(bin="970436", account="1" * 19, amount_vnd=MOST_VND, text="A" * 25, bill_number="B" * 25)
    assert parse(payload).amount_vnd == 499_999_999


# Fuzz


@given(st.text())
@settings(max_examples=300)
def test_only_named_refusals_come_out_of_any_text(text: str) -> None:
    with pytest.raises(VietqrRefused):
        parse(text)


def test_only_named_refusals_come_out_of_sealed_rubbish() -> None:
    """With a right checksum, so that the fields themselves are reached."""
    chance = random.Random(20261121)
    pieces = [HEAD, "000201", "010211", DONG, VIETNAM, template(), OURS[12:-8], "5405", "62", "0811", "63", "00", "99"]
    read = 0
    for _ in range(20_000):
        payload = list("".join(chance.choices(pieces, k=chance.randint(1, 8))) if chance.random() < 0.5 else OURS[:-8])
        for _ in range(chance.randint(0, 3)):
            payload[chance.randrange(len(payload))] = chance.choice("0123456789AZ. x")
        try:
            parse(sealed("".join(payload)))
        except VietqrRefused:
            continue
        read += 1
    assert read > 100, "some rubbish is harmless, or the test would not reach the end of the reader"
