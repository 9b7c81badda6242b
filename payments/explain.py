"""What a charge line was, in words, and which lines somebody may mean: asked of the service that charged it, so payments
never learns the trade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from foundation.database import Tx
from foundation.seal import Sealer


@dataclass(frozen=True, slots=True)
class Explanation:
    """A line in one sentence, per language, and the page where its thing can be seen (or None)."""

    vi: str
    en: str

    def text(self, language: str) -> str:
        return self.vi if language == "vi" else self.en


Describe = Callable[[Tx, Sequence[str]], Awaitable[dict[str, Explanation]]]
Search = Callable[[Tx, Sealer, str], Awaitable[Sequence[str]]]
_describers: dict[str, Describe] = {}
_searchers: dict[str, Search] = {}


def explained_by(purpose: str, describe: Describe, search: Search | None = None) -> None:
    """Said at composition: who can say what lines of that purpose were. `describe` takes references in one go; `search`
    gives those, a few and the newest first, that what a person typed may name: a ticket, a plate or its tail."""
    _describers[purpose] = describe
    if search is not None:
        _searchers[purpose] = search


async def explain(tx: Tx, lines: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Explanation]:
    """(purpose, reference) → what it was; lines nobody can explain are left out."""
    found: dict[tuple[str, str], Explanation] = {}
    for purpose in sorted({purpose for purpose, _ in lines}):
        describe = _describers.get(purpose)
        if describe is not None:
            references = [reference for asked, reference in lines if asked == purpose]
            found |= {(purpose, reference): said for reference, said in (await describe(tx, references)).items()}
    return found


async def search(tx: Tx, sealer: Sealer, typed: str) -> list[tuple[str, str]]:
    """(purpose, reference) of what was typed, by the services that know the trade."""
    return [
        (purpose, reference)
        for purpose, find in sorted(_searchers.items())
        for reference in await find(tx, sealer, typed)
    ]
