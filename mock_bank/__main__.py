"""`python -m mock_bank`: run the bank in a process of its own."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import uvicorn
from pydantic import ValidationError

from mock_bank import database
from mock_bank.app import create_app
from mock_bank.settings import Settings
from mock_tax.app import beside


def main() -> None:
    """Serve until stopped; a wrong setting or an unreachable database is one sentence and exit code 2."""
    try:
        settings = Settings()
    except ValidationError as error:
        faults = (f"BANK_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors())
        sys.exit(_told("The practice bank cannot start. " + "; ".join(faults)))
    try:
        asyncio.run(database.prepare(settings.database_url))
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(_told(f"The practice bank cannot reach the database of BANK_DATABASE_URL: {error}"))
    # Codes and references stand in addresses, so no access log is written.
    app = beside(create_app(settings), settings.database_url)
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_level="warning")


def _told(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
