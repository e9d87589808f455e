"""HTTP for the token flows and the batch client: bounded, with a private CA, never redirected."""

from __future__ import annotations

import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional
from urllib.parse import urlencode, urlsplit

MAX_BODY_BYTES = 64 * 1024 * 1024
TIMEOUT_SECONDS = 15.0


class HttpFailure(Exception):
    """There was no answer. The message holds no more of the URL than its host."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Dict[str, Any]:
        """The body as a JSON object; an empty one when it is something else (a proxy's page)."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the credentials of a request to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def opener(url: str, ca_file: Optional[str] = None) -> urllib.request.OpenerDirector:
    """What opens this URL. Raises HttpFailure for a CA file that cannot be used."""
    if urlsplit(url).scheme != "https":
        return urllib.request.build_opener(_NoRedirect())
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise HttpFailure(f"the CA file {ca_file} cannot be used: {error}") from None
    return urllib.request.build_opener(_NoRedirect(), urllib.request.HTTPSHandler(context=context))


def ask(
    url: str,
    *,
    method: Optional[str] = None,
    form: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = None,
    headers: Optional[Mapping[str, str]] = None,
    ca_file: Optional[str] = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Answer:
    """One request. Any status is an answer. Raises HttpFailure without one."""
    data = urlencode(form).encode() if form is not None else body
    try:
        request = urllib.request.Request(
            url, data=data, method=method, headers={"accept": "application/json", **(headers or {})}
        )
        with opener(url, ca_file).open(request, timeout=timeout) as response:
            return _answer(response)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error)
    except (OSError, ValueError, http_exceptions()) as error:
        raise HttpFailure(f"{urlsplit(url).netloc}: {reason_of(error)}") from None


def _answer(response: Any) -> Answer:
    body = response.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"the answer is longer than {MAX_BODY_BYTES} bytes")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, body)


def http_exceptions() -> type[Exception]:
    """What a connection that breaks in the middle of an answer raises."""
    import http.client

    return http.client.HTTPException


def reason_of(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error or type(error).__name__)


def is_private(url: str) -> bool:
    """Whether what is sent there stays private: TLS, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
