"""Assembles the ASGI app: what a process holds, permissions, headers, problems, health.

A service hands in its routers and templates; this room knows nothing of them. A route without a declared permission
(`@permit`) stops the app from starting.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, FastAPI, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import BeforeValidator
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation import code as codes
from foundation import directory, pages, qr, refill, strict_json, texts
from foundation.code import CodeKeys, Kind, TicketCode
from foundation.database import Database, Tx
from foundation.device import Attendant
from foundation.errors import BadPayload, Forbidden, LoginNeeded, NotFound, Refusal, TryAgain, refusal_of_constraint
from foundation.limits import Limits
from foundation.live import Live
from foundation.money import CHARGE_MAX_VND
from foundation.seal import Sealer
from foundation.settings import Settings
from foundation.staff import OnDuty, Token, who_is_on_duty

log = logging.getLogger("motcham.web")
BODY_MAX_BYTES = 64 * 1024
PUBLIC = "public"
REFUSAL = {"description": "A refusal (RFC 9457)", "content": {"application/problem+json": {}}}
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


HotAct = Callable[..., Awaitable[Response]]
ShowCode = Callable[[Request, "Platform", UUID, TicketCode], Awaitable[Response]]
TabletFacts = Callable[[Tx, Attendant | None, Sequence[int], datetime], Awaitable[dict[str, Any]]]


@dataclass
class Service:
    """What a service gives to the app.

    `shows`: who draws the page behind `/T/<code>` for codes of a kind. `tablet`: what a tablet at some places needs to
    know of this service, e.g. `{"places": [...]}`.
    """

    name: str
    routers: Sequence[APIRouter]
    static: dict[str, Path] = field(default_factory=dict)
    shows: dict[Kind, ShowCode] = field(default_factory=dict)
    tablet: TabletFacts | None = None


@dataclass
class Platform:
    """What a process holds while it runs; everything that can be opened is opened in `running`."""

    settings: Settings
    database: Database
    live: Live
    limits: Limits
    sealer: Sealer
    codes: CodeKeys
    city: Database | None = None


# What `Depends` asks for is async throughout: a plain function would be sent to a thread and back at every request.


async def platform(request: Request) -> Platform:
    """The platform of this request, for `Depends`."""
    found: Platform = request.app.state.platform
    return found


Here = Annotated[Platform, Depends(platform)]


async def _language(request: Request) -> str:
    return pages.language_of(request)


Language = Annotated[str, Depends(_language)]


def _digits(typed: object) -> object:
    """In a form, `35.000` is thirty-five thousand for one reader and thirty-five for another: only digits are read."""
    if isinstance(typed, str) and not (typed.isascii() and typed.isdigit()):
        raise ValueError("please write the amount in digits only, e.g. 35000")
    return typed


FormVnd = Annotated[int, BeforeValidator(_digits), Form(ge=1, le=CHARGE_MAX_VND)]
"""An amount in a form, in VND."""


def permit(permission: str) -> Callable[[Endpoint], Endpoint]:
    """Declares who may call a route: `public`, `device` (an enrolled tablet), or a staff permission."""

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.permission = permission  # type: ignore[attr-defined]
        return endpoint

    return declare


def hot(endpoint: Endpoint) -> Endpoint:
    """Marks a hot act: `endpoint(request, here, …)` reads its body and query itself and answers a Response.

    It also takes what its address names, as text, and a tablet's its `token`. Such a route is reached by the short way
    (`Guard`).
    """
    endpoint.hot = True  # type: ignore[attr-defined]
    return endpoint


def takes_file(most_bytes: int) -> Callable[[Endpoint], Endpoint]:
    """Marks a route (of a plain path) whose form carries a file of so many bytes at most, whatever stands in it."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.file_max_bytes = most_bytes  # type: ignore[attr-defined]
        return endpoint

    return mark


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form as browsers send it, for the hot acts; the framework's own reading takes ten times as long.

    Raises BadPayload.
    """
    try:
        return dict(
            parse_qsl((await request.body()).decode(), keep_blank_values=True, errors="strict", max_num_fields=200)
        )
    except ValueError as error:
        raise BadPayload(reason="not a form") from error


def answer(value: object) -> Response:
    """What a hot act answers, as JSON; `json.dumps` takes six times as long."""
    return Response(to_json(value), media_type="application/json")


def session_cookie(settings: Settings) -> str:
    """`__Host-` binds the cookie to this host over TLS; plain http (the demo) cannot carry the prefix."""
    return "__Host-motcham" if settings.secure else "motcham"


async def staff(request: Request, here: Here) -> OnDuty:
    """Who is logged in, with the permission this route declares. Raises LoginNeeded, Forbidden."""
    token = Token.read(request.cookies.get(session_cookie(here.settings)))
    if token is None:
        raise LoginNeeded()
    async with here.database.transaction(token.operator_id) as tx:
        person = await who_is_on_duty(tx, token)
    if request.scope["route"].endpoint.permission not in person.permissions:
        raise Forbidden()
    if request.method not in ("GET", "HEAD"):
        sent = request.headers.get("x-csrf-token") or (await request.form()).get("csrf")
        if sent != person.csrf:
            raise FormExpired()
    return person


Clerk = Annotated[OnDuty, Depends(staff)]


async def bearer(request: Request) -> Token:
    """The token of an `Authorization: Bearer` header. Raises LoginNeeded."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    token = Token.read(value) if scheme.lower() == "bearer" else None
    if token is None:
        raise LoginNeeded()
    return token


Bearer = Annotated[Token, Depends(bearer)]


class FormExpired(Refusal):
    """This form is no longer valid; go back, load the page again and send it once more."""

    status = 403


class ForeignOrigin(Refusal):
    """This request came from another site and was not carried out."""

    status = 403


class NoSuchCode(NotFound):
    """This code is not one of ours, or it was not read completely."""


class TooLarge(Refusal):
    """What was sent is too large."""

    status = 413


class WrongMethod(Refusal):
    """This address does not answer to that method."""

    status = 405


class NotReadyYet(Refusal):
    """The platform is not ready yet; try again in a moment."""

    status = 503


class SomethingBroke(Refusal):
    """Something went wrong on our side; nothing was lost. Please try again."""

    status = 500


def create_app(
    settings: Settings,
    services: Sequence[Service],
    running: Callable[[], Any],
) -> FastAPI:
    """The app of the services in `settings.services`. `running()` is an async context that yields the Platform."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running() as held:
            app.state.platform = held
            yield

    app = FastAPI(
        title="Một Chạm",
        version="1",
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=True,
        # A path may hold a code, and whoever has a code may use it: none goes into the framework's traces.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.services = services
    # Straight into the app: an included router is searched twice at every request, and slowly.
    for router in [own_routes, *(router for service in services for router in service.routers)]:
        app.router.routes.extend(router.routes)
    for service in services:
        for path, folder in service.static.items():
            app.mount(path, StaticFiles(directory=folder, html=True), name=f"{service.name}:{path}")
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    refuse_undeclared(app)
    for route in all_routes(app):
        route.unique_id = route.name
        route.responses = {"default": REFUSAL, **route.responses}
        route.summary = texts.catalogue("en").get(f"docs.operation.{route.name}")
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(asyncpg.PostgresError, _database)
    app.add_exception_handler(asyncpg.DataError, _unstorable)
    app.add_exception_handler(Exception, _broken)
    files = {route.path: most for route in all_routes(app) if (most := getattr(route.endpoint, "file_max_bytes", None))}
    app.add_middleware(Guard, settings=settings, hot=HotActs(all_routes(app)), files=files)
    return app


def refuse_undeclared(app: FastAPI) -> None:
    """Stops the start if a route has no permission, or one that nothing enforces."""
    for route in all_routes(app):
        permission = getattr(route.endpoint, "permission", None)
        if permission is None:
            raise RuntimeError(f"{route.path} declares no permission; say @permit(...)")
        asked = {d.call for d in _dependants(route.dependant)}
        if permission not in (PUBLIC, "device", "bank") and staff not in asked:
            raise RuntimeError(f"{route.path} declares {permission} but nobody asks who is there (Clerk)")
        if permission == "device" and bearer not in asked:
            raise RuntimeError(f"{route.path} declares device but takes no bearer token")


def all_routes(app: FastAPI) -> list[APIRoute]:
    """Every route of ours."""
    return [route for route in app.routes if isinstance(route, APIRoute)]


class HotActs:
    """The hot acts by method and path, for the guard to call straight away.

    The framework's search for the route, its dependencies and the layers in between cost as much as the whole act. The
    declared route stays behind for the description of the interfaces and for `refuse_undeclared`.
    """

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self.by_path: dict[tuple[str, str], HotAct] = {}
        self.by_shape: dict[tuple[str, str, int], list[APIRoute]] = {}
        """Routes whose path looks like that of a hot act with names in it, in the order in which they are declared."""
        for route in routes:
            if hasattr(route.endpoint, "hot"):
                permission = getattr(route.endpoint, "permission", None)
                if permission not in (PUBLIC, "device", "bank"):
                    raise RuntimeError(f"{route.path} is hot, but nobody asks there for {permission}")
                for method in route.methods or ():
                    if route.param_convertors:
                        self.by_shape[method, *_shape(route.path)] = []
                    else:
                        self.by_path[method, route.path] = route.endpoint
        for route in routes:
            for method in route.methods or ():
                if (alike := self.by_shape.get((method, *_shape(route.path)))) is not None:
                    alike.append(route)

    def find(self, method: str, path: str) -> tuple[HotAct, dict[str, Any]] | None:
        """The act, if the framework would choose its route as well, and what the path names."""
        act = self.by_path.get((method, path))
        if act is not None:
            return act, {}
        for route in self.by_shape.get((method, *_shape(path)), ()):
            if named := route.path_regex.match(path):
                return (route.endpoint, named.groupdict()) if hasattr(route.endpoint, "hot") else None
        return None


def _shape(path: str) -> tuple[str, int]:
    """The first segment and how many there are: nothing that a path names has a slash in it."""
    return path[: path.find("/", 1)], path.count("/")


async def _straight(act: HotAct, request: Request, named: dict[str, Any]) -> Response:
    """What a hot act answers, with what its route declares to depend on and with the app's handlers of errors."""
    try:
        if act.permission == "device":  # type: ignore[attr-defined]
            named["token"] = await bearer(request)
        return await act(request, await platform(request), **named)
    except Refusal as refusal:
        return await _refused(request, refusal)
    except asyncpg.DataError as error:
        return await _unstorable(request, error)
    except asyncpg.PostgresError as error:
        return await _database(request, error)


def _dependants(dependant: Any) -> list[Any]:
    return [dependant, *(d for sub in dependant.dependencies for d in _dependants(sub))]


class Guard:
    """Around every request: size of the body, origin of unsafe requests, security headers, masked log.

    Behind it a hot act is called at once (`HotActs`), everything else by the framework's routing.
    """

    def __init__(self, app: ASGIApp, settings: Settings, hot: HotActs, files: Mapping[str, int]) -> None:
        self.app = app
        self.hot = hot
        self.files = files
        self.own_host = urlsplit(settings.public_url).netloc
        self.lax_host = settings.environment != "production"
        # A browser asks this also of where an answer to a form sends it: to the page on which a card is paid.
        gateway = urlsplit(settings.vnpay_page_url)
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "font-src 'self'; manifest-src 'self'; worker-src 'self'; media-src 'self'; "
            "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'self'"
        )
        self.policy = policy.encode()
        self.policy_to_pay = f"{policy} {gateway.scheme}://{gateway.netloc}".encode()
        self.headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]
        if settings.secure:
            self.headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        file_max = self.files.get(scope["path"])
        most_bytes = BODY_MAX_BYTES + (file_max or 0)
        refusal = self._refusal(scope["method"], headers, most_bytes)
        if b"%00" in scope["query_string"] or not scope["path"].isprintable():
            refusal = refusal or BadPayload(reason="a character nobody types")
        kind = headers.get(b"content-type", b"").lower()
        is_form = kind.startswith((b"application/x-www-form-urlencoded", b"multipart/form-data"))
        if is_form and b"charset" in kind and b"utf-8" not in kind:
            refusal = refusal or BadPayload(reason="not UTF-8")
        if refusal is not None:
            request = Request(scope)
            await (await _refused(request, refusal))(scope, receive, self._sender(scope, send))
            return
        taken, whole = 0, False

        async def bounded() -> Message:
            nonlocal taken, whole
            message = await receive()
            if message["type"] == "http.disconnect" and not whole:
                raise BadPayload(reason="it breaks off")  # whoever sent it is gone; nothing of ours is broken
            if message["type"] == "http.request":
                taken, whole = taken + len(message.get("body", b"")), not message.get("more_body")
                if taken > most_bytes:
                    raise TooLarge()
                if is_form and not file_max and (b"%00" in message["body"] or b"\x00" in message["body"]):
                    raise BadPayload(reason="a character nobody types")
            return message

        found = self.hot.find(scope["method"], scope["path"])
        if found is not None:
            act, named = found
            answer = await _straight(act, Request(scope, bounded), named)
            await answer(scope, receive, self._sender(scope, send))
            return
        await self.app(scope, bounded, self._sender(scope, send))

    def _refusal(self, method: str, headers: dict[bytes, bytes], most_bytes: int) -> Refusal | None:
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > most_bytes:
            return TooLarge()
        # Browsers say where an unsafe request comes from; programs (tablet app, bank) carry tokens instead. Under
        # `no-referrer` a form's Origin is "null", so the fetch metadata, which no page can forge, is asked first.
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return None if site in (b"same-origin", b"none") else ForeignOrigin()
        origin = headers.get(b"origin")
        if origin is not None:
            host = urlsplit(origin.decode("latin-1")).netloc
            allowed = {self.own_host} | ({headers.get(b"host", b"").decode("latin-1")} if self.lax_host else set())
            if host not in allowed:
                return ForeignOrigin()
        return None

    def _sender(self, scope: Scope, send: Send) -> Send:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                policy = self.policy_to_pay if scope["path"].startswith("/pay/") else self.policy
                # Codes are bearer secrets and stand in addresses; those of an office's pages tell us where a form came from.
                told = b"same-origin" if scope["path"].startswith(refill.OFFICES) else b"no-referrer"
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", policy),
                    (b"referrer-policy", told),
                    *self.headers,
                ]
                if message["status"] >= 400:
                    log.info("%s %s %s", scope["method"], mask(scope["path"]), message["status"])
            await send(message)

        return with_headers


def mask(path: str) -> str:
    """A path fit for a log: long segments are codes and tokens, that is bearer secrets."""
    return "/".join(part if len(part) < 20 else f"{part[:4]}…" for part in path.split("/"))


def problem(request: Request, refusal: Refusal) -> Response:
    """A refusal as `application/problem+json` in the reader's language."""
    body = {
        "type": "about:blank",
        "status": refusal.status,
        "code": refusal.code,
        "title": texts.refusal_text(pages.language_of(request), refusal),
        **refusal.told,
    }
    return JSONResponse(body, refusal.status, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    path = request.scope["path"]
    if isinstance(error, LoginNeeded) and path.startswith(("/finance", "/manage")):
        return RedirectResponse(f"/finance/login?next={quote(path)}", 303)
    if path.startswith("/api/"):
        answer = problem(request, error)
    else:
        answer = await refill.page_again(request, error) or pages.render(
            request, "foundation/refusal.html", status=error.status, refusal=error
        )
    if error.retry_after_s is not None:
        answer.headers["retry-after"] = str(error.retry_after_s)
    return answer


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _refused(request, BadPayload(reason=strict_json.explain(error.errors())))


async def _unstorable(request: Request, error: Exception) -> Response:
    """A number or a character that no column holds: whoever sent it is told so, and nobody's log repeats it."""
    log.warning("%s %s: %s", request.method, mask(request.scope["path"]), type(error).__name__)
    return await _refused(request, BadPayload(reason="a value that cannot be"))


async def _database(request: Request, error: Exception) -> Response:
    """A violated constraint that has a name among our refusals is that refusal; anything else is a defect."""
    if isinstance(error, (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)):
        # Two requests wanted the same rows; nothing was written by this one, and it may be sent again as it is.
        return await _refused(request, TryAgain())
    refusal = refusal_of_constraint(getattr(error, "constraint_name", None))
    return await (_refused(request, refusal) if refusal else _broken(request, error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Refusal):  # raised while FastAPI was reading the body
        return await _refused(request, error.__cause__)
    known: dict[int, type[Refusal]] = {404: NotFound, 405: WrongMethod, 413: TooLarge, 403: Forbidden}
    return await _refused(request, known[error.status_code]() if error.status_code in known else BadPayload(reason=""))


async def _broken(request: Request, error: Exception) -> Response:
    log.exception("%s %s broke", request.method, mask(request.url.path), exc_info=error)
    return await _refused(request, SomethingBroke())


own_routes = APIRouter(route_class=strict_json.StrictRoute)


@own_routes.get("/healthz", include_in_schema=False)
@permit(PUBLIC)
async def healthz() -> PlainTextResponse:
    return PlainTextResponse("ok")


@own_routes.get("/readyz", include_in_schema=False)
@permit(PUBLIC)
async def readyz(here: Here) -> PlainTextResponse:
    """Ready when the database answers and is not replaying its log."""
    if await here.database.value("select pg_is_in_recovery()"):
        raise NotReadyYet()
    return PlainTextResponse("ready")


@own_routes.get("/language/{code}", include_in_schema=False)
@permit(PUBLIC)
async def choose_language(request: Request, code: str, back: str = "/") -> Response:
    """Remembers the reader's language and goes back to a page of ours (never to another site)."""
    local = back if back.startswith("/") and not back.startswith(("//", "/\\")) else "/"
    answer = RedirectResponse(local, 303)
    if code in texts.languages():
        answer.set_cookie("lang", code, max_age=31_536_000, samesite="lax", secure=request.app.state.settings.secure)
    return answer


@own_routes.get("/", include_in_schema=False)
@permit(PUBLIC)
async def home(request: Request, here: Here) -> Response:
    """Choose your way in."""
    operators = await here.database.rows("select distinct operator_id from foundation.directory where kind = 'place'")
    places: list[Any] = []
    for row in operators:
        async with here.database.transaction(row["operator_id"]) as tx:
            places += await tx.rows(
                "select code, service, case when $2 = 'vi' then name_vi else name_en end as name from foundation.place"
                " where operator_id = $1",
                tx.operator_id,
                pages.language_of(request),
            )
    return pages.render(request, "foundation/home.html", places=sorted(places, key=lambda place: place["code"]))


async def behind(here: Platform, text: str) -> tuple[UUID, TicketCode, str]:
    """The operator and content of a code of ours, from its signature and the directory. Raises NoSuchCode."""
    try:
        signed = codes.read(text)
        found = here.codes.verify(signed)
    except (codes.CodeForged, codes.CodeUnreadable) as error:
        raise NoSuchCode() from error
    operator_id = await directory.whose(here.database, "place", str(found.place))
    if operator_id is None:
        raise NoSuchCode()
    return operator_id, found, signed


@own_routes.get("/T/{text}", include_in_schema=False)
@permit(PUBLIC)
@hot
async def page_of_code(request: Request, here: Here, text: str) -> Response:
    """The page behind a code, drawn by the service whose kind of code it is."""
    operator_id, found, _ = await behind(here, text)
    for service in request.app.state.services:
        if found.kind in service.shows:
            answer: Response = await service.shows[found.kind](request, here, operator_id, found)
            return answer
    raise NoSuchCode()


@own_routes.get("/T/{text}/qr.{form}", include_in_schema=False)
@permit(PUBLIC)
async def picture_of_code(here: Here, text: str, form: str) -> Response:
    """A code as a picture, to save or to show."""
    _, _, signed = await behind(here, text)
    url = codes.as_url(here.settings.public_url, signed)
    headers = {"cache-control": "private, max-age=86400"}
    if form == "svg":
        return Response(qr.svg(url), media_type="image/svg+xml", headers=headers)
    return Response(qr.ticket_png(url), media_type="image/png", headers=headers)


@own_routes.get("/docs", include_in_schema=False)
@permit(PUBLIC)
async def docs(request: Request) -> Response:
    """The interfaces, readable without JavaScript and without anything from elsewhere."""
    return pages.render(request, "foundation/docs.html", openapi=request.app.openapi())


def events(here: Platform, channel: str, state: Callable[[], Coroutine[Any, Any, str]], seen: str) -> StreamingResponse:
    """Server-sent events: one `change` as soon as `state()` differs from what the page has `seen`.

    The channel is listened to before the state is read, so a change between page and stream is not missed.
    """

    async def stream() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for changed in here.live.changes(channel, seconds=15):
            if await state() != seen:
                yield "event: change\ndata: 1\n\n"
                return
            if not changed:
                yield ": still here\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})
