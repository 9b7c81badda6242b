"""What tests stand on: a real PostgreSQL (embedded, without fsync), a database with the demo city per test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import hypothesis
import pytest
from fastapi import FastAPI
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from stage import ROOT_KEY, Clock, at_database, settings_for
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

import demo
import main
from foundation import staff
from foundation.embedded import EmbeddedPostgres
from foundation.migrate import migrate
from foundation.settings import Settings
from foundation.web import Platform

hypothesis.settings.register_profile("house", deadline=None)  # two shared cores: a slow example is no defect
hypothesis.settings.load_profile("house")


def _keep_in_memory() -> None:
    """What is temporary lies in memory where there is room: each test's database is some 600 new files."""
    memory = "/dev/shm"
    with contextlib.suppress(OSError):
        if "TMPDIR" not in os.environ and shutil.disk_usage(memory).free > 2 << 30:
            os.environ["TMPDIR"] = tempfile.tempdir = memory


_keep_in_memory()
# Made once: routes are the same for every test, what an app holds is opened for each; and to read the certificates of all
# authorities, which nobody changes, takes as long as many a test.
_assembled = functools.cache(main.assemble)
ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
# Thousands of logins of the demo city's people: 40 ms each as in production, and nothing that a test could see of it.
staff._hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))


class OnePlatformOnce(LoadScopeScheduling):  # type: ignore[misc]
    """Tests that share a started platform go to one process, each of the others to whoever is free.

    By path: with pytest 9.2 xdist no longer learns of the mark `xdist_group` (pytest-xdist 1386).
    """

    together = {"tests/journeys/": "journeys", "tests/proof/": "journeys", "tests/rehearsal/test_day.py": "day"}

    def _split_scope(self, nodeid: str) -> str:
        return next((name for path, name in self.together.items() if nodeid.startswith(path)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OnePlatformOnce:
    return OnePlatformOnce(config, log)


SERVER = {
    "max_connections": "200",
    "scram_iterations": "1",  # thousands of logins; what they prove does not depend on how slow guessing is made
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL per test process."""
    made = EmbeddedPostgres(tmp_path_factory.mktemp("pg"), durable=False, settings=SERVER)
    with made as running:
        yield running
    made.remove()


@pytest.fixture(scope="session")
def template(server: EmbeddedPostgres) -> str:
    """A migrated database with the demo city, to copy from."""

    async def build() -> None:
        admin = await asyncpg.connect(server.url)
        await admin.execute("create database motcham_template")
        await admin.close()
        url = at_database(server.url, "motcham_template")
        await migrate(url, root=bytes.fromhex(ROOT_KEY), environment="test")
        await demo.build(settings_for(url))

    asyncio.run(build())
    return "motcham_template"


@pytest.fixture
async def admin_url(server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """A fresh copy of the demo city, reached as administrator."""
    name = "motcham_test"  # always the same: equal settings need no new app
    admin = await asyncpg.connect(server.url)
    # Files in memory are copied sooner than every page goes through the log.
    await admin.execute(f"create database {name} template {template} strategy file_copy")
    try:
        yield at_database(server.url, name)
    finally:
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


@pytest.fixture
async def admin(admin_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that sees everything, for looking at what is really there."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.fixture
def settings(admin_url: str) -> Settings:
    return settings_for(admin_url)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The real app with everything it holds, in this process."""
    made = _assembled(settings)
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
def here(app: FastAPI) -> Platform:
    found: Platform = app.state.platform
    return found


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor's browser without JavaScript: follows nothing by itself, keeps cookies."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test.local") as made:
        yield made


@pytest.fixture
def clock(admin: asyncpg.Connection) -> Clock:
    return Clock(admin)


@pytest.fixture(scope="session")
def house() -> Path:
    return Path(__file__).resolve().parent.parent


with contextlib.suppress(ImportError):
    import uvloop  # noqa: F401 - the same loop as in production, where it is installed
