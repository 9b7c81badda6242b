"""The demo city: two site authorities, a parking firm, their places, prices, people and tablets.

Prices and rules are Hanoi's (People's Council 06/12/2023; QĐ 44/2017/QĐ-UBND); firms and people are invented. It is
built once per database, as the app, through the same acts a back office uses.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

from foundation import clock, device, directory
from foundation.database import Database, Tx
from foundation.operator import PlaceView
from foundation.settings import Settings
from foundation.staff import add_staff
from parking.lot import TariffView, open_lot
from parking.plate import VehicleClass
from payments import contract, fiscal_series, ledger, payee_account
from payments.contract import Proposal, Rent
from payments.share import Entitlement, FeeTerm
from ticketing.site import ENTRANCE, OfferView, open_site

VANMIEU = UUID("0190a000-0000-7000-8000-000000000001")
THANGLONG = UUID("0190a000-0000-7000-8000-000000000002")
DONGDA = UUID("0190a000-0000-7000-8000-000000000003")

PIN = "246810"
PASSWORD = "mot-cham-demo"  # noqa: S105 - printed by `make run`; production has no demo city

OPERATORS = (
    # id, code, names, bank identification number, collection account, account owner
    (
        VANMIEU,
        "vanmieu",
        "Trung tâm Văn Miếu – Quốc Tử Giám",
        "Temple of Literature Centre",
        "970436",
        "1023456789012",
        "TT VAN MIEU QUOC TU GIAM",
    ),
    (
        THANGLONG,
        "thanglong",
        "Trung tâm Hoàng thành Thăng Long",
        "Thang Long Citadel Centre",
        "970415",
        "110019324180",
        "TT HOANG THANH THANG LONG",
    ),
    (
        DONGDA,
        "dongda",
        "Công ty Trông giữ xe Đống Đa",
        "Dong Da Parking Company",
        "970418",
        "12410001234567",
        "CTY TRONG GIU XE DONG DA",
    ),
)

MERCHANTS = {VANMIEU: "VANMIEU1", THANGLONG: "THANGLG1", DONGDA: "DONGDA01"}
"""Each operator's own merchant at the gateway for cards and foreign wallets."""

TAX_CODES = {VANMIEU: "0100000003", THANGLONG: "0100000010", DONGDA: "0100000028"}
"""Invented, with the check digit that they would have."""

SETTLED_FROM = date(2024, 1, 1)
PAID_TO = {
    # kind of payee: bank identification number, account, its owner as banks write it; invented
    "operator": ("970436", "0011004455667", "DON VI THU"),
    "city_budget": ("970405", "3713000000001", "KBNN KHU VUC I NGAN SACH TP HA NOI"),
    "platform": ("970422", "8800112233445", "CONG TY MOT CHAM"),
}
DAY = {"day_from": "06:00", "day_to": "18:00", "timezone": "Asia/Ho_Chi_Minh"}
MOTORBIKE_RULE = {"kind": "day_night", "day_vnd": 5_000, "night_vnd": 8_000, "day_night_vnd": 12_000, **DAY}
BICYCLE_RULE = {"kind": "day_night", "day_vnd": 3_000, "night_vnd": 5_000, "day_night_vnd": 7_000, **DAY}


async def build(settings: Settings) -> bool:
    """Builds the demo city unless it is there. True if it was built now."""
    database = await Database.open(settings.url("database_app_url"), size=2, name="motcham demo")
    try:
        if await database.value("select count(*) from foundation.operator"):
            await _catch_up(database)
            return False
        for operator_id, code, name_vi, name_en, bin, account, owner in OPERATORS:
            async with database.transaction(operator_id) as tx:
                await _operator(tx, code, name_vi, name_en, bin, account, owner)
                await PLACES[operator_id](tx)
                await _people(tx, code)
                await _merchant(tx, owner)
                await _contracts(tx, name_vi, name_en)
                await _bank_details(tx)
                await _series(tx, code)
        return True
    finally:
        await database.close()


async def _catch_up(database: Database) -> None:
    """A city that was built before cards were taken, or days settled, gets its merchants and contracts."""
    for operator_id, code, name_vi, name_en, _, _, owner in OPERATORS:
        if await database.value("select true from foundation.operator where id = $1", operator_id):
            async with database.transaction(operator_id) as tx:
                if not await tx.value("select true from payments.merchant where operator_id = $1", operator_id):
                    await _merchant(tx, owner)
                if not await tx.value("select true from payments.payee where operator_id = $1 limit 1", operator_id):
                    await _contracts(tx, name_vi, name_en)
                if not await tx.value(
                    "select true from payments.payee_account where operator_id = $1 limit 1", operator_id
                ):
                    await _bank_details(tx)
                if not await tx.value(
                    "select true from payments.fiscal_term where operator_id = $1 limit 1", operator_id
                ):
                    await _series(tx, code)


async def enrolment_codes(settings: Settings) -> dict[str, str]:
    """A fresh one-time enrolment code per operator, for the terminal of `make run`."""
    database = await Database.open(settings.url("database_app_url"), size=1, name="motcham demo")
    try:
        codes = {}
        for operator_id, code, *_ in OPERATORS:
            async with database.transaction(operator_id) as tx:
                places = [
                    row["number"]
                    for row in await tx.rows("select number from foundation.place where operator_id = $1", operator_id)
                ]
                codes[code] = await device.offer_enrolment(
                    tx, operator_code=code, device_name=f"Tablet {code}", places=places
                )
        return codes
    finally:
        await database.close()


async def _operator(tx: Tx, code: str, name_vi: str, name_en: str, bin: str, account: str, owner: str) -> None:
    await tx.execute(
        "insert into foundation.operator (id, code, name_vi, name_en) values ($1, $2, $3, $4)",
        tx.operator_id,
        code,
        name_vi,
        name_en,
    )
    await directory.enter(tx, "operator", code)
    await directory.enter(tx, "account", f"{bin}/{account}")
    await ledger.open_accounts(tx)
    await tx.execute(
        "insert into payments.collection_account (operator_id, bin, account, owner_name) values ($1, $2, $3, $4)",
        tx.operator_id,
        bin,
        account,
        owner,
    )


async def _merchant(tx: Tx, owner: str) -> None:
    code = MERCHANTS[tx.operator_id]
    await directory.enter(tx, "account", f"vnpay/{code}")
    await tx.execute(
        "insert into payments.merchant (operator_id, gateway, code, owner_name) values ($1, 'vnpay', $2, $3)",
        tx.operator_id,
        code,
        owner,
    )


async def _contracts(tx: Tx, name_vi: str, name_en: str) -> None:
    """Invented terms: of a fee for a relic two fifths are the city's, a lot pays VAT and rent, the platform takes a fee."""
    now = await clock.now(tx)
    own = await contract.add_payee(
        tx, kind="operator", name_vi=name_vi, name_en=name_en, tax_code=TAX_CODES[tx.operator_id], now=now
    )
    city = await contract.add_payee(
        tx,
        kind="city_budget",
        name_vi="Ngân sách thành phố Hà Nội",
        name_en="Budget of the city of Hanoi",
        treasury="Kho bạc Nhà nước Khu vực I",
        budget_line="C 560 · TM 2714",
        now=now,
    )
    await contract.add_payee(
        tx, kind="platform", name_vi="Một Chạm", name_en="Một Chạm", tax_code="0100000002", now=now
    )
    people = {
        row["login"]: row["id"]
        for row in await tx.rows("select id, login from foundation.staff where operator_id = $1", tx.operator_id)
    }
    lots = await tx.rows(
        "select number from foundation.place where operator_id = $1 and service = 'parking' order by number",
        tx.operator_id,
    )
    fees = {
        "QR_TRANSFER": FeeTerm(bp=50),
        "CARD": FeeTerm(bp=180, vnd=500),
        "WALLET": FeeTerm(bp=110),
        "CASH": FeeTerm(bp=20),
    }
    for said in (
        Proposal(
            service="ticketing",
            valid_from=SETTLED_FROM,
            paper="01/2024/HĐ-MC",
            entitlements=(Entitlement(own, share_bp=6_000), Entitlement(city, share_bp=4_000)),
            fees=fees,
            fee_vat_bp=1_000,
        ),
        Proposal(
            service="parking",
            valid_from=SETTLED_FROM,
            paper="02/2024/HĐ-MC",
            entitlements=(Entitlement(own, share_bp=10_000),),
            fees=fees,
            vat_bp=800,
            fee_vat_bp=1_000,
            hold_back_bp=200,
            hold_back_days=7,
            rents=tuple(Rent(lot["number"], city, 40, 60_000, 10) for lot in lots),
        ),
    ):
        if said.service == "ticketing" or lots:
            id = await contract.propose(tx, said, staff_id=people["ketoan"], now=now)
            await contract.agree(tx, id, staff_id=people["quanly"], now=now)


async def _bank_details(tx: Tx) -> None:
    """Where each payee is paid, agreed long enough ago to be used."""
    people = {
        row["login"]: row["id"]
        for row in await tx.rows("select id, login from foundation.staff where operator_id = $1", tx.operator_id)
    }
    then = await clock.now(tx) - 2 * payee_account.COOLS_OFF
    for payee in await contract.payees(tx):
        bin, account, owner_name = PAID_TO[payee.kind]
        version = await payee_account.enter(
            tx,
            payee.id,
            bin=bin,
            account=account,
            owner_name=owner_name,
            contact="kế toán trưởng, 024 0000 0000",
            staff_id=people["ketoan"],
            now=then,
        )
        await payee_account.agree(tx, payee.id, version, staff_id=people["quanly"], told="", now=then)


async def _series(tx: Tx, code: str) -> None:
    """Invented symbols, as they look: a fee for a relic has a receipt, parking an invoice of the cash register with 8 % VAT."""
    now = await clock.now(tx)
    year, own = f"{clock.hanoi_day(now):%y}", {"vanmieu": "VM", "thanglong": "TL", "dongda": "DD"}[code]
    staff_id = await tx.value(
        "select id from foundation.staff where operator_id = $1 and login = 'ketoan'", tx.operator_id
    )
    services = await tx.rows(
        "select distinct service from foundation.place where operator_id = $1 order by service", tx.operator_id
    )
    terms = {"ticketing": ("receipt", "01BLP", f"{own}-{year}E", 0), "parking": ("invoice", "1", f"C{year}M{own}", 800)}
    for row in services:
        kind, form, symbol, vat_bp = terms[row["service"]]
        await fiscal_series.add(
            tx,
            service=row["service"],
            valid_from=clock.hanoi_day(now).replace(month=1, day=1),
            kind=kind,
            form=form,
            symbol=symbol,
            vat_bp=vat_bp,
            staff_id=staff_id,
            now=now,
        )


async def _people(tx: Tx, code: str) -> None:
    await add_staff(tx, login="01", name="Nguyễn Thị An", roles=["attendant"], secret=PIN)
    await add_staff(tx, login="02", name="Trần Văn Bình", roles=["attendant", "supervisor"], secret=PIN)
    await add_staff(tx, login="ketoan", name="Lê Thu Cúc", roles=["finance"], secret=PASSWORD)
    await add_staff(tx, login="quanly", name="Phạm Quốc Dũng", roles=["manager"], secret=PASSWORD)


async def _van_mieu(tx: Tx) -> None:
    await open_site(
        tx,
        place=PlaceView(
            VANMIEU,
            1,
            "VANMIEU",
            "ticketing",
            "Văn Miếu – Quốc Tử Giám",
            "Temple of Literature",
            "58 Quốc Tử Giám",
            "00226",
        ),
        slug="van-mieu",
        opens_minute=0,
        closes_minute=24 * 60,  # sources disagree about the hours, and a demo is played at any time of day
        offers=[
            OfferView(ENTRANCE, date(2014, 1, 1), date(2024, 1, 1), 30_000, "Vé tham quan", "Entrance"),
            OfferView(ENTRANCE, date(2024, 1, 1), None, 70_000, "Vé tham quan", "Entrance"),
        ],
    )
    await open_lot(
        tx,
        place=PlaceView(
            VANMIEU,
            2,
            "VM1",
            "parking",
            "Bãi xe máy Văn Miếu",
            "Temple of Literature motorbike lot",
            "58 Quốc Tử Giám",
            "00226",
        ),
        capacity=200,
        grace_minutes=15,
        tariffs=[
            TariffView(VehicleClass.MOTORBIKE, 1, date(2018, 1, 1), None, MOTORBIKE_RULE, "Xe máy", "Motorbike"),
            TariffView(VehicleClass.BICYCLE, 2, date(2018, 1, 1), None, BICYCLE_RULE, "Xe đạp", "Bicycle"),
        ],
    )


async def _thang_long(tx: Tx) -> None:
    await open_site(
        tx,
        place=PlaceView(
            THANGLONG,
            3,
            "THANGLONG",
            "ticketing",
            "Hoàng thành Thăng Long",
            "Imperial Citadel of Thang Long",
            "19C Hoàng Diệu",
            "00004",
        ),
        slug="thang-long",
        opens_minute=0,
        closes_minute=24 * 60,  # sources disagree about the hours, and a demo is played at any time of day
        offers=[
            OfferView(ENTRANCE, date(2014, 1, 1), date(2024, 1, 1), 30_000, "Vé tham quan", "Entrance"),
            OfferView(ENTRANCE, date(2024, 1, 1), date(2025, 1, 1), 70_000, "Vé tham quan", "Entrance"),
            OfferView(ENTRANCE, date(2025, 1, 1), None, 100_000, "Vé tham quan", "Entrance"),
        ],
    )


async def _dong_da(tx: Tx) -> None:
    await open_lot(
        tx,
        place=PlaceView(
            DONGDA, 4, "DD1", "parking", "Bãi ô tô Đống Đa", "Dong Da car park", "Phố Đặng Văn Ngữ", "00235"
        ),
        capacity=60,
        grace_minutes=15,
        tariffs=[
            TariffView(
                VehicleClass.CAR,
                1,
                date(2018, 1, 1),
                None,
                {
                    "kind": "hour_bands",
                    "bands": [
                        {"up_to_hour": 2, "price_vnd": 25_000},
                        {"up_to_hour": 4, "price_vnd": 35_000},
                        {"up_to_hour": None, "price_vnd": 45_000},
                    ],
                },
                "Ô tô đến 9 chỗ",
                "Car, up to 9 seats",
            )
        ],
    )


PLACES = {VANMIEU: _van_mieu, THANGLONG: _thang_long, DONGDA: _dong_da}
