"""Our side of the measurement: a filled platform, and the requests that real tablets would send to it.

Operators, lots, tablets and logins are made by the platform's own acts; the mass of orders, tickets and open stays is
copied into the tables as administrator, row for row as those acts would have written them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from standardwebhooks import Webhook

import demo
from foundation import code, device
from foundation.clock import hanoi_day
from foundation.code import CodeKeys, TicketCode
from foundation.database import Database
from foundation.operator import PlaceView
from foundation.seal import Sealer
from foundation.settings import Settings
from foundation.staff import Token, find_login, open_session
from foundation.tables import new_id
from loadtests.client import Again, Cycle, get, leads_to, post
from parking.lot import TariffView, open_lot
from parking.plate import Plate, VehicleClass
from parking.stay import seal_plate

LOTS = 500
TABLETS = 32
SITE = 1
FIRST_LOT = 1000
PRICE_VND = 70_000
HOUR_RULE = {"kind": "hour_bands", "bands": [{"up_to_hour": None, "price_vnd": 25_000}]}
_PLATES_PER_SERIES = 100_000
_SERIES = [f"{province}{letter}" for province in range(29, 34) for letter in "ABCEFGHKLMNPSTUVXYZ"]


@dataclass
class Tablet:
    """A tablet with an attendant logged in, and the places it works at."""

    token: Token
    places: Sequence[int]
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def post(self, path: str, **said: object) -> bytes:
        """An action of this tablet as a request."""
        body = {"id": str(uuid4()), "counter": next(self.counter), "at": datetime.now(UTC).isoformat(), **said}
        headers = f"authorization: Bearer {self.token}\r\n"
        return post(f"/api/v1/device/{path}", json.dumps(body, separators=(",", ":")).encode(), headers)


@dataclass
class Crowd:
    """Everybody who comes: ticket holders and drivers, each used up once. Iterators over requests of each kind."""

    keys: CodeKeys
    bank: Webhook
    day: Any
    gates: list[Tablet]
    exits: list[Tablet]
    tickets: Iterator[bytes]
    stays: Iterator[tuple[UUID, int]]
    plates: Iterator[str]

    def scans(self) -> Iterator[bytes]:
        """A ticket of two at the gate, by the address in its QR."""
        for tablet, serial in zip(itertools.cycle(self.gates), self.tickets, strict=False):
            signed = self.keys.sign(_ticket_code(self.keys, self.day, serial))
            yield tablet.post("scan", place=SITE, code=f"HTTP://127.0.0.1/T/{signed}", heads=None)

    def enters(self) -> Iterator[bytes]:
        """A car with a plate as an attendant types it, at each lot in turn."""
        for turn, typed in zip(itertools.cycle(range(LOTS)), self.plates, strict=False):
            tablet = self.exits[turn % TABLETS]
            place = tablet.places[turn // TABLETS % len(tablet.places)]
            yield tablet.post("vehicles/in", place=place, vehicle_class="car", plate=typed)

    def leaves(self) -> Iterator[bytes]:
        """A car that has paid and is in time."""
        by_place = {place: tablet for tablet in self.exits for place in tablet.places}
        for stay_id, place in self.stays:
            yield by_place[place].post("vehicles/out", place=place, stay_id=str(stay_id))

    def charges(self) -> Iterator[Cycle]:
        """Visitors who order at one site, and so far nothing more."""
        while True:
            yield self._charge()

    def buys(self) -> Iterator[Cycle]:
        """Visitors who order at one site and pay, until they read their ticket; the client plays the bank as well."""
        while True:
            yield self._buy()

    def _order(self) -> bytes:
        body = f"key={uuid4().hex}&day={self.day}&heads_adult=1"
        head = "POST /S/VANMIEU HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()

    def _charge(self) -> Cycle:
        return leads_to((yield self._order())).startswith("/pay/")

    def _buy(self) -> Cycle:
        page = leads_to((yield self._order()))
        reference = page.split("/")[2]
        told = yield self._notice(reference)
        if not told.startswith(b"HTTP/1.1 202"):
            return False
        state = get(f"/api/v1/public/payments/{reference}")
        said = yield state
        while b'"state":"paid"' not in said:
            if not said.startswith(b"HTTP/1.1 200"):
                return False
            said = yield Again(state)
        ticket = leads_to((yield get(leads_to((yield get(page))))))
        read = yield get(ticket)
        return read.startswith(b"HTTP/1.1 200")

    def _notice(self, reference: str) -> bytes:
        at, event = datetime.now(UTC), f"evt_{uuid4().hex}"
        _, _, _, _, bin, account, _ = demo.OPERATORS[0]
        body = json.dumps(
            {
                "type": "transaction.booked",
                "timestamp": at.isoformat(),
                "data": {
                    "bank_ref": f"FT{uuid4().hex[:16]}",
                    "bin": bin,
                    "account": account,
                    "direction": "credit",
                    "amount_vnd": PRICE_VND,
                    "text": f"MBVCB.0000000001.{reference}.CT TU 0011009998887",
                    "booked_at": at.isoformat(),
                    "payer_name": "LE THI TAP SU",
                    "payer_bin": "970436",
                    "payer_account": "0011009998887",
                },
            }
        )
        signature = self.bank.sign(event, at, body)
        headers = (
            f"webhook-id: {event}\r\nwebhook-timestamp: {int(at.timestamp())}\r\nwebhook-signature: {signature}\r\n"
        )
        return post("/api/v1/hooks/bank", body.encode(), headers)


async def fill(admin_url: str, settings: Settings, rows: int) -> Crowd:
    """A demo city with 500 more lots, 32 tablets at its gates and 32 at its lots, `rows` tickets, open stays and earlier
    scans: a plan that PostgreSQL makes while the log is empty would be a bad one for the rest of the run."""
    await demo.build(settings)
    database = await Database.open(settings.url("database_app_url"), size=2, name="motcham bench")
    admin = await asyncpg.connect(admin_url, command_timeout=600)
    try:
        sealer = Sealer(settings.root, database)
        now = datetime.now(UTC)
        keys, day = CodeKeys({1: settings.root}, settings.environment), hanoi_day(now)
        gates = await _tablets(database, demo.VANMIEU, [[SITE]] * TABLETS)
        lots = await _lots(database)
        exits = await _tablets(database, demo.DONGDA, [lots[n::TABLETS] for n in range(TABLETS)])
        serials, stays = await _rows(admin, sealer, lots, rows, day, now)
        await admin.execute("vacuum analyze")
    finally:
        await admin.close()
        await database.close()
    return Crowd(
        keys,
        Webhook(settings.bank_webhook_secret.get_secret_value()),
        day,
        gates,
        exits,
        iter(serials),
        iter(stays),
        _typed_plates(rows),
    )


async def done(admin_url: str) -> dict[str, int]:
    """What is really in the tables, after looking that scan log, tickets, stays and the lots' counters agree."""
    admin = await asyncpg.connect(admin_url, command_timeout=600)
    try:
        row = await admin.fetchrow(
            "select (select count(*) from ticketing.ticket where admitted = heads) as scan,"
            " (select count(*) from parking.stay where entered_device_id is not null) as in,"
            " (select count(*) from parking.stay where left_device_id is not null) as out,"
            " (select count(*) from payments.charge where state = 'paid') as paid,"
            " (select count(*) from payments.charge where state = 'open') as charge,"
            " (select count(*) from payments.receipt r where not exists (select from payments.receipt_outcome o"
            "    where o.operator_id = r.operator_id and o.receipt_id = r.id)) as unapplied,"
            " (select count(*) from foundation.action where counter > 0) as logged,"
            " (select bool_and(occupied = (select count(*) from parking.stay s where s.operator_id = l.operator_id"
            "    and s.place = l.place and s.left_at is null)) from parking.lot l) as counted"
        )
    finally:
        await admin.close()
    assert row is not None
    counts = {name: row[name] for name in ("scan", "in", "out", "paid", "charge")}
    assert row["logged"] == sum(counts[name] for name in ("scan", "in", "out")), "the scan log has another number"
    assert not row["unapplied"], "a receipt was never applied"
    assert row["counted"], "a lot's counter does not agree with its open stays"
    return counts


async def _lots(database: Database) -> list[int]:
    numbers = list(range(FIRST_LOT, FIRST_LOT + LOTS))
    tariff = TariffView(VehicleClass.CAR, 1, datetime(2018, 1, 1, tzinfo=UTC).date(), None, HOUR_RULE, "Ô tô", "Car")
    async with database.transaction(demo.DONGDA) as tx:
        for number in numbers:
            place = PlaceView(
                demo.DONGDA, number, f"B{number}", "parking", f"Bãi {number}", f"Lot {number}", "", "00235"
            )
            await open_lot(tx, place=place, capacity=1_000_000, tariffs=[tariff])
    return numbers


async def _tablets(database: Database, operator_id: UUID, places: Iterable[Sequence[int]]) -> list[Tablet]:
    made = []
    async with database.transaction(operator_id) as tx:
        person = await find_login(tx, "01")
        assert person is not None
        for number, at in enumerate(places):
            offered = await device.offer_enrolment(
                tx, operator_code="bench", device_name=f"Tablet {number}", places=list(at)
            )
            device_id, _ = await device.enrol(tx, code=offered)
            made.append(Tablet(await open_session(tx, staff_id=person["id"], device_id=device_id), at))
    return made


async def _rows(
    admin: asyncpg.Connection, sealer: Sealer, lots: Sequence[int], rows: int, day: Any, now: datetime
) -> tuple[list[bytes], list[tuple[UUID, int]]]:
    """Orders and tickets of two adults each, paid open stays, and a log of earlier scans (counter 0).

    Returns the serials, and (stay, place).
    """
    dice = random.Random(20261121)
    lines = json.dumps([{"code": "adult", "heads": 2, "price_vnd": 70_000}])
    orders, tickets, stays, scans = [], [], [], []
    working = await admin.fetch("select operator_id, device_id, staff_id from foundation.session")
    month = await sealer.ready(now)
    for number in range(rows):
        order_id, serial = new_id(), dice.randbytes(10)
        orders.append((demo.VANMIEU, order_id, f"bench{number}", SITE, 1, day, 2, lines, 140_000, now))
        tickets.append((demo.VANMIEU, serial, code.draw_short(dice), order_id, SITE, 1, day, 2, 0, now))
        plate = seal_plate(sealer, demo.DONGDA, Plate(_plate(number), (), ()), month=month)
        stays.append(
            (
                *(demo.DONGDA, new_id(), lots[number % LOTS], VehicleClass.CAR.value, 1),
                *(plate.sealed, plate.tag, plate.tail_tag, dice.randbytes(10), code.draw_short(dice)),
                *(now - timedelta(minutes=30), 25_000, now + timedelta(hours=3)),
            )
        )
        operator_id, device_id, staff_id = working[number % len(working)]
        scans.append(
            (
                *(operator_id, device_id, UUID(int=dice.getrandbits(128), version=4), "gate.scan", 0),
                *(dice.randbytes(32), '{"verdict": "unknown"}', staff_id, now, now),
            )
        )
    # The rows are right as they are made; checking their foreign keys one by one would only take time.
    await admin.execute("set session_replication_role = replica")
    await _copy(
        admin,
        "ticketing",
        "order",
        orders,
        "operator_id id token place product visit_day heads lines total_vnd ordered_at",
    )
    await _copy(
        admin,
        "ticketing",
        "ticket",
        tickets,
        "operator_id serial short order_id place product valid_day heads admitted issued_at",
    )
    await _copy(
        admin,
        "parking",
        "stay",
        stays,
        "operator_id id place vehicle_class tariff plate_sealed plate_tag"
        " tail_tag serial short entered_at settled_vnd may_leave_until",
    )
    await _copy(
        admin,
        "foundation",
        "action",
        scans,
        "operator_id device_id id kind counter body_hash outcome staff_id occurred_at done_at",
    )
    await admin.execute(
        "update parking.lot l set occupied = (select count(*) from parking.stay s"
        " where s.operator_id = l.operator_id and s.place = l.place and s.left_at is null)"
    )
    # They come in no order.
    dice.shuffle(tickets)
    dice.shuffle(stays)
    return [ticket[1] for ticket in tickets], [(stay[1], stay[2]) for stay in stays]


async def _copy(admin: asyncpg.Connection, schema: str, table: str, rows: list[Any], columns: str) -> None:
    await admin.copy_records_to_table(table, schema_name=schema, records=rows, columns=columns.split())


def _plate(number: int) -> str:
    series, digits = divmod(number, _PLATES_PER_SERIES)
    return f"{_SERIES[series]}{digits:05d}"


def _typed_plates(after: int) -> Iterator[str]:
    """Plates that stand nowhere yet, as they are typed: `30A-123.45`."""
    for number in itertools.count(after):
        plate = _plate(number)
        yield f"{plate[:3]}-{plate[3:6]}.{plate[6:]}"


def _ticket_code(keys: CodeKeys, day: Any, serial: bytes) -> TicketCode:
    return TicketCode.ticket(
        generation=keys.generation,
        place=SITE,
        day=day,
        from_quarter=0,
        until_quarter=96,
        product=1,
        heads=2,
        serial=serial,
    )
