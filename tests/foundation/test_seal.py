"""Sealed fields open only with their month's key and in their own column; erasing a month is destroying its key."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest

import demo
from foundation.seal import Erased, Sealer
from foundation.web import Platform

NOV = datetime(2026, 11, 21, 3, tzinfo=UTC)


async def test_what_was_sealed_opens_again_in_another_process(here: Platform) -> None:
    month = await here.sealer.ready(NOV)
    sealed = here.sealer.seal("30A-123.45", month=month, context="stay.plate")
    assert b"30A" not in sealed
    other = Sealer(here.settings.root, here.database)
    assert await other.open(sealed, context="stay.plate") == "30A-123.45"


async def test_a_sealed_value_opens_in_no_other_column_and_under_no_other_root(here: Platform) -> None:
    month = await here.sealer.ready(NOV)
    sealed = here.sealer.seal("30A-123.45", month=month, context="stay.plate")
    with pytest.raises(Erased):
        await here.sealer.open(sealed, context="receipt.payer")
    with pytest.raises(Erased):
        await here.sealer.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), context="stay.plate")


async def test_destroying_the_key_erases_the_month_and_only_that(here: Platform, admin: asyncpg.Connection) -> None:
    november, december = await here.sealer.ready(NOV), await here.sealer.ready(datetime(2026, 12, 5, tzinfo=UTC))
    old = here.sealer.seal("old", month=november, context="x")
    new = here.sealer.seal("new", month=december, context="x")
    await admin.execute("delete from foundation.month_key where month = '2026-11-01'")
    fresh = Sealer(here.settings.root, here.database)
    with pytest.raises(Erased):
        await fresh.open(old, context="x")
    assert await fresh.open(new, context="x") == "new"


async def test_the_month_is_the_one_in_hanoi(here: Platform) -> None:
    last_second_utc = datetime(2026, 11, 30, 17, 0, tzinfo=UTC)
    assert await here.sealer.ready(last_second_utc) == (2026 - 2020) * 12 + 11


def test_a_tag_is_equal_for_equal_texts_of_one_operator_only(here: Platform) -> None:
    tag = here.sealer.tag(demo.VANMIEU, "30A12345")
    assert tag == here.sealer.tag(demo.VANMIEU, "30A12345")
    assert tag != here.sealer.tag(demo.DONGDA, "30A12345")
    assert tag != here.sealer.tag(demo.VANMIEU, "30A12346")
    assert len(tag) == 16
