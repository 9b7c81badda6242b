"""What came to each lot and what left it on a day, counted twice: from the vehicles, and from the tablets' log of what
attendants did. A vehicle that is in one of the two only was written down, or crossed out, behind the platform's back.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from foundation import clock
from foundation.database import Tx
from parking import tariff
from parking.lot import rule_of
from payments import Counted, Gate, GateDifference

_OF_THE_DAY = """
with log as (
    select case a.kind when 'parking.in' then 'in' else 'out' end as way, s.id as stay_id, s.entered_at, s.left_at,
           coalesce(s.place, case when cardinality(d.places) = 1 then d.places[1] end) as place,
           a.done_at, p.name as staff, d.name as device
    from foundation.action a
    left join parking.stay s on s.operator_id = a.operator_id and s.id = (a.outcome ->> 'stay_id')::uuid
    join foundation.staff p on p.operator_id = a.operator_id and p.id = a.staff_id
    join foundation.device d on d.operator_id = a.operator_id and d.id = a.device_id
    where a.operator_id = $1 and a.done_at >= $2 and a.done_at < $3
      and (a.kind, a.outcome ->> 'verdict') in (('parking.in', 'in'), ('parking.out', 'left'))
)"""

_GATES = f"""{_OF_THE_DAY}, logged as (
    select place, count(*) filter (where way = 'in') as came, count(*) filter (where way = 'out') as "left"
    from log group by 1
), stood as (
    select place,
           count(*) filter (where entered_at < $2) as before,
           count(*) filter (where entered_at >= $2 and entered_device_id is null) as announcing,
           count(*) filter (where left_at is null or left_at >= $3) as standing,
           count(*) filter (where not counted and (left_at is null or left_at >= $3)) as announced
    from parking.stay
    where operator_id = $1 and entered_at < $3 and (left_at is null or left_at >= $2) group by 1
)
select l.place, p.name_vi, p.name_en, coalesce(s.before, 0) as before,
       coalesce(s.announcing, 0) + coalesce(g.came, 0) as came, coalesce(g.left, 0) as "left",
       coalesce(s.standing, 0) as standing, coalesce(s.announced, 0) as announced
from parking.lot l
join foundation.place p on p.operator_id = l.operator_id and p.number = l.place
left join stood s on s.place = l.place
left join logged g on g.place = l.place
where l.operator_id = $1 order by l.place"""

_UNLIKE = f"""{_OF_THE_DAY}
select case way when 'in' then 'entry_of_nothing' else 'exit_of_nothing' end as rule, place, stay_id as id, done_at as at,
       staff, device
from log
where stay_id is null or way = 'in' and entered_at <> done_at
   or way = 'out' and (left_at is null or left_at <> greatest(done_at, entered_at))
union all
select 'entry_not_logged', s.place, s.id, s.entered_at, null, d.name
from parking.stay s
left join foundation.device d on d.operator_id = s.operator_id and d.id = s.entered_device_id
where s.operator_id = $1 and s.entered_at >= $2 and s.entered_at < $3 and s.entered_device_id is not null
  and not exists (select from log g where g.way = 'in' and g.stay_id = s.id)
union all
select 'exit_not_logged', s.place, s.id, s.left_at, null, d.name
from parking.stay s
left join foundation.device d on d.operator_id = s.operator_id and d.id = s.left_device_id
where s.operator_id = $1 and s.left_at >= $2 and s.left_at < $3
  and not exists (select from log g where g.way = 'out' and g.stay_id = s.id)"""

_LEFT = """
select s.id, s.place, s.entered_at, s.left_at, s.settled_vnd, t.rule,
       s.left_at <= s.may_leave_until as in_time, d.name as device
from parking.stay s
join parking.tariff_row t on t.operator_id = s.operator_id and t.place = s.place and t.number = s.tariff
left join foundation.device d on d.operator_id = s.operator_id and d.id = s.left_device_id
where s.operator_id = $1 and s.left_at >= $2 and s.left_at < $3"""

_COUNTERS = """
select l.place, l.occupied - count(s.id) as more
from parking.lot l
left join parking.stay s on s.operator_id = l.operator_id and s.place = l.place and s.left_at is null and s.counted
where l.operator_id = $1 group by l.place, l.occupied having l.occupied <> count(s.id)"""


async def count(tx: Tx, day: date) -> Counted:
    """The lots of an operator on a day, and what does not fit: a vehicle without its entry in the log or the reverse, one
    that left owing, and, today, a lot's counter that says otherwise."""
    span = (tx.operator_id, *clock.span(day, day))
    gates, unlike, left = await tx.rows(_GATES, *span), await tx.rows(_UNLIKE, *span), await tx.rows(_LEFT, *span)
    differences = [
        GateDifference(
            row["rule"], row["place"], row["id"] and str(row["id"]), None, row["at"], row["staff"], row["device"]
        )
        for row in unlike
    ]
    differences += [
        GateDifference("left_owing", row["place"], str(row["id"]), owing_vnd, row["left_at"], None, row["device"])
        for row in left
        if (owing_vnd := _owing_vnd(row)) > 0
    ]
    if day == clock.hanoi_day(await clock.now(tx)):
        counters = await tx.rows(_COUNTERS, tx.operator_id)
        differences += [GateDifference("counter", row["place"], amount=row["more"]) for row in counters]
    settled: dict[int, dict[str, int]] = {row["place"]: {} for row in gates}
    for row in left:
        settled[row["place"]][str(row["id"])] = row["settled_vnd"]
    return Counted([Gate(**row, settled=settled[row["place"]]) for row in gates], differences)


def _owing_vnd(row: Any) -> int:
    """What a vehicle that left within no grace time had not paid."""
    if row["in_time"]:
        return 0
    fee = tariff.fee(rule_of(row["rule"]), entered_at=row["entered_at"], left_at=row["left_at"])
    return int(fee.amount_vnd) - int(row["settled_vnd"])
