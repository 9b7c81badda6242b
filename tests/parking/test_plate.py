"""A plate in any spelling: its key, what it can be, how it is written, masked and found again."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parking.plate import (
    COMPACT_MAX,
    Kind,
    PlateEmpty,
    PlateTooLong,
    UnknownVehicleClass,
    VehicleClass,
    display,
    fits,
    look_alike_key,
    mask,
    normalise,
    read,
    tail,
)

CAR, MOTORBIKE, BICYCLE = VehicleClass.CAR, VehicleClass.MOTORBIKE, VehicleClass.BICYCLE

# typed, compact key, kinds in order, ways to write it
SPELLINGS = [
    # every row of the table of formats
    ("30A-123.45", "30A12345", "car motorbike_old", ["30A-123.45", "30-A1 2345"]),
    ("30A-023.45", "30A02345", "car", ["30A-023.45"]),
    ("29A-1234", "29A1234", "car", ["29A-1234"]),
    ("29-HA 002.33", "29HA00233", "motorbike", ["29-HA 002.33"]),
    ("29-B1 123.45", "29B112345", "motorbike_old", ["29-B1 123.45"]),
    ("29-B1 1234", "29B11234", "car motorbike_old", ["29B-112.34", "29-B1 1234"]),
    ("29-AA 123.45", "29AA12345", "motorbike", ["29-AA 123.45"]),
    ("29-AA 1234", "29AA1234", "motorbike", ["29-AA 1234"]),
    ("29-MĐ1 123.45", "29MĐ112345", "e_motorbike", ["29-MĐ1 123.45"]),
    ("29-MĐ 123.45", "29MĐ12345", "e_motorbike", ["29-MĐ 123.45"]),
    ("30LD-123.45", "30LD12345", "special motorbike", ["30LD-123.45", "30-LD 123.45"]),
    ("29DA-1234", "29DA1234", "special motorbike", ["29DA-1234", "29-DA 1234"]),
    ("29KT-123.45", "29KT12345", "special motorbike", ["29KT-123.45", "29-KT 123.45"]),
    ("29HC-123.45", "29HC12345", "special motorbike", ["29HC-123.45", "29-HC 123.45"]),
    ("29TĐ-123.45", "29TĐ12345", "special", ["29TĐ-123.45"]),
    ("29MK-123.45", "29MK12345", "special motorbike", ["29MK-123.45", "29-MK 123.45"]),
    ("29CD-123.45", "29CD12345", "special motorbike", ["29CD-123.45", "29-CD 123.45"]),
    ("29RM-123.45", "29RM12345", "special", ["29RM-123.45"]),
    ("29R-123.45", "29R12345", "special", ["29R-123.45"]),
    ("80-441-NG-02", "80441NG02", "diplomatic", ["80-441-NG-02"]),
    ("80-NN 168-06", "80NN16806", "diplomatic motorbike", ["80-NN 168-06", "80-NN 168.06"]),
    ("80-QT 168-06", "80QT16806", "diplomatic", ["80-QT 168-06"]),
    ("80-011-CV-13", "80011CV13", "diplomatic", ["80-011-CV-13"]),
    ("TM-12-34", "TM1234", "military", ["TM-12-34"]),
    ("T29-123.45", "T2912345", "temporary", ["T29-123.45"]),
    ("29-123.45", "2912345", "temporary", ["29-123.45"]),
    # one plate, many hands
    ("30a12345", "30A12345", "car motorbike_old", None),
    ("30A 12345", "30A12345", "car motorbike_old", None),
    ("  30 A 123 45  ", "30A12345", "car motorbike_old", None),
    ("30A–123.45", "30A12345", "car motorbike_old", None),
    ("30A—123,45", "30A12345", "car motorbike_old", None),
    ("30A_123/45", "30A12345", "car motorbike_old", None),
    ("30A\u00a0123.45\n", "30A12345", "car motorbike_old", None),
    ("30A\u200b12\ufeff345", "30A12345", "car motorbike_old", None),
    ("\u202e30A-123.45\u202c", "30A12345", "car motorbike_old", None),
    ("30A-123.45\ufe0f", "30A12345", "car motorbike_old", None),
    ("\x0030A\x1b12345", "30A12345", "car motorbike_old", None),
    ("30A-123.45 🚗", "30A12345", "car motorbike_old", None),
    ("３０Ａ－１２３．４５", "30A12345", "car motorbike_old", None),
    ("30A。12345", "30A12345", "car motorbike_old", None),
    ("29-mđ1 123.45", "29MĐ112345", "e_motorbike", None),
    ("29-M\u00d01 123.45", "29MĐ112345", "e_motorbike", None),
    ("29-m\u00f01 123.45", "29MĐ112345", "e_motorbike", None),
    ("29.MĐ1.123.45", "29MĐ112345", "e_motorbike", None),
    # Đ is a letter, not a D with a mark on it
    ("29-MD1 123.45", "29MD112345", "", ["29MD112345"]),
    ("29-MD 123.45", "29MD12345", "motorbike", ["29-MD 123.45"]),
    ("29-MD\u03351 123.45", "29MD\u0335112345", "", None),
    ("29Đ-123.45", "29Đ12345", "", None),
    # unknown, accepted, and nobody else's
    ("30\u0410-123.45", "30\u041012345", "", ["30\u041012345"]),  # Cyrillic А
    ("30\u0391-123.45", "30\u039112345", "", None),  # Greek Α
    ("\u0430123\u0432\u0441 77", "\u0410123\u0412\u042177", "", None),  # a Russian car
    ("30Á-123.45", "30Á12345", "", None),
    ("30A\u0301-123.45", "30Á12345", "", None),
    ("30A-\u0661\u0662\u0663\u0664\u0665", "30A\u0661\u0662\u0663\u0664\u0665", "", None),
    ("30A-\u09e7\u09e8\u09e9\u09ea\u09eb", "30A\u09e7\u09e8\u09e9\u09ea\u09eb", "", None),
    ("粤B·12345", "粤B12345", "", None),
    ("品川 500 さ 12-34", "品川500さ1234", "", None),
    ("29\u00df-123.45", "29\u00df12345", "", None),
    ("29\u0131-123.45", "29\u013112345", "", None),
    ("13A-123.45", "13A12345", "", None),
    ("10A-123.45", "10A12345", "", None),
    ("01A-123.45", "01A12345", "", None),
    ("46-B1 123.45", "46B112345", "", None),
    ("96T-123.45", "96T12345", "", None),
    ("30I-123.45", "30I12345", "", None),
    ("30O-123.45", "30O12345", "", None),
    ("30W-123.45", "30W12345", "", None),
    ("29-AG 123.45", "29AG12345", "", None),
    ("30A-123", "30A123", "", None),
    ("30A-123.456", "30A123456", "motorbike_old", ["30-A1 234.56"]),
    ("29-B0 123.45", "29B012345", "", None),
    ("ABC-123", "ABC123", "", ["ABC123"]),
    ("7", "7", "", ["7"]),
    ("xe đạp anh Nam", "XEĐẠPANHNAM", "", None),
    ("12345678901234567890", "12345678901234567890", "", None),
]


@pytest.mark.parametrize(("typed", "compact", "kinds", "displays"), SPELLINGS, ids=[row[0] for row in SPELLINGS])
def test_a_spelling_is_read_as_its_plate(typed: str, compact: str, kinds: str, displays: list[str] | None) -> None:
    plate = read(typed)
    assert plate.compact == compact
    assert [kind.value for kind in plate.kinds] == kinds.split()
    if displays is not None:
        assert list(plate.displays) == displays


def test_different_plates_of_the_table_keep_different_keys() -> None:
    assert len(SPELLINGS) >= 60
    look_the_same = [read(text).compact for text in ("30A12345", "30\u041012345", "30\u039112345", "30Á12345")]
    assert len(set(look_the_same)) == 4
    assert normalise("29MĐ112345") != normalise("29MD112345") != normalise("29MD\u0335112345")


@pytest.mark.parametrize("text", ["", " ", "-", ".-./", "\u200b\ufeff", "🚗", "\x00", "\ufe0f", "\ud800"])
def test_a_plate_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(PlateEmpty) as refusal:
        read(text)
    assert (refusal.value.code, refusal.value.status) == ("plate_empty", 422)


@pytest.mark.parametrize("text", ["1" * 21, "A" * 1_000_000, "-" * 81, " " * 81 + "30A12345", "\ufdfa" * 10])
def test_text_that_is_too_long_for_a_plate_is_refused(text: str) -> None:
    with pytest.raises(PlateTooLong) as refusal:
        read(text)
    assert (refusal.value.code, refusal.value.status) == ("plate_too_long", 422)


def test_every_unused_province_is_unknown_and_every_other_is_a_car() -> None:
    unused = {10, 13, 42, 44, 45, 46, 87, 91, 96}
    for province in range(100):
        known = bool(read(f"{province:02}A-023.45").kinds)
        assert known == (province > 10 and province not in unused), province
    for hanoi in (29, 30, 31, 32, 33, 40):
        assert read(f"{hanoi}A-023.45").kinds == (Kind.CAR,)


def test_the_letters_of_a_series_are_those_of_the_circular() -> None:
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
    first = "".join(letter for letter in letters if Kind.CAR in read(f"30{letter}02345").kinds)
    second = "".join(letter for letter in letters if Kind.MOTORBIKE in read(f"30H{letter}02345").kinds)
    assert first == "ABCDEFGHKLMNPSTUVXYZ"
    assert second == "ABCDEFHKLMNPRSTUVXYZ"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("29-MD1 123.45", ("29MĐ112345",)),
        ("29md112345", ("29MĐ112345",)),
        ("29-MD 123.45", ("29MĐ12345",)),
        ("29TD-123.45", ("29TĐ12345",)),
        ("29-MĐ1 123.45", ()),
        ("30A-123.45", ()),
        ("29Â-123.45", ("29AA12345",)),
        ("29Á-123.45", ("29AS12345",)),
        ("29Đ-123.45", ("29DD12345",)),
        ("MD1234", ()),
        ("Â", ()),
        ("\u0302", ()),
        ("ABC-123", ()),
    ],
)
def test_what_the_writer_may_have_meant_is_offered_and_never_taken(typed: str, offered: tuple[str, ...]) -> None:
    plate = read(typed)
    assert plate.suggestions == offered
    assert plate.compact == normalise(typed)
    assert plate.compact not in offered


def test_one_compact_plate_can_be_two_vehicles() -> None:
    plate = read("30A12345")
    assert plate.kinds == (Kind.CAR, Kind.MOTORBIKE_OLD)
    assert fits(plate, CAR)
    assert fits(plate, MOTORBIKE)
    assert display("30A12345", CAR) == "30A-123.45"
    assert display("30A12345", MOTORBIKE) == "30-A1 2345"
    assert display("30A12345") == "30A-123.45"


@pytest.mark.parametrize(
    ("typed", "classes"),
    [
        ("30A-023.45", [CAR]),
        ("29-HA 002.33", [MOTORBIKE]),
        ("29-MĐ1 123.45", [MOTORBIKE]),
        ("29-B1 123.45", [MOTORBIKE]),
        ("30LD-123.45", [MOTORBIKE, CAR]),
        ("29RM-123.45", [MOTORBIKE, CAR]),
        ("80-441-NG-02", [MOTORBIKE, CAR]),
        ("TM-12-34", [MOTORBIKE, CAR]),
        ("T29-123.45", [MOTORBIKE, CAR]),
        ("ABC-123", [BICYCLE, MOTORBIKE, CAR]),
        ("xe đạp anh Nam", [BICYCLE, MOTORBIKE, CAR]),
    ],
)
def test_a_plate_fits_the_classes_that_can_carry_it_and_an_unknown_one_fits_all(
    typed: str, classes: list[VehicleClass]
) -> None:
    plate = read(typed)
    assert [vehicle_class for vehicle_class in VehicleClass if fits(plate, vehicle_class)] == classes


@pytest.mark.parametrize(
    ("compact", "vehicle_class", "masked"),
    [
        ("30A12345", CAR, "30A-1**.45"),
        ("30A12345", None, "30A-1**.45"),
        ("30A12345", MOTORBIKE, "30-A1 **45"),
        ("29A1234", CAR, "29A-**34"),
        ("29HA00233", MOTORBIKE, "29-HA 0**.33"),
        ("29MĐ112345", MOTORBIKE, "29-MĐ1 1**.45"),
        ("80441NG02", CAR, "80-4**-NG-02"),
        ("80NN16806", CAR, "80-NN 1**-06"),
        ("TM1234", CAR, "TM-**-34"),
        ("T2912345", None, "T29-1**.45"),
        ("ABC123", None, "AB**23"),
        ("30\u041012345", CAR, "30\u04101**45"),
        ("1234", None, "**34"),
        ("123", None, "*23"),
        ("12", None, "**"),
        ("7", None, "*"),
    ],
)
def test_a_mask_hides_the_two_before_the_last_two(
    compact: str, vehicle_class: VehicleClass | None, masked: str
) -> None:
    assert mask(compact, vehicle_class) == masked


@pytest.mark.parametrize(
    ("compact", "expected"), [("30A12345", "2345"), ("80441NG02", "NG02"), ("123", "123"), ("29MĐ", "29MĐ")]
)
def test_the_tail_is_the_last_four_characters(compact: str, expected: str) -> None:
    assert tail(compact) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("30A12345", "3OA12345"), ("30A12345", "30AI234S"), ("30A12345", "QUERY"), ("29B12345", "29812345"), ("Z", "2")],
)
def test_look_alikes_are_found_by_one_key(one: str, other: str) -> None:
    assert (look_alike_key(one) == look_alike_key(other)) == (other != "QUERY")


def test_d_and_d_with_stroke_are_no_look_alikes_so_that_search_never_mixes_owners() -> None:
    assert look_alike_key("29MĐ112345") != look_alike_key("29MD112345")


def test_the_numbers_and_names_of_vehicle_classes_never_change() -> None:
    assert {vehicle_class.word: int(vehicle_class) for vehicle_class in VehicleClass} == {
        "bicycle": 1,
        "motorbike": 2,
        "car": 3,
    }
    assert all(0 < vehicle_class < 32 for vehicle_class in VehicleClass), "five bits in the code of a stay"
    assert VehicleClass.of("car") is CAR
    for word in ("CAR", "truck", "", "3"):
        with pytest.raises(UnknownVehicleClass):
            VehicleClass.of(word)


def test_a_character_is_kept_or_dropped_for_good_and_only_its_width_or_style_may_go() -> None:
    for character in map(chr, (*range(0x30000), *range(0xE0000, 0xE0200))):
        once = normalise(character)
        assert normalise(once) == once, ascii(character)
        assert all(unicodedata.category(kept)[0] in "LNM" for kept in once), ascii(character)
        if once and once.isascii():
            letters = [
                part for part in unicodedata.normalize("NFKC", character) if unicodedata.category(part)[0] in "LN"
            ]
            assert "".join(letters).upper() == once, ascii(character)


plate_characters = st.one_of(
    st.sampled_from("0123456789ABCDEFGHKLMNPRSTUVXYZ"),
    st.sampled_from("đĐÐðDОАВЕâÂáÁ.- \u200b\u0301\u0335\ufe0f\u034fßıſﬁ"),
    st.characters(),
)
texts = st.one_of(st.text(), st.text(plate_characters, max_size=30))
known_plates = st.one_of(
    st.from_regex(r"[1-9][0-9][A-HK-NPS-VX-Z][0-9]{4,5}", fullmatch=True),
    st.from_regex(r"[1-9][0-9][A-HK-NPS-VX-Z][A-FHK-NPR-VX-Z1-9][0-9]{4,5}", fullmatch=True),
    st.from_regex(r"[1-9][0-9](MĐ[1-9]?|TĐ|LD|RM|NN)[0-9]{5}", fullmatch=True),
    st.from_regex(r"80[0-9]{3}(NG|QT|CV|NN)[0-9]{2}|[A-Z]{2}[0-9]{4}|T?29[0-9]{5}", fullmatch=True),
)


@given(texts)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(texts)
def test_any_text_is_a_plate_or_is_refused_by_name(text: str) -> None:
    try:
        plate = read(text)
    except (PlateEmpty, PlateTooLong):
        return
    assert 1 <= len(plate.compact) <= COMPACT_MAX
    assert plate.compact == normalise(text)
    assert plate.displays
    for vehicle_class in (None, *VehicleClass):
        assert normalise(display(plate.compact, vehicle_class)) == plate.compact
        assert len(mask(plate.compact, vehicle_class)) == len(display(plate.compact, vehicle_class))
        assert "*" in mask(plate.compact, vehicle_class)
    assert all(read(suggestion).kinds for suggestion in plate.suggestions)


@given(known_plates, st.lists(st.sampled_from(" .-–_/\u200b\u00a0"), min_size=12, max_size=12), st.booleans())
def test_separators_and_case_never_change_a_plate(compact: str, separators: list[str], lower: bool) -> None:
    typed = "".join(character + separator for character, separator in zip(compact, separators, strict=False))
    assert read(typed.lower() if lower else typed) == read(compact)


@given(known_plates)
def test_each_way_to_write_a_plate_reads_back_as_the_same_plate(compact: str) -> None:
    plate = read(compact)
    for written in plate.displays:
        assert read(written) == plate


@given(known_plates)
def test_a_mask_hides_exactly_two_digits_and_shows_the_last_two(compact: str) -> None:
    masked = mask(compact)
    assert masked.count("*") == 2
    assert masked.endswith(compact[-2:])


@given(st.text("0123456789ABCDĐÐОА", max_size=10), st.text("0123456789ABCDĐÐОА", max_size=10))
def test_two_different_texts_share_a_key_only_if_they_differ_in_the_stroke_code_point(one: str, other: str) -> None:
    same = one.replace("Ð", "Đ") == other.replace("Ð", "Đ")
    assert (normalise(one) == normalise(other)) == same
