"""The pages and interfaces of payments: the bank's notices, the payment page, shifts, finance, the city."""

from __future__ import annotations

from foundation.settings import Settings
from foundation.web import Service
from payments import device_api, fiscal_page, notice, pay_page
from payments.city import routes as city
from payments.finance import routes as finance


def service(settings: Settings) -> Service:
    """Payments as the app sees it."""
    return Service(
        "payments",
        [pay_page.routes, fiscal_page.routes, notice.routes, device_api.routes, city.routes, *finance.routers],
        tablet=device_api.tablet_facts,
    )
