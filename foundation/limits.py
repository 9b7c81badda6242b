"""Rate limits for guessing: logins, PINs, enrolment codes, short codes. In Redis, or in memory where it is absent."""

from __future__ import annotations

import logging
from functools import cache
from ipaddress import ip_network

from fastapi import Request
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from foundation.errors import Refusal

log = logging.getLogger("motcham.limits")


def address_of(request: Request) -> str:
    """Who is counted: the client's address, an IPv6 network as one, since every phone has a whole /64."""
    host = request.client.host if request.client else "unknown"
    if ":" not in host:
        return host
    try:
        return str(ip_network(f"{host}/64", strict=False))
    except ValueError:
        return host


class TooManyTries(Refusal):
    """Too many tries; please wait a few minutes."""

    status = 429


class Limits:
    """One per process. Redis down means counting in memory, which is stricter per process and never open."""

    def __init__(self, redis_url: str | None) -> None:
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._shared = (
            MovingWindowRateLimiter(RedisStorage("async+" + _scheme(redis_url), implementation="redispy"))
            if redis_url
            else None
        )

    async def spend(self, rule: str, *names: str) -> None:
        """Counts one try under `names` against a rule such as `5/minute`. Raises TooManyTries."""
        item = _rule(rule)
        try:
            allowed = await (self._shared or self._memory).hit(item, *names)
        except Exception as error:
            log.warning("counting tries in memory: %s", type(error).__name__)
            allowed = await self._memory.hit(item, *names)
        if not allowed:
            raise TooManyTries()

    async def bound(self, rule: str, *names: str) -> None:
        """The same, counted by each process for itself: against machines that fill tables, not against guessing.

        It costs no way to Redis, which is a fifth of an order. Raises TooManyTries.
        """
        if not await self._memory.hit(_rule(rule), *names):
            raise TooManyTries()


@cache
def _rule(rule: str) -> RateLimitItem:
    return parse(rule)


def _scheme(redis_url: str) -> str:
    return redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix://") else redis_url
