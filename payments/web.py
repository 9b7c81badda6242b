"""The pages and interfaces of payments: the bank's notices, the payment page, finance, the city."""

from __future__ import annotations

from foundation.settings import Settings
from foundation.web import Service
from payments import notice, pay_page


def service(settings: Settings) -> Service:
    """Payments as the app sees it."""
    return Service("payments", [notice.routes, pay_page.routes])
