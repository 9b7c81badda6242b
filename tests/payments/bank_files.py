"""Files of banks for tests, small and by hand, and what is read from them; whole days write `loadtests.statements`."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence

from loadtests import statements
from loadtests.statements import Day, some_day
from payments.statement import Entry, Event, Verdict, reader
from payments.statement.profile import Profile, profile_of

TWO, SIGNED = profile_of("example-two-columns"), profile_of("example-signed")
DAY = some_day(random.Random(7), 5)
LATER = some_day(random.Random(8), 3, account="0011009999999", number=2)


def read(file: str | bytes, profile: Profile | None = None) -> list[Event]:
    octets = file.encode() if isinstance(file, str) else file
    return list(reader.read(io.BytesIO(octets), "file", profile))


def entries(events: Sequence[Event]) -> list[Entry]:
    return [event for event in events if isinstance(event, Entry)]


def verdicts(events: Sequence[Event]) -> list[Verdict]:
    return [event for event in events if isinstance(event, Verdict)]


def only(events: Sequence[Event]) -> Verdict:
    (verdict,) = verdicts(events)
    return verdict


def code(verdict: Verdict) -> str | None:
    return verdict.refusal.code if verdict.refusal else None


def camt(day: Day, version: str = "02") -> str:
    return "".join(statements.camt053([day], version))


def ntry(inside: str, amount: str = "1000", direction: str = "CRDT", status: str = "BOOK") -> str:
    return (
        f'<Ntry><Amt Ccy="VND">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts>{status}</Sts>'
        f"<BookgDt><Dt>2026-11-21</Dt></BookgDt><AcctSvcrRef>B1</AcctSvcrRef>{inside}</Ntry>"
    )


def statement(*ntries: str, opening: int = 0, closing: int = 1000, head: str = "", balances: str | None = None) -> str:
    def balance(kind: str, amount: int) -> str:
        sign = "CRDT" if amount >= 0 else "DBIT"
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
            f'<Amt Ccy="VND">{abs(amount)}</Amt><CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>2026-11-21</Dt></Dt></Bal>'
        )

    told = balance("OPBD", opening) + balance("CLBD", closing) if balances is None else balances
    account = head or "<Acct><Id><Othr><Id>190</Id></Othr></Id><Ccy>VND</Ccy></Acct>"
    return (
        f"<Document><BkToCstmrStmt><GrpHdr/><Stmt><Id>1</Id>{account}{told}{''.join(ntries)}</Stmt>"
        "</BkToCstmrStmt></Document>"
    )


def detail(amount: str, ref: str, inside: str = "") -> str:
    return (
        f"<TxDtls><Refs><EndToEndId>{ref}</EndToEndId></Refs><AmtDtls><TxAmt>"
        f'<Amt Ccy="VND">{amount}</Amt></TxAmt></AmtDtls>{inside}</TxDtls>'
    )


def mt940(*rows: str, opening: str = "C261231VND0,", closing: str = "C270102VND1000,") -> str:
    return "\n".join([":20:S", ":25:190", ":28C:1/1", f":60F:{opening}", *rows, f":62F:{closing}", "-", ""])
