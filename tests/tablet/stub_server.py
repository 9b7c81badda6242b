"""An in-memory device API to look at the tablet's screens with; nothing tests against it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from types import SimpleNamespace

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from foundation import pages, qr, web  # noqa: E402

HOUSE = pages.HOUSE
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
       "font-src 'self'; manifest-src 'self'; worker-src 'self'; media-src 'self'; form-action 'self'; "
       "frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
app = FastAPI(docs_url=None, redoc_url=None)
CODE = "AEAAABM2" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567ABCDEFGH"
CODES = {k: "AE" + (k.upper() + "A" * 46)[:46].translate(str.maketrans("0189_", "ABCDE")) for k in
         ["valid", "group", "used", "unpaid", "wrongplace", "wrongday", "unknown", "revoked", "partial", "slow", "boom"]}
SHORT = "ABCDE FGHJK"
SITE = {"number": 1, "code": "vanmieu", "service": "ticketing", "name_vi": "Văn Miếu – Quốc Tử Giám", "name_en": "Temple of Literature",
        "categories": [
            {"code": "adult", "name_vi": "Người lớn", "name_en": "Adult", "proof_vi": "", "proof_en": "", "price_vnd": 70000},
            {"code": "student", "name_vi": "Học sinh, sinh viên từ 16 tuổi", "name_en": "Student from 16", "proof_vi": "xem thẻ", "proof_en": "check the card", "price_vnd": 35000},
            {"code": "child", "name_vi": "Trẻ em dưới 16 tuổi", "name_en": "Child under 16", "proof_vi": "", "proof_en": "", "price_vnd": 0}]}
LOT = {"number": 2, "code": "vanmieu-xe", "service": "parking", "name_vi": "Bãi xe máy Văn Miếu", "name_en": "Văn Miếu motorbike lot",
       "classes": [{"code": "motorbike", "name_vi": "Xe máy", "name_en": "Motorbike"}, {"code": "car", "name_vi": "Ô tô", "name_en": "Car"},
                   {"code": "bicycle", "name_vi": "Xe đạp", "name_en": "Bicycle"}]}
STATE: dict[str, Any] = {"shift": None, "paid": False, "seen": {}, "lot2": False, "down": False}


@app.middleware("http")
async def csp(request: Request, call_next: Any) -> Response:
    if STATE["down"] and request.url.path.startswith("/api/v1/device"):
        return Response("bad gateway", 502)
    answer = await call_next(request)
    answer.headers["content-security-policy"] = CSP
    return answer


def now() -> str:
    return datetime.now(UTC).isoformat()


def problem(status: int, code: str, title: str, **more: Any) -> JSONResponse:
    return JSONResponse({"status": status, "code": code, "title": title, **more}, status, media_type="application/problem+json")


def places() -> list[Any]:
    return [SITE, LOT] + ([{**LOT, "number": 3, "code": "dongda", "name_vi": "Bãi ô tô Đống Đa", "name_en": "Đống Đa car park"}] if STATE["lot2"] else [])


@app.post("/control")
async def control(request: Request) -> Any:
    STATE.update(await request.json())
    return {}


@app.post("/api/v1/device/enrol")
async def enrol(request: Request) -> Any:
    if "BAD" in (await request.json())["code"]:
        return problem(403, "enrolment_refused", "Mã kích hoạt này không đúng, đã được dùng hoặc đã hết hạn; hãy xin mã mới.")
    return {"device_token": "d", "device_name": "Cổng chính 1", "operator": {"code": "vanmieu", "name_vi": "Trung tâm Văn Miếu", "name_en": "Văn Miếu Centre"}, "places": places()}


@app.post("/api/v1/device/login")
async def login(request: Request) -> Any:
    body = await request.json()
    if body["pin"] != "123456":
        return problem(401, "wrong_login", "Tên hoặc mật mã không đúng.")
    return {"session_token": "s", "attendant": {"login": body["login"], "name": "Nguyễn Thị Hạnh"}, "expires_at": now(), "places": places(), "shift": STATE["shift"]}


@app.post("/api/v1/device/logout", status_code=204)
async def logout() -> None:
    return None


@app.get("/api/v1/device/me")
async def me() -> Any:
    return {"attendant": {"login": "07", "name": "Nguyễn Thị Hạnh"}, "device_name": "Cổng chính 1", "places": places(), "shift": STATE["shift"], "now": now()}


@app.post("/api/v1/device/scan")
async def scan(request: Request) -> Any:
    body = await request.json()
    assert {"id", "counter", "at", "place", "code", "heads"} == set(body), body
    kind = next((k for k, c in CODES.items() if c == body["code"]), "valid" if len(body["code"]) == 10 else "unknown")
    lines = [{"category": "adult", "name_vi": "người lớn", "name_en": "adults", "heads": 2, "proof_vi": "", "proof_en": ""},
             {"category": "student", "name_vi": "học sinh", "name_en": "student", "heads": 1, "proof_vi": "xem thẻ", "proof_en": "check the card"}]
    base = {"verdict": kind, "short": SHORT, "heads": 3, "admitted_now": 0, "admitted_total": 0, "lines": lines, "first_used_at": None, "last_used_at": None, "last_used_where": None, "day": "2026-11-21", "place_name_vi": None, "place_name_en": None}
    if kind == "valid":
        return {**base, "heads": 1, "admitted_now": 1, "admitted_total": 1, "lines": lines[:1]}
    if kind == "group":
        take = body["heads"] or 3
        return {**base, "verdict": "valid", "admitted_now": take, "admitted_total": take}
    if kind == "used":
        return {**base, "admitted_total": 3, "first_used_at": now(), "last_used_at": now(), "last_used_where": "Cổng sau 2"}
    if kind == "partial":
        if body["heads"] == 2:
            return {**base, "verdict": "valid", "admitted_now": 2, "admitted_total": 3}
        return {**base, "verdict": "used", "admitted_total": 1}
    if kind == "unpaid":
        return {**base, "due_vnd": 175000}
    if kind == "wrongplace":
        return {**base, "verdict": "wrong_place", "place_name_vi": "Hoàng thành Thăng Long", "place_name_en": "Thăng Long Citadel"}
    if kind == "wrongday":
        return {**base, "verdict": "wrong_day", "day": "2026-11-28"}
    if kind == "boom":
        return problem(403, "place_not_yours", "Máy tính bảng này không làm việc tại địa điểm đó.")
    return base


STAY = {"id": "0", "code_url": "HTTP://LOCALHOST:8077/T/" + "BB" + "A" * 46, "short": SHORT, "plate": "29-B1 123.45", "vehicle_class": "motorbike", "entered_at": (datetime.now(UTC) - timedelta(hours=3)).isoformat(), "tariff_vi": "5.000 ₫ ban ngày, 8.000 ₫ ban đêm", "tariff_en": "5,000 ₫ by day, 8,000 ₫ by night"}


@app.post("/api/v1/device/vehicles/in")
async def vin(request: Request) -> Any:
    body = await request.json()
    if body["plate"] == "FULL":
        return problem(409, "lot_full", "Bãi xe đã hết chỗ.")
    return {"verdict": "already_in" if body["plate"] == "AGAIN" else "in", "stay": {**STAY, "plate": body["plate"], "vehicle_class": body["vehicle_class"], "entered_at": now()}, "warnings": ["plate_unknown"] if body["plate"] and len(body["plate"]) < 6 else []}


@app.post("/api/v1/device/vehicles/find")
async def vfind(request: Request) -> Any:
    body = await request.json()
    if "NONE" in str(body):
        return {"stays": []}
    fee = {"fee_vnd": 5000, "due_vnd": 5000, "parts_vi": "1 lượt ban ngày", "parts_en": "1 day visit"}
    return {"stays": [{**STAY, **fee}, {**STAY, **fee, "id": "1", "plate": "30A-123.45", "vehicle_class": "car", "fee_vnd": 75000, "due_vnd": 0}]}


@app.post("/api/v1/device/vehicles/out")
async def vout(request: Request) -> Any:
    body = await request.json()
    code = body.get("code") or ""
    if "ALREADYLEFT" in code:
        return {"verdict": "already_left", "stay": STAY, "fee_vnd": 5000, "due_vnd": 0, "left_at": now()}
    if "UNKNOWN" in code:
        return {"verdict": "unknown"}
    if STATE["paid"]:
        STATE["paid"] = False
        return {"verdict": "left", "stay": STAY, "fee_vnd": 5000, "due_vnd": 0, "left_at": now(), "may_leave_until": None}
    return {"verdict": "unpaid", "stay": {**STAY, "parts_vi": "1 lượt ban ngày", "parts_en": "1 day visit"}, "fee_vnd": 5000, "due_vnd": 5000, "left_at": None, "may_leave_until": None}


PAY = {"reference": "MC7K2ABCDE4", "vietqr": "0002", "account": "19034567890123", "bin": "970407", "payee": "TT VAN MIEU QUOC TU GIAM", "amount_vnd": 5000}


@app.post("/api/v1/device/cash/stay")
async def cstay(request: Request) -> Any:
    body = await request.json()
    STATE["paid"] = True
    return {"receipt_number": "VM-2026-000123", "amount_vnd": body["amount_vnd"], "proxy": body["proxy"], "pay": PAY if body["proxy"] else None, "may_leave_until": now()}


@app.post("/api/v1/device/cash/ticket")
async def cticket(request: Request) -> Any:
    body = await request.json()
    return {"receipt_number": "VM-2026-000124", "amount_vnd": body["amount_vnd"], "code_url": "HTTP://LOCALHOST:8077/T/" + CODES["valid"], "short": SHORT, "heads": sum(body["heads"].values()), "pay": {**PAY, "amount_vnd": body["amount_vnd"]} if body["proxy"] else None}


@app.post("/api/v1/device/shift/open")
async def sopen(request: Request) -> Any:
    body = await request.json()
    STATE["shift"] = {"id": "x", "number": 41, "place": body["place"], "opened_at": now(), "float_vnd": body["float_vnd"], "receipts": 0}
    return STATE["shift"]


@app.post("/api/v1/device/shift/close")
async def sclose(request: Request) -> Any:
    body = await request.json()
    STATE["shift"] = None
    return {"number": 41, "float_vnd": 500000, "cash_vnd": 175000, "proxy_vnd": 5000, "expected_vnd": 675000, "counted_vnd": body["counted_vnd"], "difference_vnd": body["counted_vnd"] - 675000, "receipts": 3}


@app.get("/T/{code}/qr.svg")
@app.get("/pay/{code}/qr.svg")
async def picture(code: str) -> Response:
    return Response(qr.svg("HTTPS://MOTCHAM.VN/T/" + code), media_type="image/svg+xml")


@app.get("/", response_class=HTMLResponse)
async def home(request: Request) -> Response:
    return pages.render(request, "foundation/home.html", places=[{"code": "vanmieu", "service": "ticketing", "name": "Văn Miếu – Quốc Tử Giám"}, {"code": "thanglong", "service": "ticketing", "name": "Hoàng thành Thăng Long"}, {"code": "vanmieu-xe", "service": "parking", "name": "Bãi xe máy Văn Miếu"}, {"code": "dongda", "service": "parking", "name": "Bãi ô tô Đống Đa"}])


@app.get("/refusal", response_class=HTMLResponse)
async def refusal(request: Request) -> Response:
    return pages.render(request, "foundation/refusal.html", status=403, refusal=web.FormExpired())


@app.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> Response:
    return pages.render(request, "foundation/docs.html", openapi=app.openapi())


app.get("/language/{code}")(web.choose_language)


@app.get("/kit", response_class=HTMLResponse)
async def kit(request: Request) -> Response:
    return pages.render(request, "foundation/_kit.html")


app.state.settings = SimpleNamespace(secure=False)
app.state.platform = SimpleNamespace(settings=app.state.settings)
app.mount("/tablet", StaticFiles(directory=HOUSE / "tablet", html=True))
app.mount("/static", StaticFiles(directory=HOUSE / "foundation" / "static"))

if __name__ == "__main__":
    uvicorn.run(app, port=8077, log_level="warning")
