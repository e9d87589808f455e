"""One line that says what the gateway waits for, rewritten in place where that is possible."""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Optional

from .tokens.chain import in_notebook

#: Where a line cannot be rewritten, it is said again this often at most.
REPEAT_SECONDS = 30.0


class Progress:
    """What a session's opening tells the user. With ``quiet`` it tells nothing.

    In a notebook it writes to the cell's output, elsewhere to standard error, so that a program's output
    stays its own.
    """

    def __init__(
        self,
        quiet: bool = False,
        *,
        stream: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._quiet = quiet
        self._stream = stream or (sys.stdout if in_notebook() else sys.stderr)
        self._rewrites = in_notebook() if stream is None else False
        if not self._rewrites:
            try:
                self._rewrites = bool(self._stream.isatty())
            except (AttributeError, ValueError):
                self._rewrites = False
        self._now = now
        self._began = now()
        self._width = 0
        self._last: Optional[str] = None
        self._said_at = 0.0

    def waiting(self, what: str, seconds: Optional[float] = None) -> None:
        """what: a sentence. seconds: how long it takes, as the gateway expects."""
        sentence = what.replace(
            "The client tries again by itself", "Trying again by itself"
        ).strip()
        waited = int(self._now() - self._began)
        tail = f" About {max(1, round(seconds))} s." if seconds is not None and seconds >= 3 else ""
        if self._rewrites:
            self._write(f"\r{self._padded(f'{sentence}{tail} ({waited} s so far)')}")
        elif sentence != self._last or self._now() - self._said_at >= REPEAT_SECONDS:
            self._said_at = self._now()
            self._write(f"{sentence}{tail}\n")
        self._last = sentence

    def say(self, line: str) -> None:
        self.clear()
        self._write(f"{line}\n")

    def clear(self) -> None:
        if self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _padded(self, line: str) -> str:
        padded = line.ljust(self._width)
        self._width = len(line)
        return padded

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody looks any more; that is no reason to fail.
            self._quiet = True
