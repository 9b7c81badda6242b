"""What a visitor is told of money that goes back to him, and the account he may name when his bank takes nothing back."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from foundation.database import Database, Tx
from foundation.errors import Refusal
from foundation.seal import Sealer
from foundation.tables import new_id
from payments.gateway import PayeeAccount, vietqr
from payments.payment import ChargeView
from payments.refund import TO


@dataclass(frozen=True, slots=True)
class GoesBack:
    """An amount that goes back, or has. `word` says how far it is: `pay.back.<word>`; `at` since when, if it left.

    `path`: the payer's own page, where he may name an account; None unless his bank takes nothing back.
    """

    word: str
    amount_vnd: int
    at: datetime | None = None
    path: str | None = None

    @property
    def done(self) -> bool:
        return self.word == "settled"


class ProofWrong(Refusal):
    """No payment of this page waits under that bank reference with that amount."""


class AccountUnreadable(Refusal):
    """Please choose a bank and enter an account of 4 to 19 letters or digits and the name of its owner."""

    status = 422


OWNER = re.compile(r"[^\W\d_][^\W\d_ '.&()/-]*(?:[ '.&()/-]+[\w'.&()/-]+)*")
"""The name of an account's owner: letters, as banks write them, no signs that turn the writing around."""
# Money whose bank refuses or returns it, and that came from an account: only its payer can say where to.
_STUCK = (
    "h.closed_at is null and h.reason = 'returned' and r.means = 'QR_TRANSFER' and (l.state = 'returned' or l.why ="
    " 'cannot_send_back')"
)
_LAST = (
    " left join lateral (select f.state, f.why, f.ended_at from payments.refund f where f.operator_id = h.operator_id"
    "   and f.receipt_id = h.receipt_id and f.state in ('returned', 'refused') order by f.ended_at desc limit 1) l on true"
)
_ITEMS = (
    "with theirs as ("
    "  select h.charge_id as for_charge, h.* from payments.held h where h.operator_id = $1 and h.charge_id = any($2)"
    "  union select g.charge_id, h.* from payments.held h join payments.given_back g"
    "    on g.operator_id = h.operator_id and g.receipt_id = h.receipt_id"
    "  where h.operator_id = $1 and g.charge_id = any($2)"
    "), items as ("
    "  select for_charge, case when h.reason <> 'returned' then h.reason"
    f"   when not ({_STUCK}) then 'delayed'"
    "    when exists (select from payments.payee_named n where n.operator_id = h.operator_id"
    "                 and n.receipt_id = h.receipt_id and n.at >= l.ended_at) then 'named'"
    "    when l.state = 'returned' then 'returned' else 'refused_by_bank' end as word,"
    "    h.amount_vnd - h.used_vnd as amount_vnd, null::timestamptz as at"
    "  from theirs h join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
    f" {_LAST} where h.closed_at is null"
    "  union all"
    "  select t.for_charge, case f.state when 'requested' then 'requested' when 'accepted' then 'accepted'"
    "    when 'settled' then 'settled' else 'approved' end,"
    "    f.amount_vnd, coalesce(f.ended_at, f.accepted_at)"
    "  from theirs t join payments.refund f on f.operator_id = $1 and f.receipt_id = t.receipt_id"
    "    and f.state not in ('returned', 'refused', 'rejected')"
    ") select word, sum(i.amount_vnd)::bigint as amount_vnd, max(at) as at, c.reference, c.token"
    " from items i join payments.charge c on c.operator_id = $1 and c.id = i.for_charge"
    " group by c.id, c.reference, c.token, word order by c.id, word"
)


async def of_charge(tx: Tx, owed: ChargeView) -> list[GoesBack]:
    """What of the money paid for a charge waits to go back to its payer, is on its way, or has arrived."""
    return await _of(tx, [owed.id])


async def goes_back(database: Database, operator_id: UUID, purpose: str, reference: str) -> list[GoesBack]:
    """The same for a thing of another service, whichever of its charges the money came for."""
    row = await database.hot("select payments.put_aside($1, $2, $3)", operator_id, purpose, reference)
    if not row[0]:
        return []
    async with database.transaction(operator_id) as tx:
        return await _of(tx, row[0])


async def _of(tx: Tx, charges: list[UUID]) -> list[GoesBack]:
    return [
        GoesBack(
            row["word"],
            row["amount_vnd"],
            row["at"],
            f"/pay/{row['reference']}/{row['token']}" if row["word"] in ("returned", "refused_by_bank") else None,
        )
        for row in await tx.rows(_ITEMS, tx.operator_id, charges)
    ]


async def name_account(
    tx: Tx,
    sealer: Sealer,
    owed: ChargeView,
    *,
    bank_ref: str,
    amount_vnd: int,
    to: PayeeAccount,
    month: int,
    now: datetime,
) -> None:
    """The payer names an account for money of this charge that his bank does not take back, and proves that it is his:
    the bank's reference of his transfer and its amount. A person looks at it before anything is sent there. Once for each
    time that it came back: nobody puts another account in its place unseen.

    `month` is from `Sealer.ready`. Raises ProofWrong, AccountUnreadable.
    """
    account = re.sub(r"[\s.-]", "", to.account).upper()
    name = " ".join(to.name.split())
    if to.bin not in vietqr.banks() or not re.fullmatch(r"[0-9A-Z]{4,19}", account) or not OWNER.fullmatch(name):
        raise AccountUnreadable()
    receipt_id: UUID | None = await tx.value(
        "select h.receipt_id from payments.held h"
        " join payments.receipt r on r.operator_id = h.operator_id and r.id = h.receipt_id"
        f" {_LAST}"
        f" where h.operator_id = $1 and {_STUCK} and upper(r.bank_ref) = $3 and r.amount_vnd = $4"
        " and (h.charge_id = $2 or exists (select from payments.given_back g"
        "   where g.operator_id = $1 and g.receipt_id = h.receipt_id and g.charge_id = $2))"
        " and not exists (select from payments.payee_named n where n.operator_id = $1 and n.receipt_id = h.receipt_id"
        "   and n.at >= l.ended_at) for update of h",
        tx.operator_id,
        owed.id,
        bank_ref.strip().upper(),
        amount_vnd,
    )
    if receipt_id is None:
        raise ProofWrong()
    named = json.dumps(asdict(PayeeAccount(to.bin, account, name)))
    await tx.execute(
        "insert into payments.payee_named (operator_id, receipt_id, id, to_sealed, at) values ($1, $2, $3, $4, $5)",
        tx.operator_id,
        receipt_id,
        new_id(),
        sealer.seal(named, month=month, context=TO),
        now,
    )
    tx.wake(owed.channel)
