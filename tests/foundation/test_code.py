"""The signed code, its address in a QR, and the short form that people type."""

from __future__ import annotations

import base64
import hmac
import io
import itertools
import random
from datetime import date, timedelta

import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from foundation import qr
from foundation.check_symbols import ALPHABET, checks_hold, with_checks
from foundation.code import (
    CodeForged,
    CodeKeys,
    CodeUnreadable,
    HostTooLong,
    Kind,
    PublicUrlUnfit,
    ShortCodeMistyped,
    TicketCode,
    as_url,
    draw_short,
    format_short,
    read,
    read_short,
)

ROOTS = {1: bytes(range(32)), 2: bytes(range(100, 132)), 3: bytes(range(32))}
KEYS = CodeKeys(ROOTS, "demo")
TODAY = date(2026, 11, 21)
SERIAL = bytes(range(10))
TICKET = TicketCode.ticket(
    generation=1, place=4711, day=TODAY, from_quarter=32, until_quarter=70, product=3, heads=4, serial=SERIAL
)
SIGNED = KEYS.sign(TICKET)
OUR_MISTAKE = "must be|ends after it begins|has 10 bytes|need a root|at least 32 bytes"
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
LONGEST_HOST = "cham-mot-cham.hanoi.gov.vn:8443"


@st.composite
def codes(draw: st.DrawFn) -> TicketCode:
    generation = draw(st.sampled_from(sorted(ROOTS)))
    place = draw(st.integers(0, 2**24 - 1))
    day = draw(st.dates(date(2020, 1, 1), date(2020, 1, 1) + timedelta(days=65535)))
    product = draw(st.integers(0, 65535))
    serial = draw(st.binary(min_size=10, max_size=10))
    match draw(st.sampled_from(Kind)):
        case Kind.TICKET:
            from_quarter = draw(st.integers(0, 95))
            return TicketCode.ticket(
                generation=generation,
                place=place,
                day=day,
                from_quarter=from_quarter,
                until_quarter=draw(st.integers(from_quarter + 1, 192)),
                product=product,
                heads=draw(st.integers(0, 255)),
                serial=serial,
            )
        case Kind.STAY:
            return TicketCode.stay(
                generation=generation,
                place=place,
                day=day,
                vehicle_class=draw(st.integers(0, 31)),
                entry_minute=draw(st.integers(0, 1439)),
                product=product,
                serial=serial,
            )
        case Kind.LEAVE:
            return TicketCode.leave(
                generation=generation,
                place=place,
                day=day,
                until_minute=draw(st.integers(0, 1439)),
                product=product,
                serial=serial,
            )
        case kind:
            return TicketCode(
                kind=kind,
                generation=generation,
                place=place,
                day=day,
                product=product,
                heads=draw(st.integers(0, 255)),
                serial=serial,
            )


def encoded(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")


def refused(text: str, keys: CodeKeys = KEYS) -> bool:
    try:
        keys.verify(text)
    except (CodeForged, CodeUnreadable):
        return True
    return False


# What a code says


@given(codes())
def test_whatever_is_signed_is_read_back_unchanged(code: TicketCode) -> None:
    signed = KEYS.sign(code)
    assert len(signed) == 48
    assert KEYS.verify(signed) == code
    assert TicketCode.unpacked(code.packed()) == code


def test_the_layout_and_the_keys_are_the_ones_that_printed_codes_have() -> None:
    raw = base64.b32decode(SIGNED)
    assert len(raw) == 30
    day = (TODAY - date(2020, 1, 1)).days.to_bytes(2)
    body = bytes([1, 1, 0x00, 0x12, 0x67, *day, 32, 70, 0, 3, 4]) + SERIAL
    assert raw[:22] == body
    # RFC 5869 by hand.
    extracted = hmac.digest(bytes(32), ROOTS[1], "sha256")
    info = b"motcham/ticket-code/1" + b"\0" + bytes([1]) + bytes([0x00, 0x12, 0x67]) + day + b"demo"
    key = hmac.digest(extracted, info + b"\x01", "sha256")
    assert raw[22:] == hmac.digest(key, body, "sha256")[:8]


def test_each_kind_names_what_its_window_says() -> None:
    assert (TICKET.valid_from_quarter, TICKET.valid_until_quarter) == (32, 70)
    stay = TicketCode.stay(
        generation=1, place=1, day=TODAY, vehicle_class=31, entry_minute=1439, product=1, serial=SERIAL
    )
    assert (stay.vehicle_class, stay.entry_minute) == (31, 1439)
    leave = TicketCode.leave(generation=1, place=1, day=TODAY, until_minute=614, product=1, serial=SERIAL)
    assert leave.leave_until_minute == 614
    with pytest.raises(ValueError, match="only a stay has this, not a ticket"):
        _ = TICKET.entry_minute
    with pytest.raises(ValueError, match="only a ticket has this, not a leave"):
        _ = leave.valid_until_quarter


def test_a_night_ticket_may_end_on_the_next_day_but_not_before_it_begins() -> None:
    night = TicketCode.ticket(
        generation=1, place=1, day=TODAY, from_quarter=80, until_quarter=100, product=1, heads=1, serial=SERIAL
    )
    assert KEYS.verify(KEYS.sign(night)).valid_until_quarter == 100
    for from_quarter, until_quarter in [(96, 100), (40, 40), (40, 39), (0, 193), (-1, 5), (0, 256)]:
        with pytest.raises(ValueError, match=OUR_MISTAKE):
            TicketCode.ticket(
                generation=1,
                place=1,
                day=TODAY,
                from_quarter=from_quarter,
                until_quarter=until_quarter,
                product=1,
                heads=1,
                serial=SERIAL,
            )


@pytest.mark.parametrize(
    "wrong",
    [
        {"generation": 256},
        {"generation": -1},
        {"place": 2**24},
        {"day": date(2019, 12, 31)},
        {"day": date(2199, 6, 7)},
        {"product": 65536},
        {"heads": 256},
        {"serial": bytes(9)},
        {"serial": bytes(11)},
        {"window": 1},
    ],
)
def test_a_value_that_does_not_fit_is_never_packed(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "kind": Kind.PASS,
        "generation": 1,
        "place": 1,
        "day": date(2199, 6, 6),
        "product": 1,
        "heads": 1,
        "serial": SERIAL,
    }
    TicketCode(**fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=OUR_MISTAKE):
        TicketCode(**(fields | wrong))  # type: ignore[arg-type]


def test_a_minute_that_no_day_has_is_never_packed() -> None:
    with pytest.raises(ValueError, match=OUR_MISTAKE):
        TicketCode.stay(generation=1, place=1, day=TODAY, vehicle_class=1, entry_minute=1440, product=1, serial=SERIAL)
    with pytest.raises(ValueError, match=OUR_MISTAKE):
        TicketCode.stay(generation=1, place=1, day=TODAY, vehicle_class=32, entry_minute=0, product=1, serial=SERIAL)
    with pytest.raises(ValueError, match=OUR_MISTAKE):
        TicketCode.leave(generation=1, place=1, day=TODAY, until_minute=1440, product=1, serial=SERIAL)


# What is not genuine


@given(codes())
def test_every_single_bit_flip_is_refused(code: TicketCode) -> None:
    raw = base64.b32decode(KEYS.sign(code))
    for bit in range(240):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CodeForged):
            KEYS.verify(encoded(bytes(flipped)))


def test_every_single_wrong_character_is_refused() -> None:
    for place, character in itertools.product(range(48), BASE32 + "0189=-_ +/"):
        altered = SIGNED[:place] + character + SIGNED[place + 1 :]
        assert altered == SIGNED or refused(altered), altered


def test_every_truncation_is_unreadable() -> None:
    for length in range(48):
        for shorter in (SIGNED[:length], SIGNED[48 - length :]):
            with pytest.raises(CodeUnreadable):
                KEYS.verify(shorter)
    raw = base64.b32decode(SIGNED)
    for length in range(30):
        assert refused(encoded(raw[:length]))


def test_every_extension_is_unreadable() -> None:
    for extra in range(1, 65):
        for longer in (SIGNED + "A" * extra, "A" * extra + SIGNED, SIGNED + "=" * extra):
            with pytest.raises(CodeUnreadable):
                KEYS.verify(longer)
        with pytest.raises(CodeUnreadable):
            KEYS.verify(encoded(base64.b32decode(SIGNED) + bytes(extra)))


def test_an_empty_mac_or_one_shared_by_all_is_refused() -> None:
    raw = base64.b32decode(SIGNED)
    for mac in (bytes(8), b"\xff" * 8, raw[:8], raw[14:22]):
        with pytest.raises(CodeForged):
            KEYS.verify(encoded(raw[:22] + mac))


def test_a_mac_is_genuine_only_for_its_own_kind_generation_place_and_day() -> None:
    contexts = [
        TicketCode(kind=kind, generation=generation, place=place, day=day, product=1, heads=1, serial=SERIAL)
        for kind in (Kind.PASS, Kind.TAG)
        for generation in ROOTS
        for place in (4711, 4712, 4711 << 8)
        for day in (TODAY - timedelta(days=1), TODAY, TODAY + timedelta(days=1))
    ]
    macs = [base64.b32decode(KEYS.sign(context))[22:] for context in contexts]
    for (body_of, context), (mac_of, mac) in itertools.product(enumerate(contexts), enumerate(macs)):
        assert refused(encoded(context.packed() + mac)) is (body_of != mac_of)


def test_a_body_relabelled_as_any_other_kind_is_refused() -> None:
    raw = base64.b32decode(SIGNED)
    for kind in range(256):
        assert refused(encoded(bytes([kind]) + raw[1:])) is (kind != Kind.TICKET)


def test_codes_of_another_environment_are_refused_both_ways() -> None:
    environments = {name: CodeKeys(ROOTS, name) for name in ("demo", "production", "demo ", "dem", "o")}
    for (signer, signing), (reader, reading) in itertools.product(environments.items(), repeat=2):
        assert refused(signing.sign(TICKET), reading) is (signer != reader)


def test_an_unknown_generation_is_refused_and_cannot_sign() -> None:
    one_only, two_only = CodeKeys({1: ROOTS[1]}, "demo"), CodeKeys({2: ROOTS[2]}, "demo")
    assert one_only.verify(SIGNED) == TICKET
    with pytest.raises(CodeForged):
        two_only.verify(SIGNED)
    with pytest.raises(ValueError, match="no root key of generation 1"):
        two_only.sign(TICKET)
    assert KEYS.generation == 3


def test_a_right_mac_over_fields_that_we_never_write_is_refused() -> None:
    """As the thief of a tablet could make them."""
    body = TICKET.packed()
    for strange in (
        bytes([0]) + body[1:],
        bytes([6]) + body[1:],
        body[:7] + b"\xff\xff" + body[9:],
        bytes([Kind.STAY]) + body[1:7] + (1440).to_bytes(2) + body[9:],
        bytes([Kind.LEAVE]) + body[1:7] + (1440).to_bytes(2) + body[9:],
        bytes([Kind.PASS]) + body[1:7] + (1).to_bytes(2) + body[9:],
    ):
        with pytest.raises(CodeForged):
            KEYS.verify(encoded(strange + KEYS._mac(strange)))


def test_a_hundred_thousand_forgeries_are_refused_and_none_breaks_the_reader() -> None:
    chance = random.Random(20261121)
    for _ in range(60_000):
        raw = bytearray(chance.randbytes(30))
        raw[0], raw[1] = chance.randint(0, 6), chance.choice((1, 2, 3, 4))
        assert refused(encoded(bytes(raw)))
    alphabet = BASE32 + BASE32.lower() + "0189=:/. \n\t%-_éđſıK０\x00\ud800"
    for _ in range(40_000):
        assert refused("".join(chance.choices(alphabet, k=chance.choice((0, 1, 47, 48, 49, chance.randint(0, 120))))))


@given(st.text())
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    assert refused(text)


def test_a_tablet_holding_a_day_key_finds_the_same_mac() -> None:
    raw = base64.b32decode(SIGNED)
    key = KEYS.day_key(1, 4711, TODAY)
    assert len(key) == 32
    assert hmac.digest(key, raw[:22], "sha256")[:8] == raw[22:]
    others = {
        KEYS.day_key(generation, place, day)
        for generation in ROOTS
        for place in (4711, 4712)
        for day in (TODAY, TODAY + timedelta(days=1))
    }
    assert len(others) == len(ROOTS) * 2 * 2, "every generation, place and day has a key of its own"


def test_weak_roots_and_nameless_environments_are_not_taken() -> None:
    for roots, environment in [({}, "demo"), ({1: bytes(31)}, "demo"), ({256: bytes(32)}, "demo"), (ROOTS, "")]:
        with pytest.raises(ValueError, match=OUR_MISTAKE):
            CodeKeys(roots, environment)


# The address


def test_the_address_of_the_longest_host_fits_the_qr_of_a_ticket_and_is_decoded_at_100_pixels() -> None:
    assert len(LONGEST_HOST) == 31
    url = as_url(f"https://{LONGEST_HOST}", SIGNED)
    assert url == f"HTTPS://{LONGEST_HOST.upper()}/T/{SIGNED}"
    assert len(url) == 90
    assert qr.version(url) == 4
    picture = Image.open(io.BytesIO(qr.ticket_png(url))).convert("L").resize((100, 100), Image.Resampling.BILINEAR)
    (barcode,) = zxingcpp.read_barcodes(picture)
    assert barcode.text == url
    assert KEYS.verify(barcode.text) == TICKET


def test_scheme_and_port_of_the_public_address_are_kept() -> None:
    assert as_url("http://localhost:8000", SIGNED) == f"HTTP://LOCALHOST:8000/T/{SIGNED}"
    assert as_url("https://motcham.vn/", SIGNED.lower()) == f"HTTPS://MOTCHAM.VN/T/{SIGNED}"


def test_a_host_over_31_characters_is_refused_by_name() -> None:
    with pytest.raises(HostTooLong) as refusal:
        as_url("https://a" + LONGEST_HOST, SIGNED)
    assert refusal.value.code == "host_too_long"
    assert "a" + LONGEST_HOST in str(refusal.value)


@pytest.mark.parametrize(
    "public_url",
    [
        "",
        "motcham.vn",
        "ftp://motcham.vn",
        "https://",
        "https://motcham.vn/app",
        "https://motcham.vn?x",
        "https://u@motcham.vn",
        "https://[::1]",
        "https://mộtchạm.vn",
        "https://a_b.vn",
        "https://motcham.vn\n",
    ],
)
def test_a_public_address_with_more_than_a_plain_host_is_refused(public_url: str) -> None:
    with pytest.raises(PublicUrlUnfit):
        as_url(public_url, SIGNED)


@pytest.mark.parametrize(
    "scanned",
    [
        SIGNED,
        SIGNED.lower(),
        f"  {SIGNED}\r\n",
        f"HTTPS://MOTCHAM.VN/T/{SIGNED}",
        f"https://motcham.vn/t/{SIGNED.lower()}\n",
        f"Http://LocalHost:8000/T/{SIGNED}",
        f"\t{as_url('https://' + LONGEST_HOST, SIGNED)}\r",
    ],
)
def test_whatever_a_scanner_gives_is_read(scanned: str) -> None:
    assert read(scanned) == SIGNED
    assert KEYS.verify(scanned) == TICKET


@pytest.mark.parametrize(
    "scanned",
    [
        "",
        "\n",
        SIGNED[:24] + " " + SIGNED[24:],
        SIGNED[:-1] + "=",
        SIGNED[:-1] + "ſ",
        SIGNED[:-1] + "\uff21",
        SIGNED + "\u00a0",
        f"https://motcham.vn/p/{SIGNED}",
        f"https://motcham.vn/T/{SIGNED}/",
        f"https://motcham.vn/T/{SIGNED}?x=1",
        f"https://motcham.vn/T/{SIGNED}#x",
        f"https://motcham.vn/T/T/{SIGNED}",
        f"https:///T/{SIGNED}",
        f"javascript://x/T/{SIGNED}",
        f"/T/{SIGNED}",
        " " * 1_000_000 + SIGNED,
        "A" * 1_000_000,
    ],
)
def test_whatever_is_not_a_code_is_unreadable(scanned: str) -> None:
    with pytest.raises(CodeUnreadable) as refusal:
        read(scanned)
    assert refusal.value.code == "code_unreadable"


# The short form


def test_a_drawn_short_code_is_read_back_as_people_type_it() -> None:
    chance = random.Random(5)
    for _ in range(500):
        short = draw_short(chance)
        assert len(short) == 10
        assert set(short) <= set(ALPHABET)
        for typed in (short, short.lower(), format_short(short), f" {short[:5]}-{short[5:]}\n", "\u2013".join(short)):
            assert read_short(typed) == short


def test_a_short_code_is_grouped_for_reading() -> None:
    assert format_short("ABCDEFGHJK") == "ABCDE FGHJK"


def test_every_single_slip_and_every_swap_in_a_short_code_is_found() -> None:
    chance = random.Random(6)
    for _ in range(40):
        short = draw_short(chance)
        for place, symbol in itertools.product(range(10), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
            slipped = short[:place] + symbol + short[place + 1 :]
            if slipped != short:
                with pytest.raises(ShortCodeMistyped):
                    read_short(slipped)
        for left, right in itertools.combinations(range(10), 2):
            swapped = list(short)
            swapped[left], swapped[right] = swapped[right], swapped[left]
            if swapped != list(short):
                with pytest.raises(ShortCodeMistyped):
                    read_short("".join(swapped))


@pytest.mark.parametrize(
    "typed", ["", "ABCDE", "2" * 11, "O" * 10, "\uff12" * 10, "ſ" * 10, "2" * 1_000_000, "\x00" * 10]
)
def test_what_is_no_short_code_is_called_mistyped(typed: str) -> None:
    with pytest.raises(ShortCodeMistyped) as refusal:
        read_short(typed)
    assert refusal.value.code == "short_code_mistyped"


def test_a_letter_that_only_looks_like_one_of_the_alphabet_is_mistyped() -> None:
    chance = random.Random(8)
    short = next(short for short in iter(lambda: draw_short(chance), "") if "S" in short)
    with pytest.raises(ShortCodeMistyped):
        read_short(short.replace("S", "ſ"))


# The arithmetic below short codes and references


def test_the_alphabet_has_thirty_symbols_and_no_look_alikes() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 30
    assert not set(ALPHABET) & set("01ILOU")


def test_check_symbols_make_the_polynomial_zero_at_their_points() -> None:
    values = {symbol: value for value, symbol in enumerate(ALPHABET)}
    chance = random.Random(7)
    for _ in range(500):
        symbols = "".join(chance.choices(ALPHABET, k=chance.randint(1, 28)))
        for count, points in ((1, (3,)), (2, (3, 9))):
            checked = with_checks(symbols, count)  # type: ignore[arg-type]
            if checked is None:
                continue
            assert checked.startswith(symbols)
            assert checks_hold(checked, count)  # type: ignore[arg-type]
            for point in points:
                powers = (values[symbol] * point**power for power, symbol in enumerate(reversed(checked)))
                assert sum(powers) % 31 == 0


def test_a_draw_whose_check_has_no_symbol_is_thrown_away_about_once_in_31() -> None:
    chance = random.Random(8)
    draws = ["".join(chance.choices(ALPHABET, k=9)) for _ in range(10_000)]
    thrown_away = sum(with_checks(draw, 1) is None for draw in draws)
    assert 250 < thrown_away < 400


def test_codes_too_long_for_the_field_are_not_made() -> None:
    with pytest.raises(ValueError, match="share a weight"):
        with_checks("2" * 30, 1)
    assert not checks_hold("2" * 31, 1)
    assert not checks_hold("2", 1)
