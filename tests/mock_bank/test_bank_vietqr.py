"""The bank's own reader of VietQR against the published and recomputed examples."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_bank import vietqr
from mock_bank.refusal import Refusal

STATIC = "00020101021138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN63049E6F"
OURS = "00020101021238540010A00000072701240006970436011001234567890208QRIBFTTA530370454061400005802VN62160812HNTKA8B4C6D263049B3D"
VALID = {
    "static, account": (STATIC, "970403", "0011012345678", "QRIBFTTA", None, "", False),
    "static, card": (
        "00020101021138600010A00000072701300006970403011697040311012345670208QRIBFTTC53037045802VN63044F52",
        "970403",
        "9704031101234567",
        "QRIBFTTC",
        None,
        "",
        False,
    ),
    "dynamic, account": (
        "00020101021238570010A00000072701270006970403011300110123456780208QRIBFTTA530370454061800005802VN62340107NPS68690819thanh toan don hang63042E2E",  # noqa: E501
        "970403",
        "0011012345678",
        "QRIBFTTA",
        180_000,
        "thanh toan don hang",
        True,
    ),
    "dynamic, card": (
        "00020101021238600010A00000072701300006970403011697040311012345670208QRIBFTTC530370454061800005802VN62340107NPS68690819thanh toan don hang6304A203",  # noqa: E501
        "970403",
        "9704031101234567",
        "QRIBFTTC",
        180_000,
        "thanh toan don hang",
        True,
    ),
    "ACB static": (
        "00020101021138530010A0000007270123000697041601092576788590208QRIBFTTA53037045802VN6304AE9F",
        "970416",
        "257678859",
        "QRIBFTTA",
        None,
        "",
        False,
    ),
    "ACB dynamic": (
        "00020101021238530010A0000007270123000697041601092576788590208QRIBFTTA53037045405100005802VN62150811Chuyen tien630453E6",
        "970416",
        "257678859",
        "QRIBFTTA",
        10_000,
        "Chuyen tien",
        True,
    ),
    "VietinBank": (
        "00020101021238570010A00000072701270006970415011300110019324180208QRIBFTTA530370454061200005802VN62170813ung ho lu lut6304C15C",
        "970415",
        "0011001932418",
        "QRIBFTTA",
        120_000,
        "ung ho lu lut",
        True,
    ),
    "checksum with a leading zero": (
        "00020101021138580010A000000727012800069704070114190304136010180208QRIBFTTA53037045802VN63040283",
        "970407",
        "19030413601018",
        "QRIBFTTA",
        None,
        "",
        False,
    ),
    "checksum in lower case": (
        "00020101021138540010A00000072701240006970422011003523509170208QRIBFTTA53037045802VN630479db",
        "970422",
        "0352350917",
        "QRIBFTTA",
        None,
        "",
        False,
    ),
    "order, 25,000": (
        "00020101021238540010A00000072701240006970436011001234567890208QRIBFTTA53037045405250005802VN62150811HNPK7F3K9Q26304AAD1",
        "970436",
        "0123456789",
        "QRIBFTTA",
        25_000,
        "HNPK7F3K9Q2",
        True,
    ),
    "order, 140,000": (OURS, "970436", "0123456789", "QRIBFTTA", 140_000, "HNTKA8B4C6D2", True),
}
BENEFICIARY = "0010A00000072701240006970436011001234567890208QRIBFTTA"


def field(tag: str, value: str) -> str:
    return f"{tag}{len(value):02}{value}"


def signed(body: str) -> str:
    return f"{body}6304{vietqr.checksum(body + '6304')}"


def code(**changed: str | None) -> str:
    fields: dict[str, str | None] = {"00": "01", "01": "12", "38": BENEFICIARY, "53": "704", "54": "70000", "58": "VN"}
    fields |= {tag.removeprefix("f"): value for tag, value in changed.items()}
    return signed("".join(field(tag, value) for tag, value in fields.items() if value is not None))


@pytest.mark.parametrize(("text", "crc"), [("123456789", "29B1"), ("00", "2EC9")])
def test_the_checksum_is_crc_16_ccitt_false(text: str, crc: str) -> None:
    assert vietqr.checksum(text) == crc


@pytest.mark.parametrize("name", VALID)
def test_every_valid_code_is_read(name: str) -> None:
    payload, bank_bin, account, service, amount_vnd, text, one_payment = VALID[name]
    assert vietqr.read(payload) == vietqr.Transfer(
        bin=bank_bin, account=account, service=service, amount_vnd=amount_vnd, text=text, one_payment=one_payment
    )


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        pytest.param(
            "00020101021126280010A000000775011001087990425204597753037045802VN5909MYPHAMHER6005HANOI62260311MY PHAM HER0707MPHER0163041C50",
            vietqr.NotATransferCode,
            id="a VNPAY-QR is no bank transfer",
        ),
        pytest.param(
            "00020101021138570010A00000072701270006970403011200110123456780208QRIBFTTA53037045802VN6304F4E5",
            vietqr.BrokenCode,
            id="the misprint of NAPAS v1.0: length 12 for 13 digits",
        ),
        pytest.param(STATIC[:-4] + "F4E5", vietqr.WrongChecksum, id="another code's checksum"),
        pytest.param(code(f38="0006970403"), vietqr.NotATransferCode, id="no AID"),
        pytest.param("", vietqr.BrokenCode, id="nothing"),
        pytest.param("xin chao", vietqr.BrokenCode, id="not a code at all"),
        pytest.param("HTTPS://EXAMPLE.VN/T/ABC", vietqr.BrokenCode, id="a ticket's address"),
        pytest.param(OURS + "6304FFFF", vietqr.BrokenCode, id="something behind the checksum"),
        pytest.param(OURS.replace("0002", "000²"), vietqr.BrokenCode, id="a superscript digit as a length"),
        pytest.param("0" * 600, vietqr.BrokenCode, id="too long"),
        pytest.param(code(f53="840"), vietqr.ForeignCurrency, id="dollars"),
        pytest.param(code(f58="LA"), vietqr.ForeignCurrency, id="another country"),
        pytest.param(code(f54="0"), vietqr.BadAmount, id="nothing to pay"),
        pytest.param(code(f54="50000.5"), vietqr.BadAmount, id="half a dong"),
        pytest.param(code(f54="5e4"), vietqr.BadAmount, id="an exponent"),
        pytest.param(code(f54="50,000"), vietqr.BadAmount, id="separators"),
        pytest.param(code(f54="500000000"), vietqr.BadAmount, id="more than one transfer may carry"),
        pytest.param(code(f54="12345678901234"), vietqr.BadAmount, id="14 digits"),
        pytest.param(code(f01="13"), vietqr.BrokenCode, id="an unknown initiation"),
        pytest.param(code(f62=field("08", "A" * 26)), vietqr.BrokenCode, id="26 characters of purpose"),
        pytest.param(code(f38=BENEFICIARY[:-8] + "QRIBFTTX"), vietqr.BrokenCode, id="an unknown service"),
    ],
)
def test_every_trap_is_refused(payload: str, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        vietqr.read(payload)


def test_a_final_point_behind_the_amount_is_legal() -> None:
    assert vietqr.read(code(f54="50000.")).amount_vnd == 50_000


def test_three_stars_ask_the_payer_for_the_text() -> None:
    assert vietqr.read(code(f62=field("08", "***"))).text == ""


def test_white_space_around_a_pasted_code_does_not_matter() -> None:
    assert vietqr.read(f"  {OURS}\n") == vietqr.read(OURS)


@given(at=st.integers(0, len(OURS) - 1), to=st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
def test_no_single_wrong_character_is_read_as_another_payment(at: int, to: str) -> None:
    try:
        assert vietqr.read(OURS[:at] + to + OURS[at + 1 :]) == vietqr.read(OURS)
    except (vietqr.BrokenCode, vietqr.WrongChecksum):
        assert OURS[at] != to


@given(st.text(max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Refusal):
        vietqr.read(text)


@given(keep=st.integers(0, len(OURS) - 1))
def test_a_truncated_code_is_refused(keep: int) -> None:
    with pytest.raises(Refusal):
        vietqr.read(OURS[:keep])
