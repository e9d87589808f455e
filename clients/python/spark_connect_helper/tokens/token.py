"""Tokens with their end, and keeping one fresh for as long as a session lives."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional, Protocol

from ..errors import TokenUnavailable

#: A token is renewed this long before its end, or a fifth of its life if that is less.
RENEW_BEFORE_SECONDS = 60.0
#: After a failed renewal the token that is still good is used, and the source is left alone for this long.
BACK_OFF_SECONDS = 60.0


@dataclass(frozen=True)
class Token:
    """value: without ``Bearer``. expires_at, obtained_at: Unix seconds; expires_at None: not known."""

    value: str = field(repr=False)
    expires_at: Optional[float] = None
    obtained_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if not self.value or not self.value.isascii() or not self.value.isprintable():
            raise TokenUnavailable("The token is empty, or holds characters that no token has.")
        if " " in self.value:
            raise TokenUnavailable("The token holds a space: give it without `Bearer`.")

    @staticmethod
    def of(text: str, *, now: float, expires_at: Optional[float] = None) -> "Token":
        """A token from text around which there may be white space; a JWT tells its end itself."""
        value = text.strip()
        if expires_at is None:
            claimed = claims(value).get("exp")
            expires_at = float(claimed) if isinstance(claimed, (int, float)) else None
        return Token(value, expires_at, now)


class TokenSource(Protocol):
    """Gives tokens. ``name`` is for people."""

    @property
    def name(self) -> str: ...

    def token(self) -> Token:
        """A token as fresh as it can be had. Raises TokenUnavailable."""
        ...


def claims(token: str) -> Dict[str, Any]:
    """What a JWT says of itself, unverified; nothing for any other token."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        decoded = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


class FreshToken:
    """The token for the next RPC: the same one while it is good, else a new one of its source.

    There is one of these for a session, and nothing else keeps a token. Threads ask at once; one of them
    renews, and the others go on with the old token while it is good.
    """

    def __init__(
        self,
        source: TokenSource,
        *,
        first: Optional[Token] = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._now = now
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._token = first
        self._retry_at = 0.0

    @property
    def source(self) -> TokenSource:
        return self._source

    def replace(self, source: TokenSource) -> None:
        """Takes another source, of the same principal."""
        with self._lock:
            self._source = source
            self._token = None
            self._retry_at = 0.0

    def get(self) -> str:
        """A token that is good now. Raises TokenUnavailable."""
        token = self._token
        now = self._now()
        if token is not None and now < self._renew_at(token):
            return token.value
        good = token is not None and (token.expires_at is None or now < token.expires_at)
        if token is not None and good and now < self._retry_at:
            return token.value
        if not self._renewing.acquire(blocking=not good):
            assert token is not None
            return token.value
        try:
            current = self._token
            if current is not None and current is not token:
                return current.value
            return self._renew(current)
        finally:
            self._renewing.release()

    def expired(self, value: str) -> bool:
        """The gateway says that this token has expired. Whether there is another one to try with."""
        with self._lock:
            if self._token is not None and self._token.value == value:
                self._token = None
                self._retry_at = 0.0
        return self.get() != value

    def _renew(self, current: Optional[Token]) -> str:
        source = self._source
        try:
            fresh = source.token()
        except TokenUnavailable:
            now = self._now()
            if current is None or (current.expires_at is not None and now >= current.expires_at):
                raise
            self._retry_at = now + BACK_OFF_SECONDS
            if current.expires_at is not None:
                self._retry_at = min(self._retry_at, current.expires_at)
            return current.value
        with self._lock:
            if source is self._source:
                self._token = fresh
        return fresh.value

    @staticmethod
    def _renew_at(token: Token) -> float:
        if token.expires_at is None:
            return float("inf")
        life = max(0.0, token.expires_at - token.obtained_at)
        return token.expires_at - min(RENEW_BEFORE_SECONDS, life / 5)
