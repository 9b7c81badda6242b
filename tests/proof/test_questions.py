"""What the proof asks of the database behind everybody's back can be asked: much of it is asked on rare days only."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import asyncpg
import pytest

from proof import month, rest

HOUSE = Path(__file__).resolve().parents[2]
ELSEWHERE = ("mock_bank/schema.sql", "mock_bank/statement.sql", "mock_tax/schema.sql")


def questions(room: ModuleType) -> dict[str, str]:
    """By name the module's statements, also those within a tuple."""
    found = {}
    for name, held in vars(room).items():
        for number, said in enumerate(held if isinstance(held, tuple) else (held,)):
            if isinstance(said, str) and said.split()[:1] in (["select"], ["with"]):
                found[f"{name}.{number}"] = said
    return found


@pytest.mark.parametrize("room", [month, rest], ids=lambda room: room.__name__)
async def test_every_question_of_the_proof_is_understood(room: ModuleType, admin: asyncpg.Connection) -> None:
    for file in ELSEWHERE:
        await admin.execute((HOUSE / file).read_text("utf-8"))
    asked = questions(room)
    assert len(asked) >= 5
    for name, question in asked.items():
        try:
            await admin.prepare(question)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{room.__name__}.{name}: {error}")
