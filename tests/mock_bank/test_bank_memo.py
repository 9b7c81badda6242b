"""Transfer texts on their way through the banks."""

from __future__ import annotations

import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from mock_bank import memo


def dirtied(text: str, seed: UUID) -> str:
    return memo.dirtied(text, seed=seed, payer_name="LE THI TAP SU", payer_account="001100", account="1234567890")


@given(st.uuids())
def test_the_same_payment_always_arrives_with_the_same_text(seed: UUID) -> None:
    assert dirtied("HNTKA8B4C6D2", seed) == dirtied("HNTKA8B4C6D2", seed)


@given(st.uuids())
def test_a_reference_survives_among_the_banks_own_words(seed: UUID) -> None:
    arrived = dirtied("ve tham quan hntka8b4c6d2", seed)
    assert "HNTKA8B4C6D2" in arrived
    assert re.fullmatch(r"[ -`{-~]+", arrived), "capitals and no Vietnamese marks"
    assert len(arrived) > len("HNTKA8B4C6D2")


def test_some_banks_drop_the_spaces_and_others_keep_them() -> None:
    spaced = sum(" " in dirtied("ve Van Mieu HNTKA8B4C6D2", UUID(int=seed)) for seed in range(200))
    assert 120 < spaced < 180


def test_vietnamese_marks_are_taken_off() -> None:
    assert memo.without_marks("Đống Đa, vé Văn Miếu") == "Dong Da, ve Van Mieu"


@given(st.text(max_size=140), st.uuids())
def test_no_text_breaks_the_stamp(text: str, seed: UUID) -> None:
    assert isinstance(dirtied(text, seed), str)
