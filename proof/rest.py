"""Coming to rest, and what must hold then: the books, the model, finance and the city, to the đồng.

At rest nothing goes wrong at the bank any more, its list has been swept, and no work is due. Whatever is not as it must
be then is a finding, in a sentence; there is none or the run has failed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta

from payments import books
from proof.house import ACCOUNTS, ELSEWHERE
from proof.people import LOTS, People
from rehearsal.ledger import Closing, moved_otherwise

LISTED_LATEST = timedelta(minutes=61)
LAPSES = timedelta(hours=26)
"""After so long the rest of a part payment is not waited for any more."""
QUIET_WITHIN_S = 60.0


class Rest:
    """Looks at one house of people again and again; `proofs`: how often the books were proved."""

    def __init__(self, people: People) -> None:
        self.people, self.house = people, people.house
        self.proofs = 0
        self.closing = Closing(
            [people.clerks[operator] for operator in ACCOUNTS], people.platform.visitor(), people.platform.now().date()
        )

    def prove(self) -> None:
        """The proof of the books, which must hold at every moment, whoever was ended in whatever."""
        proof = self.house.prove()
        self.proofs += 1
        if not proof.holds:
            self.people.found("The books do not balance: " + " / ".join(books.lines_of(proof, "en"))[:1500])

    def comes(self, *, listed_late: bool = False) -> None:
        """Everything comes to rest, and everything is compared."""
        self.house.disarm()
        self.house.faults()
        self.house.wait_until_up()
        if listed_late:
            self.people.move_clock(LISTED_LATEST)
        self.house.restart("worker")  # what it does again and again, it does at its start
        self.house.leases_end()
        if not self._is_quiet():
            return
        self._latecomers_go_in()
        self.people.findings += self._differences()
        self.prove()

    def _is_quiet(self) -> bool:
        end = time.monotonic() + QUIET_WITHIN_S
        while waiting := self._waiting():
            if time.monotonic() > end:
                self.people.found(f"It does not come to rest within {QUIET_WITHIN_S:g} s: {waiting}")
                return False
            time.sleep(0.1)
        return True

    def _waiting(self) -> list[str]:
        """What is not done yet."""
        lost = self.house.look(
            "select count(*) as n from mock_bank.transaction t join foundation.directory d"
            " on d.kind = 'account' and d.key = t.bin || '/' || t.account"
            " where t.direction = 'credit' and not exists (select from payments.receipt r"
            "   where r.operator_id = d.operator_id and r.bank_account = d.key and r.bank_ref = t.bank_ref)"
        )[0]["n"]
        due = self.house.look("select kind, count(*) as n, max(last_error) as error from foundation.due group by kind")
        said = [f"{row['n']} × {row['kind']} ({row['error'] or 'not tried yet'})" for row in due]
        over = self.house.look(
            "select count(*) as n from payments.charge where state = 'partial'"
            " and topup_until <= foundation.now() - interval '90 minutes'"
        )[0]["n"]
        said += [f"{over} part payments whose time is over"] if over else []
        return [*said, *([f"{lost} transfers that only the bank knows"] if lost else [])]

    def _latecomers_go_in(self) -> None:
        """Whose money had not arrived when they looked: now their ticket is there, unless its day is over."""
        person, dice = self.people.persons[0], random.Random(self.people.seed)
        waited, self.people.bought = self.people.bought, []
        for site, path, heads, charge in waited:
            if charge.day != self.people.platform.now().date():
                continue
            if person.is_paid(charge, 0):
                person.gate(site, person.code_behind(path), heads, dice)

    def _differences(self) -> Iterator[str]:
        person, now = self.people.persons[0], self.people.platform.now()
        for charge in self.people.model.unsettled():
            wrong = charge.wrong(person.get(f"/api/v1/public/payments/{charge.reference}").json(), now)
            if wrong:
                yield wrong
        # Only now, when the states of all charges are known. Its first look may meet a rollup that is being counted.
        wanted = self.people.model.figures()
        wrong_figures = [""]
        for _ in range(20):
            came = self.closing.figures()
            for key in [key for key in came if key[-2:] == ("held for payers", "transfers")]:
                came[key] = self.closing.before[key]
            wrong_figures = moved_otherwise(self.closing.before, came, wanted)
            if not wrong_figures:
                break
            time.sleep(0.25)
        yield from wrong_figures
        yield from self.closing._sales_not_written(self.people.model.ledger())
        yield from self.closing._drawers_otherwise(self.people.model.ledger())
        for lot in LOTS:
            occupied = person.get(f"/api/v1/public/lots/{lot}").json()["occupied"]
            if occupied:
                yield f"{occupied} vehicles stand at {lot}, where nobody stayed"
        yield from self._bank_otherwise()

    def _bank_otherwise(self) -> Iterator[str]:
        for operator, (bin, account) in [*ACCOUNTS.items(), ("", ELSEWHERE)]:
            wanted = sum(self.people.model.banked[operator]) if operator else self.people.elsewhere_vnd
            came = self.house.bank("GET", f"/api/v1/accounts/{bin}/{account}")["balance_vnd"]
            if came != wanted:
                yield f"The bank holds {came} for {operator or 'elsewhere'}, but {wanted} were acknowledged"
