"""Which gateways there are: a third is a file in `gateway/` and a row here."""

from __future__ import annotations

from foundation.settings import Settings
from payments.gateway import Gateway, Hosting
from payments.gateway.bank import Bank
from payments.gateway.vnpay import Vnpay

bank = Bank.of
vnpay = Vnpay.of


class Gateways:
    """The gateways of a process that asks them; to be closed by whoever opened them."""

    def __init__(self, settings: Settings) -> None:
        self.bank, hosted = bank(settings), vnpay(settings)
        self.hosting: dict[str, Hosting] = {hosted.name: hosted}
        """Those on whose pages payers pay, by the name that attempts carry."""
        self.all: dict[str, Gateway] = {self.bank.name: self.bank, hosted.name: hosted}
        """By the name that receipts carry: money goes back through the gateway it came through."""

    async def close(self) -> None:
        for gateway in self.all.values():
            await gateway.close()
