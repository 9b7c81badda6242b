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
from proof.house import ACCOUNTS, ELSEWHERE, ROLES
from proof.people import LOTS, People
from rehearsal.ledger import Closing, moved_otherwise

LISTED_LATEST = timedelta(minutes=61)
LAPSES = timedelta(hours=26)
"""After so long the rest of a part payment is not waited for any more."""
QUIET_WITHIN_S = 60.0

REFUNDS = """
    select o.code as operator, coalesce(c.reference, '') as charge, f.state, f.amount_vnd
      from payments.refund f
      join foundation.operator o on o.id = f.operator_id
      join payments.held h on h.operator_id = f.operator_id and h.receipt_id = f.receipt_id
      left join payments.charge c on c.operator_id = h.operator_id and c.id = h.charge_id"""
RELEASED = "select reference, released_vnd from payments.proxy_transfer"
LEFT = """
    select bin || '/' || account as account,
           sum(case direction when 'debit' then amount_vnd else -amount_vnd end)::bigint as vnd
      from mock_bank.transaction
     where kind in ('refund', 'refund_return') and refund_id in (select id from payments.refund)
        or kind in ('payout', 'payout_return') and payout_id in (select replace(id::text, '-', '') from payments.payout)
     group by 1"""
RETURNED_ELSEWHERE = """
    select amount_vnd from mock_bank.transaction where kind = 'refund_return' and bin = $1 and account = $2
    union all
    select amount_vnd from mock_bank.payout where bin = $1 and account = $2 and state in ('rejected', 'returned')"""
BY_CARD = """
    select o.code as operator,
           coalesce((select sum(amount_vnd) from mock_bank.card_payment
                      where merchant = m.code and status = '00'), 0)::bigint as came_vnd,
           coalesce((select sum(amount_vnd) from mock_bank.card_refund r
                      where merchant = m.code and mock_bank.status(r) <> '09'), 0)::bigint as left_vnd,
           (select a.balance_vnd from mock_bank.account a
             where (a.bin, a.account) = (k.bin, k.account))::bigint as bank_vnd,
           coalesce((select sum(case when debit ~ at.bank then amount_vnd else 0 end
                                - case when credit ~ at.bank then amount_vnd else 0 end)
                       from payments.transfer t, (values ('^(gw_receivable$|bank:)')) at (bank)
                      where t.operator_id = o.id), 0)::bigint as ours_vnd
      from foundation.operator o
      join payments.merchant m on m.operator_id = o.id
      join payments.collection_account k on k.operator_id = o.id"""
MOVED_OTHERWISE = """
    with moved as (
      select refund_id as id, kind, amount_vnd from mock_bank.transaction where refund_id is not null
      union all
      select request_id::uuid, case mock_bank.status(r) when '09' then 'refused' else 'refund' end, amount_vnd
        from mock_bank.card_refund r)
    select f.id, f.state, f.amount_vnd, x.moved
      from payments.refund f
      cross join lateral (select coalesce(string_agg(kind || ' ' || amount_vnd, ', ' order by kind), '') as moved
                            from moved where moved.id = f.id) x
     where x.moved <> all (case f.state
       when 'settled' then array['refund ' || f.amount_vnd]
       when 'returned' then array['refund ' || f.amount_vnd || ', refund_return ' || f.amount_vnd]
       when 'refused' then array['', 'refused ' || f.amount_vnd]
       else array[''] end)"""
PAID_OTHERWISE = """
    select p.id, p.state, p.amount_vnd, x.debited_vnd, x.returned_vnd
      from payments.payout p
      cross join lateral (
        select coalesce(sum(t.amount_vnd) filter (where t.kind = 'payout'), 0) as debited_vnd,
               coalesce(sum(t.amount_vnd) filter (where t.kind = 'payout_return'), 0) as returned_vnd
          from mock_bank.transaction t where t.payout_id = replace(p.id::text, '-', '')) x
     where (x.debited_vnd, x.returned_vnd) <> (
       case when p.state in ('settled', 'returned') then p.amount_vnd else 0 end,
       case when p.state = 'returned' then p.amount_vnd else 0 end)"""
NOT_OURS = "select bank_account, bank_ref, amount_vnd, kind from payments.debit"
TOLD_OTHERWISE = (
    "select coalesce(ours.symbol, t.symbol) as symbol, coalesce(ours.number, t.number) as number, ours.what, ours.state,"
    " t.state as theirs from (select p.tax_code as issuer, s.form, s.symbol, i.number, i.what, i.state"
    "   from payments.fiscal_sending i"
    "   join payments.fiscal_series s on s.operator_id = i.operator_id and s.id = i.series_id"
    "   join payments.payee p on p.operator_id = i.operator_id and p.kind = 'operator') ours"
    " full join mock_tax.item t on (t.issuer, t.form, t.symbol, t.number, t.what) ="
    "   (ours.issuer, ours.form, ours.symbol, ours.number, ours.what)"
    " where ours.state is distinct from t.state"
)
"""What was told stands there as here, and nothing else does."""
MORE_THAN_CAME = """
    select r.bank_ref, r.amount_vnd, sum(f.amount_vnd)::bigint as back_vnd from payments.refund f
      join payments.receipt r on r.operator_id = f.operator_id and r.id = f.receipt_id
     where f.state not in ('returned', 'refused', 'rejected')
     group by r.operator_id, r.id, r.bank_ref, r.amount_vnd having sum(f.amount_vnd) > r.amount_vnd"""


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
        for role in ROLES:
            self.house.disarm(role)
        self.house.faults()
        self.house.wait_until_up()
        if listed_late:
            self.people.move_clock(LISTED_LATEST)
        self.house.restart("worker")  # what it does again and again, it does at its start
        if not self.is_quiet():
            return
        self._latecomers_go_in()
        self.people.findings += self._differences()
        self.prove()

    def is_quiet(self) -> bool:
        end = time.monotonic() + QUIET_WITHIN_S
        self.house.pauses_end()
        while waiting := self._waiting():
            if time.monotonic() > end:
                self.people.found(f"It does not come to rest within {QUIET_WITHIN_S:g} s: {waiting}")
                return False
            time.sleep(0.2)
            self.house.pauses_end()
        return True

    def _waiting(self) -> list[str]:
        """What is not done yet."""
        lost = self.house.look(
            "select count(*) as n from mock_bank.transaction t join foundation.directory d"
            " on d.kind = 'account' and d.key = t.bin || '/' || t.account"
            " where t.kind = 'payment' and not exists (select from payments.receipt r"
            "   where r.operator_id = d.operator_id and r.bank_account = d.key and r.bank_ref = t.bank_ref)"
        )[0]["n"]
        cards = self.house.look(
            "select count(*) as n from mock_bank.card_payment c where status = '00' and not exists ("
            "  select from payments.receipt where bank_account = 'vnpay/' || c.merchant and bank_ref = c.number::text)"
        )[0]["n"]
        refunds = self.house.look(
            "select state, count(*) as n from payments.refund where look_at is not null group by state"
        )
        due = self.house.look("select kind, count(*) as n, max(last_error) as error from foundation.due group by kind")
        said = [f"{row['n']} × {row['kind']} ({row['error'] or 'not tried yet'})" for row in due]
        over = self.house.look(
            "select count(*) as n from payments.charge where state = 'partial'"
            " and topup_until <= foundation.now() - interval '90 minutes'"
        )[0]["n"]
        papers = self.house.look(
            "select count(*) as n from payments.charge where state = 'paid'"
            " and documented_vnd <> received_vnd - given_back_vnd"
        )[0]["n"]
        said += [f"{papers} payments without their receipts or invoices"] if papers else []
        said += [f"{over} part payments whose time is over"] if over else []
        said += [f"{row['n']} refunds that are {row['state']}" for row in refunds]
        payouts = self.house.look(
            "select p.state, count(*) as n from payments.payout_run r"
            " join payments.payout p on p.operator_id = r.operator_id and p.run_id = r.id"
            " where r.look_at is not null and r.execute_on <= foundation.hanoi_day(foundation.now())"  # the bank's week-end
            "   and p.state in ('approved', 'asking', 'unknown', 'accepted') group by p.state"
        )
        said += [f"{row['n']} payouts that are {row['state']}" for row in payouts]
        said += [f"{cards} payments by card that only the gateway knows"] if cards else []
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
        person, now, model = self.people.persons[0], self.people.platform.now(), self.people.model
        before = {charge.reference: (charge.sent_vnd, charge.settled_vnd) for charge in model.charges.values()}
        rows = self.house.look(REFUNDS)
        yield from model.refunds([(row["operator"], row["charge"], row["state"], row["amount_vnd"]) for row in rows])
        yield from model.releases([(row["reference"], row["released_vnd"]) for row in self.house.look(RELEASED)])
        for charge in [
            *model.unsettled(),
            *(one for one in model.charges.values() if before[one.reference] != (one.sent_vnd, one.settled_vnd)),
        ]:
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
        yield from self.closing._gates_otherwise()
        for lot in LOTS:
            occupied = person.get(f"/api/v1/public/lots/{lot}").json()["occupied"]
            if occupied:
                yield f"{occupied} vehicles stand at {lot}, where nobody stayed"
        yield from self._bank_otherwise()

    def _bank_otherwise(self) -> Iterator[str]:
        """What was acknowledged came to the bank; what left it are our refunds, each once; the rest is as in our books."""
        model = self.people.model
        left = {row["account"]: row["vnd"] for row in self.house.look(LEFT)}
        for operator, (bin, account) in [*ACCOUNTS.items(), ("", ELSEWHERE)]:
            wanted = sum(model.banked[operator]) if operator else self.people.elsewhere_vnd
            wanted -= left.get(f"{bin}/{account}", 0)
            if not operator:
                wanted += sum(row["amount_vnd"] for row in self.house.look(RETURNED_ELSEWHERE, bin, account))
            came = self.house.bank("GET", f"/api/v1/accounts/{bin}/{account}")["balance_vnd"]
            if came != wanted:
                yield f"The bank holds {came} for {operator or 'elsewhere'}, but {wanted} were acknowledged"
        for row in self.house.look(BY_CARD):
            wanted = sum(model.carded[row["operator"]])
            if row["came_vnd"] != wanted:
                yield f"{row['came_vnd']} were paid by card to {row['operator']}, but {wanted} were acknowledged"
            there = row["came_vnd"] - row["left_vnd"] + row["bank_vnd"]
            if row["ours_vnd"] != there:
                yield f"Our books say that {row['ours_vnd']} of {row['operator']} are at the gateways, but {there} are"
        for row in self.house.look(MOVED_OTHERWISE):
            yield f"Refund {row['id']} of {row['amount_vnd']} is {row['state']}, but the bank moved: {row['moved']}"
        for row in self.house.look(PAID_OTHERWISE):
            yield f"A payout is one thing, and the bank moved another: {dict(row)}"
        for row in self.house.look(NOT_OURS):
            yield f"Money left that the books take for none of ours: {dict(row)}"
        for row in self.house.look(TOLD_OTHERWISE):
            yield f"Of a document we know one thing, and the tax office another: {dict(row)}"
        for row in self.house.look(MORE_THAN_CAME):
            yield f"More than came went back: {dict(row)}"
