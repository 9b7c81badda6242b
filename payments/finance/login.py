"""Logging in with a password, in a browser: `ketoan@vanmieu`, one operator per login."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import directory, pages, staff
from foundation.database import NOBODY
from foundation.errors import Refusal
from foundation.limits import TooManyTries, address_of
from foundation.staff import PERMISSIONS, Token, WrongLogin
from foundation.web import PUBLIC, Clerk, Here, Platform, permit, session_cookie

routes = APIRouter(tags=["finance"], include_in_schema=False)
HOME = "/finance/"


@routes.get("/finance/login")
@permit(PUBLIC)
async def login_page(request: Request, next: str = HOME) -> Response:
    """The form. `next` is the page to go to afterwards, one of ours."""
    return _form(request, next)


@routes.post("/finance/login")
@permit(PUBLIC)
async def log_in(
    request: Request,
    here: Here,
    login: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=200)] = "",
    next: Annotated[str, Form(max_length=500)] = HOME,
) -> Response:
    """Opens a session with a new secret. Unknown and wrong are one answer, and cost the same time."""
    login = login.strip()
    try:
        address = address_of(request)
        await here.limits.spend("20/minute", "finance login", address)
        # Per address, so that a stranger's guesses do not lock the clerk out; the wider bound stops many strangers.
        await here.limits.spend("5/minute", "finance login", login.casefold(), address)
        await here.limits.spend("200/hour", "finance login", login.casefold())
        token = await _open(here, login, password)
    except (WrongLogin, TooManyTries) as refusal:
        return _form(request, next, login=login, refusal=refusal)
    await _end(here, Token.read(request.cookies.get(session_cookie(here.settings))))
    answer = RedirectResponse(_local(next), 303)
    answer.set_cookie(
        session_cookie(here.settings), str(token), path="/", httponly=True, samesite="lax", secure=here.settings.secure
    )
    return answer


@routes.post("/finance/logout")
@permit("finance:read")
async def log_out(request: Request, here: Here, person: Clerk) -> Response:
    """Ends the session: a copy of its cookie is worthless from now on."""
    await _end(here, Token.read(request.cookies.get(session_cookie(here.settings))))
    answer = RedirectResponse("/finance/login", 303)
    answer.delete_cookie(session_cookie(here.settings), path="/")
    return answer


async def _open(here: Platform, login: str, password: str) -> Token:
    name, _, code = login.rpartition("@")
    operator_id = await directory.whose(here.database, "operator", code.lower()) or NOBODY
    async with here.database.transaction(operator_id) as tx:
        person = await staff.find_login(tx, name)
    # Hashing takes tens of milliseconds: no connection is held for it.
    right = await staff.verify_secret(password, person["secret_hash"] if person else None)
    # A PIN is for a tablet in a supervised place; it opens no browser.
    if person is None or not right or not any(_in_browser(role) for role in person["roles"]):
        raise WrongLogin()
    async with here.database.transaction(operator_id) as tx:
        return await staff.open_session(tx, staff_id=person["id"])


async def _end(here: Platform, token: Token | None) -> None:
    if token is not None:
        async with here.database.transaction(token.operator_id) as tx:
            await staff.close_session(tx, token)


def _in_browser(role: str) -> bool:
    return any(not permission.startswith("device:") for permission in PERMISSIONS[role])


def _form(request: Request, next: str, *, login: str = "", refusal: Refusal | None = None) -> Response:
    return pages.render(
        request,
        "finance/login.html",
        status=refusal.status if refusal else 200,
        login=login,
        next=_local(next),
        refusal=refusal,
    )


def _local(path: str) -> str:
    """A page of ours that can be opened by its address, never another site."""
    ours = path.startswith(("/finance/", "/manage")) and "\\" not in path and path.isprintable()
    return path if ours and not path.startswith(("/finance/login", "/finance/logout")) else HOME
