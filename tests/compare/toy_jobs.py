"""Jobs that take no time, for tests of the store and the executor."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Returns its number; `does` may be "sleep", "raise", "die" or "nothing".

    Each run adds a line with the number to the file `log`, where one is named.
    """

    number: int
    does: str = "nothing"
    seconds: float = 0.0
    expected: float = 1.0
    seed: int = 0
    task: str = "toy"
    log: str = ""

    @property
    def arm(self) -> str:
        return f"number {self.number}"

    def config(self) -> dict[str, Any]:
        return {"number": self.number}

    def roots(self) -> tuple[str, ...]:
        return ("gradwarden.core.files",)

    def run(self) -> dict[str, Any]:
        if self.log:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"{self.number}\n")
        time.sleep(self.seconds)
        if self.does == "raise":
            raise RuntimeError("the toy is broken")
        if self.does == "die":
            os._exit(9)
        return {"number": self.number, "process": os.getpid(), "at": time.time()}
