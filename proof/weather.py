"""What goes wrong at the bank, for seconds at a time: the fault matrix, drawn from the seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

from proof.house import House

LATE = "listed up to 50 minutes late"
_SHARE = {"share": 0.3}
WEATHERS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "all notices lost": {"lose_notices": True},
    "notices doubled, by two events": {"repeat_notices": 3, "two_event_ids": True},
    "notices out of order": {"shuffle_seconds": 4},
    "notices an hour late": {"delay_seconds": 3600},
    "answers to notices lost": {"lose_notice_answers": True},
    "wrong signatures": {"wrong_signature": True, "when": {"wrong_signature": {"share": 0.5}}},
    "stale timestamps": {"stale_timestamp": True, "when": {"stale_timestamp": {"share": 0.5}}},
    "the bank breaks off": {"answers": "closed", "when": {"answers": _SHARE}},
    "the bank answers 500": {"answers": "error_500", "when": {"answers": _SHARE}},
    "the bank answers 502, notices lost": {"answers": "error_502", "lose_notices": True, "when": {"answers": _SHARE}},
    "the bank answers 503": {"answers": "error_503", "when": {"answers": _SHARE}},
    "the bank is slow": {"answer_delay_ms": 400, "when": {"answer_delay_ms": _SHARE}},
    "the bank acts and its answer is lost": {
        "lose_payment_answers": True,
        "lose_refund_answers": True,
        "lose_payout_answers": True,
        "when": {
            "lose_payment_answers": {"share": 0.4},
            "lose_refund_answers": {"share": 0.4},
            "lose_payout_answers": {"share": 0.4},
        },
    },
    "refunds come back a moment later": {
        "return_refunds": True,
        "refund_seconds": 2,
        "when": {"return_refunds": {"share": 0.5}},
    },
    "payouts are refused, come back, or are left out of reports": {
        "reject_payouts": True,
        "return_payouts": True,
        "omit_payout_statuses": True,
        "payout_seconds": 1,
        "when": dict.fromkeys(("reject_payouts", "return_payouts", "omit_payout_statuses"), _SHARE),
    },
    "payouts are booked in two": {"split_payouts": True},
    "payers' banks take nothing back": {"refuse_send_back": True, "when": {"refuse_send_back": {"share": 0.5}}},
    "pages of the list overlap, notices lost": {"list_overlap": 20, "lose_notices": True},
    LATE: {"list_late_seconds": 3000, "lose_notices": True, "when": {"list_late_seconds": {"share": 0.5}}},
    "texts squeezed": {"text_style": "squeezed"},
    "texts cut": {"text_style": "cut"},
    "texts with digits glued on": {"text_style": "glued"},
    "texts among the banks' words": {"text_style": "surrounded"},
    "payers not told": {"payer": "null"},
}


class Weather:
    """Changes every few seconds while it is on. `seen`: how often each came; `late`: the list may be behind."""

    def __init__(self, house: House, seed: str) -> None:
        self.house = house
        self.dice = random.Random(f"{seed}/weather")
        self.seen: Counter[str] = Counter()
        self.late = False
        self._deck: list[str] = []

    def __enter__(self) -> Weather:
        self.late = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._change, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _change(self) -> None:
        while not self._over.is_set():
            if not self._deck:  # each before any comes again
                self._deck = self.dice.sample(list(WEATHERS), len(WEATHERS))
            name = self._deck.pop()
            self.house.faults(**WEATHERS[name], seed=self.dice.randrange(2**31))
            self.seen[name] += 1
            self.late = self.late or name == LATE
            self._over.wait(self.dice.uniform(0.5, 2.5))
