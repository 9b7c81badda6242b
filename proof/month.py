"""A month of days: sold, told by the bank with every defect of statements and payouts, settled, paid out, closed.

By day people live. At midnight the bank draws up the statements of all accounts, some of them wrong as the seed says; the
worker fetches and matches them and settles the day. In the morning of a working day the clerk makes a payout and the
manager lets it go before nine. The clerk deals with what is open, and closes the day that is over: it closes at a difference
of 0, or is held until the bank has mended its statement. What the bank did wrong is read from its own tables.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any
from uuid import uuid4

from foundation import clock
from payments import working_days
from payments.gateway import PayoutOrder, PayoutTransfer, pain
from proof.house import ACCOUNTS, API_KEY, House, Unsound
from proof.people import People
from proof.rest import BY_CARD, LEFT, MORE_THAN_CAME, MOVED_OTHERWISE, PAID_OTHERWISE, TOLD_OTHERWISE, Rest
from proof.weather import WEATHERS
from rehearsal.client import vnd
from rehearsal.ledger import MEANS_AND_CHANNEL, Figures

SENT_BY = clock_time(9)
PUNCTUAL_PERCENT = 99
HOLDING = ("withhold_statement", "lose_statement_line", "repeat_statement_line", "wrong_opening", "wrong_closing")
"""Such a statement is not taken: its day, and every one behind it, waits until the bank has issued it anew. A line lost or
repeated within a batch is no such fault: the batch's own sum is right, only its details are not."""
STATEMENT_FAULTS: Mapping[str, dict[str, Any]] = {
    **{name: {name: True} for name in HOLDING},
    **{name: {name: True} for name in ("delay_statement_line", "count_statement_line_twice", "change_statement_text")},
    **{f"batch_credits {how}": {"batch_credits": how} for how in ("details", "no_details", "wrong_details")},
}
UNTELLABLE = tuple((f"batch_credits {how}", "count_statement_line_twice") for how in ("no_details", "wrong_details"))
"""What a batch without details counts twice nobody but the bank can find."""
PAYOUT_FAULTS: Mapping[str, dict[str, Any]] = {
    **{
        name: {name: True}
        for name in (
            *("reject_payouts", "return_payouts", "split_payouts", "omit_payout_statuses", "lose_payout_answers"),
        )
    },
    "payout_seconds": {"payout_seconds": 3 * 3600},
}
SPELLS = (clock_time(10), clock_time(17))
ALWAYS = (*["ticket"] * 4, *["stay"] * 4, "card", "cash_ticket", "cash_stay", "free")
SOMETIMES = (
    *("ticket", "ticket", "stay", "stay", "card", "cash_ticket", "cash_stay", "send_back", "give_back", "decide"),
    *("stray", "notes_instead", "assign", "late_payer", "shift", "drop", "deposit", "leave_unpaid", "invoice", "mend"),
)
SOMETIMES_A_SPELL = 8
SKIES = (
    *("as usual", "as usual", "all notices lost", "refunds come back a moment later", "notices doubled, by two events"),
    "payers' banks take nothing back",
)
FLOAT_VND = 20_000_000
"""What stands on each account to begin with. What was paid by card stays with its gateway, and is paid out from the account."""
CHARGED_VND = 11_000
"""What the bank takes for itself, by a transfer that nobody of ours ordered."""
SURE = 50
"""A suggestion with this score is accepted as it is; below, two references of the bank differ."""

ISSUED = """
    select n.withheld, n.opening_error_vnd <> 0 as opening, n.closing_error_vnd <> n.opening_error_vnd as closing, n.batch,
           array(select distinct told from mock_bank.statement_line l
                  where (l.bin, l.account, l.day, l.version) = (n.bin, n.account, n.day, n.version)) as told,
           exists (select from mock_bank.statement_line l
                    where (l.bin, l.account, l.day, l.version) = (n.bin, n.account, n.day, n.version)
                      and l.told in ('lost', 'again') and not (l.payment and n.batch is not null)) as does_not_add_up,
           exists (select from mock_bank.transaction t
                    where t.bin = n.bin and t.account = n.account and t.booked_at < mock_bank.end_of(n.day)
                      and not exists (select from mock_bank.statement_line l
                                        join mock_bank.newest_statement using (bin, account, day, version)
                                       where l.bin = t.bin and l.account = t.account and l.number = t.number)) as delayed
      from mock_bank.newest_statement n where n.bin = $1 and n.account = $2 and n.day = $3"""
PAYMENTS = """
    select count(*) as n from mock_bank.transaction t
     where bin = $1 and account = $2 and kind = 'payment' and booked_at >= mock_bank.end_of($3::date - 1)
       and booked_at < mock_bank.end_of($3)"""
IN_BATCH = """
    select t.bank_ref from mock_bank.statement_line l
      join mock_bank.newest_statement n using (bin, account, day, version)
      join mock_bank.transaction t on (t.bin, t.account, t.number) = (l.bin, l.account, l.number)
     where l.bin = $1 and l.account = $2 and l.day = $3 and l.payment"""
PHANTOMS = """
    select o.code as operator, coalesce(sum(case t.direction when 'credit' then t.amount_vnd else -t.amount_vnd end), 0)
             ::bigint as vnd, count(t.number) as lines
      from foundation.operator o join payments.collection_account k on k.operator_id = o.id
      left join mock_bank.newest_statement n on n.bin = k.bin and n.account = k.account
      left join mock_bank.statement_line l on (l.bin, l.account, l.day, l.version) = (n.bin, n.account, n.day, n.version)
        and l.told = 'counted_again'
      left join mock_bank.transaction t on t.bin = l.bin and t.account = l.account and t.number = l.number
     group by 1"""
"""Lines that the bank's statements count twice, of transactions that were one."""
KNOWN_PHANTOMS = """
    select o.code as operator, o.id as operator_id, amount_vnd, bank_ref, said from (
      select operator_id, amount_vnd, bank_ref, references_found as said from payments.receipt
       where source = 'statement' and bank_ref like 'FX%'
      union all select operator_id, -amount_vnd, bank_ref, '{}' from payments.debit where bank_ref like 'FX%') x
      join foundation.operator o on o.id = x.operator_id"""
OPEN_PHANTOMS = """
    select o.code as operator, i.amount_vnd from payments.open_item i join foundation.operator o on o.id = i.operator_id
     where i.side = 'line' and i.bank_ref like 'FX%'"""
UNITS = """
    select o.code as operator, s.day, s.payee_id, s.net_vnd,
           (select min(e.at) from payments.payout_day d
              join payments.payout_event e on e.operator_id = d.operator_id and e.payout_id = d.payout_id
             where d.operator_id = s.operator_id and d.payee_id = s.payee_id and d.day = s.day
               and e.state in ('accepted', 'settled')) as sent_at,
           (select coalesce(bool_or(b.rejects), false) from payments.payout_day d
              join mock_bank.payout b on b.id = replace(d.payout_id::text, '-', '')
             where d.operator_id = s.operator_id and d.payee_id = s.payee_id and d.day = s.day) as rejected
      from payments.payee_statement s join foundation.operator o on o.id = s.operator_id
     where s.day between $1 and $2 and s.net_vnd > 0 and s.carried_vnd + s.net_vnd > 0"""
"""What a settled day owes a payee, once: when the bank first had it in hand, and whether the bank rejected its payout."""
HOURS = """
    select (sum(amount_vnd * h) / sum(amount_vnd))::float as mean, max(h)::float as most from (
      select i.amount_vnd, extract(epoch from p.left_at - j.effective_at) / 3600 as h
        from payments.settlement_item i
        join payments.journal j on j.operator_id = i.operator_id and j.id = i.journal_id
        join payments.payee_statement s on s.operator_id = i.operator_id and s.day = i.day and s.payee_id = i.payee_id
        join payments.payout_day d on d.operator_id = s.operator_id and d.day = s.day and d.payee_id = s.payee_id
          and not d.released
        join payments.payout p on p.operator_id = d.operator_id and p.id = d.payout_id
       where i.kind <> 'fee' and i.amount_vnd > 0 and p.left_at is not null and s.day between $1 and $2
         and s.net_vnd > 0 and s.carried_vnd + s.net_vnd > 0) part"""
"""From a sale to the payout of each payee's part of it that stayed with him, by its amount."""
PAID = """
    select o.code as operator, coalesce(sum(case t.kind when 'payout' then t.amount_vnd else -t.amount_vnd end), 0)::bigint as vnd
      from foundation.operator o
      join payments.collection_account k on k.operator_id = o.id
      left join mock_bank.transaction t on t.bin = k.bin and t.account = k.account and t.kind in ('payout', 'payout_return')
        and t.payout_id in (select replace(id::text, '-', '') from payments.payout)
     group by 1"""
OWED = """
    select coalesce(sum(s.net_vnd), 0)::bigint as vnd from payments.payee_statement s
      join foundation.operator o on o.id = s.operator_id
     where o.code = $1 and not exists (select from payments.payout_day d where d.operator_id = s.operator_id
       and d.payee_id = s.payee_id and d.day = s.day and not d.released)"""
CHARGES = """
    select coalesce(sum(amount_vnd), 0)::bigint as vnd from mock_bank.transaction
     where bin = $1 and account = $2 and kind = 'payout'
       and payout_id not in (select replace(id::text, '-', '') from payments.payout)"""
NAMED = (
    "select facts ->> 'name' as name, sum(lines)::int as n from payments.matching_event where act = 'named' group by 1"
)
SAID = """
    select closing_vnd from payments.bank_statement
     where bank_account = $1 || '/' || $2 and state = 'accepted' and day = $3 order by id desc limit 1"""
BOOKED = """
    select coalesce(sum(case direction when 'credit' then amount_vnd else -amount_vnd end), 0)::bigint as vnd
      from mock_bank.transaction where bin = $1 and account = $2 and booked_at < mock_bank.end_of($3)"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a settled day owed a payee. `sent_at`: when the bank had accepted or debited a payout of it, first."""

    day: date
    net_vnd: int
    sent_at: datetime | None
    rejected: bool

    @property
    def due_at(self) -> datetime:
        """Nine o'clock on the first working day after it."""
        return datetime.combine(working_days.after(self.day, 1), SENT_BY, clock.HANOI)

    @property
    def punctual(self) -> bool:
        return self.sent_at is not None and self.sent_at <= self.due_at


def punctuality(units: Sequence[Unit]) -> tuple[float, float, int]:
    """The shares in percent, of the number and of the amount, that were sent in time; and how many do not count, because
    the bank had rejected their payout when their time was over."""
    counted = [unit for unit in units if unit.punctual or not unit.rejected]
    if not counted:
        return 100.0, 100.0, len(units)
    in_time = [unit for unit in counted if unit.punctual]
    of_number = 100 * len(in_time) / len(counted)
    of_amount = 100 * sum(unit.net_vnd for unit in in_time) / sum(unit.net_vnd for unit in counted)
    return of_number, of_amount, len(units) - len(counted)


class Deck:
    """Faults by name, each alone before any two together, in an order that the dice say."""

    def __init__(self, faults: Mapping[str, dict[str, Any]], dice: random.Random) -> None:
        self.faults, self.dice = faults, dice
        self._left: deque[tuple[str, ...]] = deque((name,) for name in dice.sample(list(faults), len(faults)))
        self.singles = len(self._left)

    def draw(self, fits: Callable[[tuple[str, ...]], bool] = lambda names: True) -> tuple[str, ...]:
        """The next that fits, or nothing."""
        for _ in range(len(self._left) or 1):
            if not self._left:
                self._left.append(self._two())
            names = self._left.popleft()
            if fits(names):
                return names
            self._left.append(names)
        return ()

    def back(self, names: tuple[str, ...]) -> None:
        """It did not strike: once more."""
        self._left.appendleft(names)

    def settings(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: value for each in names for name, value in self.faults[each].items()}

    def _two(self) -> tuple[str, ...]:
        while True:
            two = tuple(sorted(self.dice.sample(list(self.faults), 2)))
            if len(self.settings(two)) == 2 and two not in UNTELLABLE:
                return two


class Month:
    """The days of a house, one after the other. `findings` are the house's."""

    def __init__(self, house: House, seed: str, days: int, persons: int = 6) -> None:
        self.house, self.days = house, days
        self.dice = random.Random(f"{seed}/month")
        self.people = People(house, f"{seed}/month", persons)
        self.first = self.people.platform.now().date() + timedelta(days=1)
        self.to(self.first, SPELLS[0])
        self.rest = MonthsEnd(self.people)
        self.statements, self.payouts = Deck(STATEMENT_FAULTS, self.dice), Deck(PAYOUT_FAULTS, self.dice)
        for operator in ACCOUNTS:
            self.people.persons[0].strays(operator, FLOAT_VND, "von luu dong")
        self.waiting: dict[str, tuple[date, date]] = {}
        """Whose statement of which day does not hold, and when the bank mends it."""
        self.lived = 0
        self.struck: Counter[str] = Counter()
        self.closed_at_once = 0
        self.held: dict[tuple[str, date], str] = {}
        """Days of operators that could not be closed in the morning, and why."""
        self.done: Counter[str] = Counter()
        """What finance did with open items."""
        self.punctuality, self.hours = punctuality([]), (0.0, 0.0)
        self.totals: dict[str, int] = {}

    @property
    def last(self) -> date:
        return self.first + timedelta(days=self.days - 1)

    def live(self, over: Callable[[], bool] = lambda: False, say: Callable[[str], None] = lambda what: None) -> None:
        """The whole month, and everything compared at its end."""
        for number in range(self.days):
            day = self.first + timedelta(days=number)
            for at in SPELLS:
                self.spell(day, at)
            self.night(day)
            self.morning(day)
            self.lived += 1
            if over():
                self.found(f"time was over after {number + 1} days of {self.days}")
                return
            if number % 5 == 4 or number == self.days - 1:
                said = f"{number + 1} of {self.days} days, {self.closed_at_once} closes in the morning"
                say(f"{said}, {len(self.held)} held until the bank had mended a statement")
        self.ends()

    def figures(self) -> dict[str, object]:
        """For the report."""
        of_number, of_amount, rejected = self.punctuality
        return {
            "days": self.lived,
            "closed in the morning after, at a difference of 0": self.closed_at_once,
            "held until the bank had mended a statement, then closed at 0": len(self.held),
            **dict(sorted(self.done.items())),
            "sent by 09:00 on the next working day, of the number of payees' days": f"{of_number:.2f} %",
            "sent by 09:00 on the next working day, of their amount": f"{of_amount:.2f} %",
            "payees' days not counted, since the bank rejected their payout": rejected,
            "hours from a sale to its payout, on average of the amounts": f"{self.hours[0]:.1f}",
            "hours from a sale to its payout, at most": f"{self.hours[1]:.1f}",
            **{f"VND: {name}": number for name, number in self.totals.items()},
        }

    def found(self, what: str) -> None:
        self.people.found(what)

    def to(self, day: date, at: clock_time) -> None:
        self.people.managers["vanmieu"].move_clock(datetime.combine(day, at, clock.HANOI))

    # --- a day -------------------------------------------------------------------------------------------------------

    def spell(self, day: date, at: clock_time) -> None:
        """Some hours of life, in which something may be wrong with notices or refunds; then everything comes to rest."""
        if self.people.platform.now() < datetime.combine(day, at, clock.HANOI):
            self.to(day, at)
        self.house.faults(**WEATHERS[self.dice.choice(SKIES)], seed=self.dice.randrange(2**31))
        deeds = [*ALWAYS, *self.dice.choices(SOMETIMES, k=SOMETIMES_A_SPELL)]
        self.dice.shuffle(deeds)
        self.people.do(deeds, name=f"{day}/{at}")
        if at == SPELLS[-1] and self.dice.random() < 0.3:
            self.charges(self.dice.choice(list(ACCOUNTS)))
        self.house.faults()
        self.rest.is_quiet()

    def charges(self, operator: str) -> None:
        """The bank takes something for itself."""
        transfer = PayoutTransfer(uuid4(), CHARGED_VND, ACCOUNTS[operator][0], "999000333", "NGAN HANG", "PHI QUAN LY")
        at_once = date(2020, 1, 1)
        file = pain.write(
            PayoutOrder(uuid4(), "PHI", datetime.now(UTC), at_once, "/".join(ACCOUNTS[operator]), "PHI", [transfer])
        )
        answer = self.people.persons[0].ask(
            "POST",
            f"{self.house.bank_url}/api/v1/payout-files",
            content=file,
            headers={"authorization": f"Bearer {API_KEY}"},
        )
        if answer.status_code != 201 or "RJCT" in answer.text:
            raise Unsound(f"The bank does not take its charge: {answer.text[:300]}")
        self.done["charges of the bank"] += 1

    def night(self, day: date) -> None:
        """The bank draws up its statements; the worker fetches and matches them, and settles the day."""
        self.to(day + timedelta(days=1), clock_time(0, 5))  # before the worker asks
        planned = self._plan(day)
        for operator in ACCOUNTS:
            names = planned.get(operator, ())
            self.house.faults(**self.statements.settings(names), seed=self.dice.randrange(2**31))
            self.house.bank("GET", f"/api/v1/accounts/{'/'.join(ACCOUNTS[operator])}/statements?after={day}")
            self.house.faults()
            self._struck(operator, day, names)
        self.to(day + timedelta(days=1), clock_time(0, 16))
        self._worker_starts()
        self._until("the bank is asked for its statements", self._asked)
        self.to(day + timedelta(days=1), clock_time(0, 31))
        self._worker_starts()
        for operator in ACCOUNTS:
            self.people.persons[0].waits_for_settlement(operator)

    def _plan(self, day: date) -> dict[str, tuple[str, ...]]:
        """Whose statement is to be wrong how: enough that each fault comes, and never behind one that is held."""
        left = (self.last - day).days + 1
        free = [operator for operator in ACCOUNTS if operator not in self.waiting]
        free = [one for one in free if self.house.look(PAYMENTS, *ACCOUNTS[one], day)[0]["n"] >= 3]
        number = max(self.dice.choice((1, 1, 2)), -(-(len(STATEMENT_FAULTS) - len(self.struck)) // left))
        planned = {}
        for operator in self.dice.sample(free, min(number, len(free))):
            # No statement is before the first, that its opening could contradict, and none of the month behind the last.
            senseless = {self.first: "wrong_opening", self.last: "delay_statement_line"}.get(day, "")
            names = self.statements.draw(lambda names, senseless=senseless: senseless not in names)  # type: ignore[misc]
            planned[operator] = names
        return planned

    def _struck(self, operator: str, day: date, names: tuple[str, ...]) -> None:
        """Notes which of the planned faults the statement really has."""
        rows = self.house.look(ISSUED, *ACCOUNTS[operator], day)
        if not rows:
            self.found(f"The bank has not issued the statement of {day} for {operator}")
            return
        row = rows[0]
        has = {
            "withhold_statement": row["withheld"],
            "lose_statement_line": "lost" in row["told"],
            "repeat_statement_line": "again" in row["told"],
            "count_statement_line_twice": "counted_again" in row["told"],
            "change_statement_text": "changed" in row["told"],
            "delay_statement_line": row["delayed"],
            "wrong_opening": row["opening"],
            "wrong_closing": row["closing"],
            f"batch_credits {row['batch']}": row["batch"] is not None,
        }
        struck = tuple(name for name in has if has[name])
        if set(struck) - set(names):
            self.found(f"The statement of {day} for {operator} has {struck}, but {names} were wanted")
        if set(names) - set(struck):
            self.statements.back(names)
        self.struck.update(struck)
        if len(struck) > 1:
            self.struck[" + ".join(sorted(struck))] += 1
        if row["withheld"] or row["opening"] or row["closing"] or row["does_not_add_up"]:
            later = min(self.dice.choice((0, 0, 0, 1, 2)), (self.last - day).days)
            self.waiting[operator] = day, day + timedelta(days=1 + later)

    def _asked(self) -> bool:
        return not self.house.look(
            "select from payments.collection_account where coalesce(statement_at, '-infinity') <= foundation.now()"
        )

    # --- its morning -------------------------------------------------------------------------------------------------

    def morning(self, day: date) -> None:
        """What the day owes is paid out, what is open is dealt with, the day is closed; what was held is, once it is mended."""
        today = day + timedelta(days=1)
        self.to(today, clock_time(7, 40))
        self.pays_out(today)
        for operator in ACCOUNTS:
            self.deals_with(operator, day)
            self.closes(operator, day)
        mended = [operator for operator, (_, on) in self.waiting.items() if on <= today]
        if not mended:
            return
        for operator in mended:
            self.mends(operator, day)
        self.to(today, clock_time(9, 30))
        self._worker_starts()
        self._until("the bank is asked again", self._asked)
        for operator in mended:
            self.deals_with(operator, day)
            self.closes(operator, day)

    def pays_out(self, today: date) -> None:
        """On a working day: every operator's clerk makes a payout, his manager lets it go, and the bank has it before nine."""
        if not working_days.is_working(today):
            return
        names = self.payouts.draw()
        self.house.faults(**self.payouts.settings(names), when={name: {"next": 1} for name in names})
        for operator in self.dice.sample(list(ACCOUNTS), len(ACCOUNTS)):
            self.people.persons[0].pays_out(operator)
        self._until("the payouts are with the bank", self._with_the_bank)
        left = self.house.bank("GET", "/api/v1/faults")["when"]
        struck = [name for name in names if left[name]["next"] == 0]
        self.house.faults()
        self.struck.update(struck)
        if len(struck) > 1:
            self.struck[" + ".join(sorted(struck))] += 1
        if len(struck) < len(names):
            self.payouts.back(names)

    def _with_the_bank(self) -> bool:
        self.house.pauses_end()
        return not self.house.look(
            "select from payments.payout where state in ('approved', 'asking', 'unknown') or state = 'accepted' and debited_vnd = 0"
        )

    def mends(self, operator: str, day: date) -> None:
        """The bank issues anew what it had wrong, and the statements behind it, which open with what that closes with."""
        one, _ = self.waiting.pop(operator)
        while one <= day:
            self.house.bank("POST", f"/api/v1/accounts/{'/'.join(ACCOUNTS[operator])}/statements/{one}/reissue")
            one += timedelta(days=1)

    def closes(self, operator: str, day: date) -> None:
        """Every day up to this one is closed at a difference of 0, or held because its statement is; nothing else holds it."""
        person = self.people.persons[0]
        held = self.waiting.get(operator)
        for one in self._open_days(operator, day):
            proof = self.people.clerks[operator].json(f"/api/v1/finance/proof-of-cash?day={one}")
            if proof["difference_vnd"]:
                self.found(f"{one} of {operator} is not proven: {proof}")
            why = person.closes_day(operator, one)
            wanted = (
                "statement_awaited" if held and one == held[0] else "day_before_open" if held and one > held[0] else ""
            )
            if why != wanted:
                self.found(f"{one} of {operator} should be {wanted or 'closed'}, but is {why or 'closed'}: {proof}")
            if why:
                self.held.setdefault((operator, one), why)
            elif (operator, one) not in self.held:
                self.closed_at_once += 1

    def _open_days(self, operator: str, day: date) -> list[date]:
        (row,) = self.house.look(
            "select payments.next_day(id) as day from foundation.operator where code = $1", operator
        )
        first: date = row["day"] or day + timedelta(days=1)
        return [first + timedelta(days=n) for n in range((day - first).days + 1)]

    # --- finance -----------------------------------------------------------------------------------------------------

    def deals_with(self, operator: str, day: date) -> None:
        """The clerk accepts what is sure, asks the bank what a batch holds, says what the bank charged, names the rest."""
        self._explains_charges(operator)
        for line in self.people.persons[0].open_items(operator, "line"):
            sure = [
                s for s in line["suggestions"] if not (s["ambiguous"] or s["difference_vnd"]) and s["score"] >= SURE
            ]
            if sure:
                self._accepts(operator, line, sure[0])
            elif line["bank_ref"].startswith("FB"):
                self._matches_batch(operator, line)
        self.people.persons[0].names_the_rest(operator, day)

    def _asks(self, operator: str, act: str, what: str, **values: Any) -> bool:
        """Something that finance does; whether it was done."""
        done = not self.people.persons[0].reconciles(operator, act, **values)
        self.done[what] += done
        return done

    def _explains_charges(self, operator: str) -> None:
        """Money that left by nobody of us was the bank's charge, if it says so; what it counted twice it looks into."""
        for row in self.house.look(
            "select d.id from payments.debit d join foundation.operator o on o.id = d.operator_id where o.code = $1"
            " and settled_vnd < amount_vnd and bank_ref not like 'FX%'",
            operator,
        ):
            self._asks(
                operator, f"debits/{row['id']}/settle", "charges explained", way="charge", reason="bank's charge"
            )

    def _accepts(self, operator: str, line: Any, suggestion: Any) -> None:
        if not self._asks(operator, "reconciliation/accept", "suggestions accepted", suggestion=suggestion["id"]):
            return
        if self.dice.random() < 0.3:  # he thinks again, and finds that it was right
            undo = f"lines/{line['statement_id']}/{line['position']}/undo"
            self._asks(operator, undo, "matches undone", reason="looked at the wrong day")
            self._asks(operator, "reconciliation/match", "matched by hand", item=suggestion["items"])

    def _matches_batch(self, operator: str, line: Any) -> None:
        """The bank says on the telephone what is in it."""
        told = {
            row["bank_ref"] for row in self.house.look(IN_BATCH, *ACCOUNTS[operator], date.fromisoformat(line["day"]))
        }
        parts = [
            item["id"] for item in self.people.persons[0].open_items(operator, "movement") if item["bank_ref"] in told
        ]
        self._asks(operator, "reconciliation/match", "batches matched by hand", item=[line["id"], *parts])

    # --- its end -----------------------------------------------------------------------------------------------------

    def ends(self) -> None:
        """The last day is paid out on the next working day; then everything is compared, each sum from its own source."""
        today = self.last + timedelta(days=1)
        while not working_days.is_working(today):
            today += timedelta(days=1)
            self.to(today, clock_time(7, 40))
            self._worker_starts()  # days without a sale are settled as well: what was held back may be released
            for operator in ACCOUNTS:
                self.people.persons[0].waits_for_settlement(operator)
            self.pays_out(today)
        self._adds_phantoms()
        self.rest.comes()
        for operator in ACCOUNTS:
            if open_days := self._open_days(operator, self.last):
                self.found(f"{operator} could never close {open_days[0]}")
        self.done["refunds that came back"] = self.house.look(
            "select count(*) as n from payments.refund where state = 'returned'"
        )[0]["n"]
        if self.days >= len(STATEMENT_FAULTS):
            self._everything_was_there()
        for row in self.house.look(NAMED):
            self.done[f"open items named {row['name']}"] += row["n"]
        self._is_punctual()
        self.people.findings += self._sums_otherwise()

    def _everything_was_there(self) -> None:
        for name in (*STATEMENT_FAULTS, *PAYOUT_FAULTS):
            if not self.struck[name]:
                self.found(f"{name} never struck")
        for what in ("charges explained", "refunds that came back", "suggestions accepted"):
            if not self.done[what]:
                self.found(f"There were no {what}")
        sold = {(sale.service, sale.way) for sale in self.people.model.ledger().sales}
        for missing in {("ticketing", way) for way in MEANS_AND_CHANNEL} - sold | {
            ("parking", "QR"),
            ("parking", "CASH"),
        } - sold:
            self.found(f"Nothing was sold by {missing}")

    def _adds_phantoms(self) -> None:
        """A line that the bank counts twice is the second payment of whoever it names: to the model as to the books."""
        model = self.people.model
        for row in self.house.look(KNOWN_PHANTOMS):
            if row["amount_vnd"] < 0:
                continue
            charge = next((model.charges[one] for one in row["said"] if one in model.charges), None)
            promised = next((m[one] for one in row["said"] for m in (model.proxies, model.bags) if one in m), None)
            if charge is not None and charge.operator == row["operator"]:
                charge.came.append(row["amount_vnd"])
            elif promised is not None and promised.operator == row["operator"]:
                promised.came.append(row["amount_vnd"])
            else:
                model.strays.append((row["operator"], row["amount_vnd"]))

    def _is_punctual(self) -> None:
        self.units = [
            Unit(row["day"], row["net_vnd"], row["sent_at"], row["rejected"])
            for row in self.house.look(UNITS, self.first, self.last)
        ]
        self.punctuality = punctuality(self.units)
        if min(self.punctuality[:2]) < PUNCTUAL_PERCENT:
            late = [unit for unit in self.units if not unit.punctual and not unit.rejected]
            self.found(f"Only {self.punctuality[0]:.2f} % of the payouts were sent in time; late: {late[:5]}")
        (row,) = self.house.look(HOURS, self.first, self.last)
        self.hours = row["mean"] or 0.0, row["most"] or 0.0

    def _sums_otherwise(self) -> Iterator[str]:
        """Operators, payees, finance, city and bank, each from a source of its own."""
        totals, sales = Counter[str](), self.people.model.ledger().sales
        shown = self.rest.closing.figures()
        paid = {row["operator"]: row["vnd"] for row in self.house.look(PAID)}
        phantoms = {row["operator"]: row["vnd"] for row in self.house.look(PHANTOMS)}
        known = Counter[str]()
        for row in (*self.house.look(KNOWN_PHANTOMS), *self.house.look(OPEN_PHANTOMS)):
            known[row["operator"]] += row["amount_vnd"]
        for operator, account in ACCOUNTS.items():
            sold_vnd = sum(sale.amount_vnd - sale.given_back_vnd for sale in sales if sale.operator == operator)
            given_vnd = sum(sale.given_back_vnd for sale in sales if sale.operator == operator)
            until = (self.people.platform.now().date() - self.first).days
            settled = [
                self.people.clerks[operator].json(f"/api/v1/finance/settlements?day={self.first + timedelta(days=n)}")[
                    0
                ]
                for n in range(until)
            ]
            said = [one for day in settled for one in day["statements"]]
            of_days_vnd = sum(day["sold_vnd"] - day["given_back_vnd"] for day in settled)
            of_payees_vnd = sum(one["gross_vnd"] - one["refunds_vnd"] for one in said)
            net_vnd, fees_vnd = sum(one["net_vnd"] for one in said), sum(one["fees_vnd"] for one in said)
            owed_vnd = self.house.look(OWED, operator)[0]["vnd"]
            finance_vnd = _of_finance(shown, operator) - given_vnd
            closing_vnd = self.house.look(SAID, *account, self.last)[0]["closing_vnd"]
            booked_vnd = self.house.look(BOOKED, *account, self.last)[0]["vnd"]
            for what, came, wanted in (
                ("the settled days hold", of_days_vnd, sold_vnd),
                ("the payees' statements divide", of_payees_vnd, sold_vnd),
                ("finance shows", finance_vnd, sold_vnd),
                ("the fees add up to", fees_vnd, 0),
                ("the bank has paid, with what is still owed,", paid[operator] + owed_vnd, net_vnd),
                ("the bank's last statement closes with", closing_vnd, booked_vnd + phantoms[operator]),
                ("finance knows of what the bank counted twice", known[operator], phantoms[operator]),
            ):
                if came != wanted:
                    yield f"{operator}: {what} {vnd(came)}, but should {vnd(wanted)}"
            totals.update(
                {
                    "sold, less what was given back (as acknowledged)": sold_vnd,
                    "operators' settled days": of_days_vnd,
                    "payees' shares": of_payees_vnd,
                    "finance's days, less what was given back": finance_vnd,
                    "payees' net": net_vnd,
                    "paid out by the bank": paid[operator],
                    "still owed": owed_vnd,
                    "the bank's last statements": closing_vnd,
                }
            )
        totals["the city's charged amount"] = sum(shown["city", one, "charged_vnd"] for one in ("parking", "ticketing"))
        wanted, city_vnd = (
            totals["sold, less what was given back (as acknowledged)"],
            totals["the city's charged amount"],
        )
        if city_vnd != wanted:
            yield f"The city counts {vnd(city_vnd)}, but {vnd(wanted)} were sold"
        self.totals = dict(totals)

    # --- small things ------------------------------------------------------------------------------------------------

    def _worker_starts(self) -> None:
        """What it does again and again, it does at its start."""
        self.house.restart("worker")
        self._until("the worker is there", lambda: bool(self.house.pids("worker")))

    def _until(self, what: str, look: Callable[[], bool], within_s: float = 30.0) -> None:
        end = time.monotonic() + within_s
        while not look():
            if time.monotonic() > end:
                self.found(f"{self.people.platform.now():%d/%m}: {what} not within {within_s:g} s")
                return
            time.sleep(0.05)


class MonthsEnd(Rest):
    """The comparison at rest, where the bank has taken charges and counted some lines twice."""

    def _bank_otherwise(self) -> Iterator[str]:
        model = self.people.model
        left = {row["account"]: row["vnd"] for row in self.house.look(LEFT)}
        more = Counter[str]()
        for row in self.house.look(KNOWN_PHANTOMS):
            more[row["operator"]] += row["amount_vnd"]
        for operator, (bin, account) in ACCOUNTS.items():
            charged_vnd = self.house.look(CHARGES, bin, account)[0]["vnd"]
            wanted = sum(model.banked[operator]) - left.get(f"{bin}/{account}", 0) - charged_vnd
            came = self.house.bank("GET", f"/api/v1/accounts/{bin}/{account}")["balance_vnd"]
            if came != wanted:
                yield f"The bank holds {came} for {operator}, but {wanted} were acknowledged"
        for row in self.house.look(BY_CARD):
            there = row["came_vnd"] - row["left_vnd"] + row["bank_vnd"] + more[row["operator"]]
            if row["ours_vnd"] != there:
                yield f"Our books say that {row['ours_vnd']} of {row['operator']} are at the gateways, but {there} are"
        for query in (MOVED_OTHERWISE, PAID_OTHERWISE, TOLD_OTHERWISE, MORE_THAN_CAME):
            for row in self.house.look(query):
                yield f"The bank moved something else: {dict(row)}"


def _of_finance(shown: Figures, operator: str) -> int:
    return sum(
        n
        for key, n in shown.items()
        if key[0] == "finance" and key[1] == operator and key[-1] == "VND" and len(key) == 6
    )
