"""Which gateways there are: a third is a file in `gateway/` and a row here."""

from __future__ import annotations

from foundation.settings import Settings
from payments.gateway import Gateway, Hosting
from payments.gateway.bank import Bank
from payments.gateway.vnpay import Vnpay

bank = Bank.of
vnpay = Vnpay.of


def hosting(settings: Settings) -> dict[str, Hosting]:
    """Those on whose pages payers pay, by the name that attempts carry; to be closed by whoever asks them."""
    return {gateway.name: gateway for gateway in (vnpay(settings),)}


def refunding(settings: Settings) -> dict[str, Gateway]:
    """All of them, by the name that receipts carry: money goes back through the gateway it came through."""
    return {gateway.name: gateway for gateway in (bank(settings), vnpay(settings))}
