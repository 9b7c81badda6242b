"""A visitor's receipts and invoices: behind his own address with the form for a buyer, and one by one under their codes."""

from __future__ import annotations

import re
import secrets
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from foundation import clock, directory, pages, texts
from foundation.database import Tx
from foundation.errors import Refusal
from foundation.limits import TooManyTries, address_of
from foundation.web import PUBLIC, Here, Language, Platform, permit
from payments import fiscal
from payments import reference as references
from payments.finance.document import Column, Document, Fact, Table
from payments.finance.download import download
from payments.fiscal import ALPHABET, CODE_LENGTH, Buyer, NoSuchDocument
from payments.in_words import in_words
from payments.payment import ChargeView, NoSuchCharge, find
from payments.tax_code import TaxCodeUnreadable

routes = APIRouter(tags=["public"])
LOOK_UPS_PER_ADDRESS = "300/10minutes"
"""The phones of a whole mobile network may share an address; 100 random bits are not found by trying."""


@routes.get("/pay/{reference}/{token}/documents", include_in_schema=False)
@permit(PUBLIC)
async def documents_page(request: Request, here: Here, reference: str, token: str) -> Response:
    """The receipts and invoices of what was paid, and until midnight the form for who needs them in a firm's name."""
    return await _documents_page(request, here, reference, token)


@routes.post("/pay/{reference}/{token}/documents", include_in_schema=False)
@permit(PUBLIC)
async def name_buyer(
    request: Request,
    here: Here,
    reference: str,
    token: str,
    tax_code: Annotated[str, Form(max_length=30)] = "",
    name: Annotated[str, Form(max_length=300)] = "",
) -> Response:
    """The payer names a buyer; what was typed stays where it is refused."""
    operator_id = await _whose(here, reference)
    sent = {"tax_code": tax_code, "name": name}
    try:
        buyer = fiscal.buyer_of(tax_code, name)
        async with here.database.transaction(operator_id) as tx:
            owed, now = await _own(tx, reference, token), await clock.now(tx)
        await here.limits.spend(fiscal.BUYERS_PER_PAYMENT, "buyer", reference.upper())
        month = await here.sealer.ready(now)
        async with here.database.transaction(operator_id) as tx:
            named = (await fiscal.papers_of(tx, owed, now=now)).open
            for each in named or [owed]:
                await fiscal.name_buyer(tx, here.sealer, each, buyer, month=month, now=now)
    except (
        TaxCodeUnreadable,
        fiscal.BuyerNameless,
        fiscal.BuyerTooLate,
        fiscal.NothingToDocument,
        TooManyTries,
    ) as refusal:
        return await _documents_page(request, here, reference, token, sent, refusal)
    return RedirectResponse(f"/pay/{reference}/{token}/documents", 303)


@routes.get("/documents", include_in_schema=False)
@permit(PUBLIC)
async def look_up(request: Request, here: Here, code: str = "") -> Response:
    """Where a look-up code is typed; with one, on to its document."""
    if not code.strip():
        return pages.render(request, "payments/look_up.html", code="", refusal=None)
    try:
        # `vanmieu-2A3B4-…`: the operator's code, and the last twenty signs.
        bare = re.sub(r"[^0-9A-Za-z]", "", code)
        operator, own = bare[:-CODE_LENGTH].lower(), bare[-CODE_LENGTH:].upper()
        document, _ = await _found(request, here, operator, own)
    except (NoSuchDocument, TooManyTries) as refusal:
        return pages.render(request, "payments/look_up.html", status=refusal.status, code=code, refusal=refusal)
    return RedirectResponse(document.path, 303)


@routes.get("/documents/{operator}/{code}.pdf", include_in_schema=False)
@permit(PUBLIC)
async def document_pdf(request: Request, here: Here, language: Language, operator: str, code: str) -> Response:
    """A receipt or an invoice on paper."""
    document, printed = await _printed(request, here, language, operator, code)
    return await download(printed, "pdf", f"motcham-{document.symbol}-{document.number:08}", language)


@routes.get("/documents/{operator}/{code}", include_in_schema=False)
@permit(PUBLIC)
async def document_page(request: Request, here: Here, language: Language, operator: str, code: str) -> Response:
    """A receipt or an invoice, for whoever has its code."""
    document, printed = await _printed(request, here, language, operator, code)
    return pages.render(
        request,
        "payments/document.html",
        document=document,
        printed=printed,
        url=f"{here.settings.public_url}{document.path}",
    )


def as_document(
    document: fiscal.Document, buyer: Buyer | None, replaced: fiscal.Document | None, at: str, language: str
) -> Document:
    """What stands on it, for page and paper alike; `at`: where it can be looked up."""

    def t(key: str, **facts: object) -> str:
        return texts.text(language, f"pay.documents.{key}", **facts)

    facts = [
        Fact(t("form"), document.form),
        Fact(t("symbol"), document.symbol),
        Fact(t("number"), f"{document.number:08}"),
        Fact(t("issued_at"), document.issued_at, "moment"),
        Fact(t("issuer"), document.issuer),
        Fact(t("tax_code"), document.issuer_tax_code),
        Fact(t("buyer"), buyer.name if buyer else t("no_buyer")),
        *([Fact(t("buyer_tax_code"), buyer.tax_code)] if buyer else []),
        Fact(t("means"), texts.text(language, f"pay.documents.by.{document.means}")),
        Fact(t("sold_at"), document.sold_at, "moment"),
        Fact(t("reference"), document.reference),
    ]
    vat = document.kind == "invoice"
    rows: list[list[str | int | None]] = [[document.item, document.amount_vnd]]
    if vat:
        rows = [[document.item, document.net_vnd], [t("vat", percent=percent(document.vat_bp)), document.vat_vnd]]
    table = Table("", [Column(t("item")), Column(t("amount"), "money")], rows, [t("total"), document.amount_vnd])
    notes = [t("in_words", words=in_words(document.amount_vnd))]
    if replaced is not None:
        notes.append(t("replaces", which=replaced.called))
    if document.standing != "valid" and document.ended_at is not None:
        notes.append(t(document.standing, at=clock.moment_text(document.ended_at, language)))
    if document.kind == "invoice":
        notes.append(t("tax_office", code=document.tax_code) if document.tax_code else t("tax_office_waits"))
    notes.append(t("look_up", at=at, code=document.look_up))
    return Document(
        title=t(f"kind.{document.kind}"),
        issuer=document.issuer,
        made_at=document.issued_at,
        facts=facts,
        tables=[table],
        notes=notes,
    )


def percent(bp: int) -> str:
    """`8 %`, `8.25 %`."""
    return f"{bp / 100:g}"


async def _documents_page(
    request: Request,
    here: Platform,
    reference: str,
    token: str,
    sent: dict[str, str] | None = None,
    refusal: Refusal | None = None,
) -> Response:
    async with here.database.transaction(await _whose(here, reference)) as tx:
        owed, now = await _own(tx, reference, token), await clock.now(tx)
        papers = await fiscal.papers_of(tx, owed, now=now)
    buyers = {document.id: await fiscal.buyer_on(here.sealer, document) for document in papers.documents}
    return pages.render(
        request,
        "payments/documents.html",
        status=refusal.status if refusal else 200,
        owed=owed,
        papers=papers,
        buyers={id: buyer.for_all() for id, buyer in buyers.items() if buyer},
        sent=sent or {"tax_code": "", "name": ""},
        refusal=refusal,
    )


async def _whose(here: Platform, typed: str) -> UUID:
    key = typed.upper()
    operator_id = await directory.whose(here.database, "reference", key) if references.is_reference(key) else None
    if operator_id is None:
        raise NoSuchCharge()
    return operator_id


async def _own(tx: Tx, typed: str, token: str) -> ChargeView:
    """The charge behind the payer's own address. Raises NoSuchCharge."""
    owed = await find(tx, reference=typed.upper())
    if not secrets.compare_digest(token.encode(), owed.token.encode()) or owed.state != "paid":
        raise NoSuchCharge()
    return owed


async def _printed(
    request: Request, here: Platform, language: str, operator: str, code: str
) -> tuple[fiscal.Document, Document]:
    document, replaced = await _found(request, here, operator, code)
    buyer = await fiscal.buyer_on(here.sealer, document)
    at = f"{here.settings.public_url}/documents"
    return document, as_document(document, buyer.for_all() if buyer else None, replaced, at, language)


async def _found(
    request: Request, here: Platform, operator: str, code: str
) -> tuple[fiscal.Document, fiscal.Document | None]:
    """The document under a code, and the one in whose place it stands. Raises NoSuchDocument, TooManyTries."""
    await here.limits.spend(LOOK_UPS_PER_ADDRESS, "document", address_of(request))
    operator_id = await directory.whose(here.database, "operator", operator)
    if operator_id is None or len(code) != CODE_LENGTH or set(code) - set(ALPHABET):
        raise NoSuchDocument()
    async with here.database.transaction(operator_id) as tx:
        document = await fiscal.by_code(tx, code)
        return document, await fiscal.by_id(tx, document.replaces) if document.replaces else None
