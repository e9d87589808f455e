"""Spark Connect URLs: ``sc://host:port/;name=value;name=value``.

https://github.com/apache/spark/blob/master/sql/connect/docs/client-connection-string.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Mapping, Optional
from urllib.parse import quote, unquote, urlsplit

from .errors import SettingsError
from .tokens.http import is_loopback

TEAM_HEADER = "x-doordash-team"
ENVIRONMENT_HEADER = "x-doordash-environment"
DEFAULT_PORT = 15002

#: Parameters that say something to the client, and are no headers.
CLIENT_PARAMETERS = ("token", "use_ssl", "user_id", "user_agent", "session_id")


@dataclass(frozen=True)
class Endpoint:
    """An address as people write it, taken apart. parameters: those of the URL, decoded."""

    host: str
    port: int
    parameters: Mapping[str, str]

    @property
    def location(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def parse_address(address: str) -> Endpoint:
    """``host``, ``host:port`` or an ``sc://`` URL. Raises SettingsError for anything else."""
    wrong = SettingsError(f"Not an address (host, host:port or sc://host:port): {address!r}")
    try:
        parts = urlsplit(address if "://" in address else f"sc://{address}")
        port = parts.port
    except ValueError:
        raise wrong from None
    path, _, rest = parts.path.partition(";")
    if parts.scheme != "sc" or not parts.hostname or path not in ("", "/"):
        raise wrong
    if parts.query or parts.fragment or parts.username is not None:
        raise wrong
    parameters: Dict[str, str] = {}
    for pair in filter(None, rest.split(";")):
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise SettingsError(f"A parameter of the URL is not name=value: {name!r}")
        parameters[name] = unquote(value)
    return Endpoint(parts.hostname, port or DEFAULT_PORT, parameters)


def make_url(location: str, parameters: Mapping[str, str]) -> str:
    """The URL with every value percent-encoded. Raises SettingsError for a name that no header has."""
    for name in parameters:
        if not name or name != quote(name, safe="").lower():
            raise SettingsError(f"Not a lower-case header name: {name!r}")
    joined = ";".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return f"sc://{location}/;{joined}" if joined else f"sc://{location}"


def connection_url(
    address: str,
    *,
    token: Optional[str] = None,
    team: Optional[str] = None,
    environment: Optional[str] = None,
    user_id: Optional[str] = None,
    session_id: Optional[str] = None,
    tls: Optional[bool] = None,
    headers: Optional[Mapping[str, str]] = None,
) -> str:
    """The URL for ``SparkSession.builder.remote`` of stock PySpark; its token is fixed.

    address: ``host``, ``host:port`` or an ``sc://`` URL; arguments replace the URL's parameters.
    token: the access token, without ``Bearer``.
    tls: None: off for a loopback address, else on.
    headers: more metadata for every call, for a gateway whose header names are other ones.

    Raises SettingsError for an address or a name that no URL can hold.
    """
    endpoint = parse_address(address)
    parameters = dict(endpoint.parameters)
    for name, value in (
        (TEAM_HEADER, team),
        (ENVIRONMENT_HEADER, environment),
        ("user_id", user_id),
        ("session_id", session_id),
    ):
        if value is not None:
            parameters[name] = value
    parameters.update(headers or {})
    if tls is None:
        tls = not endpoint.is_loopback
    if tls:
        parameters["use_ssl"] = "true"
    else:
        parameters.pop("use_ssl", None)
        # PySpark takes a `token` for a wish for TLS; as metadata it goes over what there is.
        token = token if token is not None else parameters.pop("token", None)
    if token is not None:
        parameters.pop("token", None)
        parameters.pop("authorization", None)
        parameters["token" if tls else "authorization"] = token if tls else f"Bearer {token}"
    return make_url(endpoint.location, parameters)
