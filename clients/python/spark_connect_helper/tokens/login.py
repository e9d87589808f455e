"""Logins of people at an OpenID provider: device code, browser with PKCE, and renewal.

RFC 8628 (device flow), RFC 7636 (PKCE), RFC 8252 (loopback redirect), OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import secrets
import threading
import time
import webbrowser
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional
from urllib.parse import parse_qs, urlencode, urlsplit

from ..errors import SettingsError, TokenUnavailable
from ..settings import Settings
from .http import Answer, HttpFailure, ask, is_private
from .sources import NotHere
from .store import LoginStore
from .token import Token

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
#: RFC 8628, 3.2: without an `interval` it is 5 s; 3.5: `slow_down` adds 5 s for good.
DEFAULT_INTERVAL_SECONDS = 5.0
SLOW_DOWN_SECONDS = 5.0
MAX_INTERVAL_SECONDS = 60.0
BROWSER_PATIENCE_SECONDS = 300.0

Say = Callable[[str], None]


class LoginEnded(Exception):
    """The provider no longer accepts the refresh token."""


@dataclass(frozen=True)
class Provider:
    issuer: str
    client_id: str
    scope: str
    token_field: str
    token_endpoint: str
    device_endpoint: Optional[str]
    authorization_endpoint: Optional[str]
    ca_file: Optional[str]

    @property
    def key(self) -> str:
        return login_key(self.issuer, self.client_id)

    def post(self, url: str, **form: str) -> Answer:
        return ask(url, form={"client_id": self.client_id, **form}, ca_file=self.ca_file)


def login_key(issuer: str, client_id: str) -> str:
    return f"{issuer.rstrip('/')} {client_id}"


def configured(settings: Settings) -> "tuple[str, str]":
    """Issuer and client id. Raises NotHere when they are not set."""
    if not settings.oidc_issuer or not settings.oidc_client_id:
        raise NotHere("oidc_issuer and oidc_client_id are not set")
    return settings.oidc_issuer, settings.oidc_client_id


def discover(settings: Settings) -> Provider:
    """Asks the provider where its endpoints are. Raises TokenUnavailable, SettingsError, NotHere."""
    issuer, client_id = configured(settings)
    if not is_private(issuer):
        raise SettingsError(f"oidc_issuer {issuer} must be https (or on this machine).")
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        answer = ask(url, ca_file=settings.ca_file)
    except HttpFailure as error:
        raise TokenUnavailable(f"The identity provider does not answer: {error}") from None
    found = answer.json()
    if answer.status != 200 or not isinstance(found.get("token_endpoint"), str):
        raise TokenUnavailable(
            f"{url} is no description of an OpenID provider (HTTP {answer.status})."
        )
    if str(found.get("issuer", "")).rstrip("/") != issuer.rstrip("/"):
        raise TokenUnavailable(f"{url} describes another issuer: {found.get('issuer')}.")

    def endpoint(name: str) -> Optional[str]:
        value = found.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not is_private(value):
            raise TokenUnavailable(f"The identity provider's {name} is not https.")
        return value

    return Provider(
        issuer=issuer,
        client_id=client_id,
        scope=settings.oidc_scope,
        token_field=settings.oidc_token,
        token_endpoint=endpoint("token_endpoint") or "",
        device_endpoint=endpoint("device_authorization_endpoint"),
        authorization_endpoint=endpoint("authorization_endpoint"),
        ca_file=settings.ca_file,
    )


def device_login(
    provider: Provider,
    say: Say,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Dict[str, Any]:
    """Shows a code that the user types in anywhere, and waits. Returns the provider's answer with tokens."""
    if provider.device_endpoint is None:
        raise TokenUnavailable("The identity provider has no device login: use the browser's.")
    try:
        answer = provider.post(provider.device_endpoint, scope=provider.scope)
    except HttpFailure as error:
        raise TokenUnavailable(f"The identity provider does not answer: {error}") from None
    begun = answer.json()
    if answer.status != 200 or not isinstance(begun.get("device_code"), str):
        raise TokenUnavailable(f"The identity provider refuses a device login: {_why(answer)}")
    where = begun.get("verification_uri_complete") or begun.get("verification_uri")
    say(f"To sign in, open {where} and enter the code {begun.get('user_code')}")

    interval = _seconds(begun.get("interval"), DEFAULT_INTERVAL_SECONDS)
    give_up_at = now() + _seconds(begun.get("expires_in"), 600.0)
    while now() + interval < give_up_at:
        sleep(interval)
        try:
            answer = provider.post(
                provider.token_endpoint, grant_type=DEVICE_GRANT, device_code=begun["device_code"]
            )
        except HttpFailure:
            interval = min(interval * 2, MAX_INTERVAL_SECONDS)
            continue
        said = answer.json()
        if answer.status == 200 and _has_tokens(said):
            return said
        why = said.get("error")
        if why == "slow_down":
            interval += SLOW_DOWN_SECONDS
        elif why == "authorization_pending":
            pass
        elif answer.status >= 500 or answer.status == 429 or why is None:
            # A proxy in between answers; nothing is decided.
            interval = min(interval * 2, MAX_INTERVAL_SECONDS)
        else:
            raise TokenUnavailable(f"The login failed: {_why(answer)}")
    raise TokenUnavailable("The login was not finished in time. Begin again.")


def browser_login(
    provider: Provider,
    say: Say,
    *,
    open_browser: Callable[[str], object] = webbrowser.open,
    patience: float = BROWSER_PATIENCE_SECONDS,
) -> Dict[str, Any]:
    """Opens the provider's page; it comes back to a port of this machine. Returns its answer with tokens."""
    if provider.authorization_endpoint is None:
        raise TokenUnavailable("The identity provider has no login page: use the device login.")
    verifier = secrets.token_urlsafe(48)
    state = secrets.token_urlsafe(24)
    server = _Callback(state)
    try:
        redirect = f"http://127.0.0.1:{server.server_address[1]}/callback"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = urlencode(
            {
                "response_type": "code",
                "client_id": provider.client_id,
                "redirect_uri": redirect,
                "scope": provider.scope,
                "state": state,
                "code_challenge": challenge.rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
        url = f"{provider.authorization_endpoint}{joint}{query}"
        say(f"To sign in, open {url}")
        open_browser(url)
        told = server.wait(patience)
    finally:
        server.close()
    if told is None:
        raise TokenUnavailable("The login was not finished in time. Begin again.")
    if "code" not in told:
        reason = told.get("error_description") or told.get("error") or "no code came back"
        raise TokenUnavailable(f"The login failed: {reason}")
    try:
        answer = provider.post(
            provider.token_endpoint,
            grant_type="authorization_code",
            code=told["code"],
            redirect_uri=redirect,
            code_verifier=verifier,
        )
    except HttpFailure as error:
        raise TokenUnavailable(f"The identity provider does not answer: {error}") from None
    said = answer.json()
    if answer.status != 200 or not _has_tokens(said):
        raise TokenUnavailable(f"The login failed: {_why(answer)}")
    return said


class _Callback(http.server.ThreadingHTTPServer):
    """Waits for the browser. What does not know our state is answered and changes nothing."""

    daemon_threads = True

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _CallbackHandler)
        self.state = state
        self.told: Optional[Dict[str, str]] = None
        self.came = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> Optional[Dict[str, str]]:
        self.came.wait(seconds)
        return self.told

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _CallbackHandler(http.server.BaseHTTPRequestHandler):
    server: _Callback

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        ours = secrets.compare_digest(query.get("state", "").encode(), self.server.state.encode())
        if parts.path != "/callback" or not ours or self.server.came.is_set():
            self._page(404, "This page belongs to no login that waits here.")
            return
        self.server.told = query
        self._page(200, "You are signed in." if "code" in query else "The login failed.")
        self.server.came.set()

    def _page(self, status: int, text: str) -> None:
        page = f"<!doctype html><title>Spark Connect</title><p>{html.escape(text)} You can close this page."
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *args: Any) -> None:
        """The code must not be logged."""


class CachedLogin:
    """A login that was made before; its tokens are renewed with the refresh token, and kept for others."""

    def __init__(
        self, settings: Settings, store: LoginStore, now: Callable[[], float] = time.time
    ) -> None:
        issuer, client_id = configured(settings)
        self.name = f"the login at {issuer}"
        self._key = login_key(issuer, client_id)
        self._settings = settings
        self._store = store
        self._now = now
        self._given: Optional[str] = None
        if store.get(self._key) is None:
            raise NotHere(f"nobody is logged in at {issuer} (python -m spark_connect_helper login)")

    def token(self) -> Token:
        token = self._kept() or self._renewed()
        self._given = token.value
        return token

    def _renewed(self) -> Token:
        with self._store.locked():
            # Another process may have renewed it while this one waited.
            token = self._kept()
            if token is not None:
                return token
            entry = self._store.get(self._key)
            if entry is None or not isinstance(entry.get("refresh_token"), str):
                raise TokenUnavailable(f"{self.name} has ended. {_LOGIN_AGAIN}")
            provider = discover(self._settings)
            try:
                said = renew(provider, entry["refresh_token"])
            except LoginEnded as error:
                self._store.remove(self._key)
                raise TokenUnavailable(f"{self.name} has ended ({error}). {_LOGIN_AGAIN}") from None
            return keep(provider, self._store, said, entry, now=self._now)

    def _kept(self) -> Optional[Token]:
        entry = self._store.get(self._key)
        if entry is None or not isinstance(entry.get("token"), str):
            return None
        expires_at = entry.get("expires_at")
        if not isinstance(expires_at, (int, float)):
            return None
        obtained_at = float(entry.get("obtained_at", expires_at - 300))
        life = max(0.0, float(expires_at) - obtained_at)
        if self._now() >= float(expires_at) - min(60.0, life / 5):
            return None
        # Whoever asks again wants another: the gateway's clock may be ahead of ours.
        if entry["token"] == self._given:
            return None
        return Token(entry["token"], float(expires_at), obtained_at)


_LOGIN_AGAIN = "Run: python -m spark_connect_helper login"


def renew(provider: Provider, refresh_token: str) -> Dict[str, Any]:
    """Raises LoginEnded when the provider no longer takes it, TokenUnavailable when it cannot tell."""
    try:
        answer = provider.post(
            provider.token_endpoint, grant_type="refresh_token", refresh_token=refresh_token
        )
    except HttpFailure as error:
        raise TokenUnavailable(f"The identity provider does not answer: {error}") from None
    said = answer.json()
    if answer.status == 200 and _has_tokens(said):
        return said
    if said.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client"):
        raise LoginEnded(_why(answer))
    raise TokenUnavailable(f"The identity provider gives no token: {_why(answer)}")


def keep(
    provider: Provider,
    store: LoginStore,
    said: Mapping[str, Any],
    before: Optional[Mapping[str, Any]] = None,
    *,
    now: Callable[[], float] = time.time,
) -> Token:
    """Keeps what a provider answered, and returns its token."""
    text = said.get(provider.token_field)
    if not isinstance(text, str):
        raise TokenUnavailable(f"The identity provider gives no {provider.token_field}.")
    at = now()
    token = Token.of(text, now=at)
    if token.expires_at is None:
        token = Token(token.value, at + _seconds(said.get("expires_in"), 300.0), at)
    store.put(
        provider.key,
        {
            "token": token.value,
            "expires_at": token.expires_at,
            "obtained_at": at,
            # A provider that does not rotate sends none: the old one stays good.
            "refresh_token": said.get("refresh_token") or (before or {}).get("refresh_token"),
        },
    )
    return token


def _has_tokens(said: Mapping[str, Any]) -> bool:
    return isinstance(said.get("access_token"), str) or isinstance(said.get("id_token"), str)


def _why(answer: Answer) -> str:
    said = answer.json()
    return str(said.get("error_description") or said.get("error") or f"HTTP {answer.status}")[:300]


def _seconds(value: Any, otherwise: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return otherwise
    return seconds if 0 < seconds < 1e9 else otherwise
