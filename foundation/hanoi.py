"""The time zone of the house, for those who need nothing else of `clock`."""

from datetime import timedelta, timezone

HANOI = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
"""Việt Nam has had no daylight saving since 1975, so a fixed offset is exact and cheaper than a zone lookup."""
