"""Rate limits for guessing: logins, PINs, enrolment codes, short codes. In Redis, or in memory where it is absent."""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import cache
from ipaddress import ip_network

from fastapi import Request
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
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
        self._memory = _InMemory()
        self._shared = (
            MovingWindowRateLimiter(RedisStorage("async+" + _scheme(redis_url), implementation="redispy"))
            if redis_url
            else None
        )

    async def spend(self, rule: str, *names: str) -> None:
        """Counts one try under `names` against a rule such as `5/minute`. Raises TooManyTries."""
        item = _rule(rule)
        try:
            allowed = await self._shared.hit(item, *names) if self._shared else self._memory.hit(item, *names)
        except Exception as error:
            log.warning("counting tries in memory: %s", type(error).__name__)
            allowed = self._memory.hit(item, *names)
        if not allowed:
            raise TooManyTries()

    def bound(self, rule: str, *names: str) -> None:
        """The same, counted by each process for itself: against machines that fill tables, not against guessing.

        It costs no way to Redis, which is a fifth of an order. Raises TooManyTries.
        """
        if not self._memory.hit(_rule(rule), *names):
            raise TooManyTries()


class _InMemory:
    """Tries of the last while, by name. The library's own looks through all names at every try, a thread for each."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[int, deque[float]]] = {}
        self._tidied = time.monotonic()

    def hit(self, item: RateLimitItem, *names: str) -> bool:
        """Counts a try, if fewer than allowed lie within the time that the rule looks back."""
        now = time.monotonic()
        if now - self._tidied > 60:
            self._tidied = now
            self._tries = {name: (s, at) for name, (s, at) in self._tries.items() if at and now - at[-1] < s}
        lasts_s, at = self._tries.setdefault(item.key_for(*names), (item.get_expiry(), deque()))
        while at and now - at[0] >= lasts_s:
            at.popleft()
        if len(at) >= item.amount:
            return False
        at.append(now)
        return True


@cache
def _rule(rule: str) -> RateLimitItem:
    return parse(rule)


def _scheme(redis_url: str) -> str:
    return redis_url.replace("unix://", "redis+unix://", 1) if redis_url.startswith("unix://") else redis_url
