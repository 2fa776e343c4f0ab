"""What was tried, and what broke."""

from __future__ import annotations

import time
from collections import Counter


class Report:
    """Of one kind of fault: how often it was injected, with which outcomes, and each promise that was not kept."""

    def __init__(self, name: str) -> None:
        self.name, self.tried = name, 0
        self.outcomes: Counter[str] = Counter()
        self.broken: list[str] = []
        self._began = time.monotonic()

    def note(self, outcome: str, broken: str | None = None) -> None:
        """One more was tried; ``broken`` says which promise was not kept, if one was not."""
        self.tried += 1
        self.outcomes[outcome] += 1
        if broken is not None:
            self.broken.append(broken)
            print(f"  BROKEN {self.name}: {broken}", flush=True)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{n:,} {name}" for name, n in self.outcomes.most_common())
        seconds = time.monotonic() - self._began
        return f"{self.name}: {self.tried:,} tried, {len(self.broken):,} broken ({outcomes}; {seconds:.0f} s)"
