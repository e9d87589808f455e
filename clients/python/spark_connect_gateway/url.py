"""Spark Connect URLs: ``sc://host:port/;name=value;name=value``.

https://github.com/apache/spark/blob/master/sql/connect/docs/client-connection-string.md
"""

import ipaddress
from typing import Dict, Mapping, Optional
from urllib.parse import quote, unquote, urlsplit

TEAM_HEADER = "x-doordash-team"
ENVIRONMENT_HEADER = "x-doordash-environment"


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
    """The URL for ``SparkSession.builder.remote``, with every value percent-encoded.

    address: ``host``, ``host:port`` or an ``sc://`` URL; arguments replace the URL's parameters.
    token: the access token, without ``Bearer``.
    tls: None: off for a loopback address, else on.
    headers: more metadata for every call, for a gateway whose header names are other ones.

    Raises ValueError for an address or a name that no URL can hold.
    """
    location, parameters = _split(address)
    for name, value in (
        (TEAM_HEADER, team),
        (ENVIRONMENT_HEADER, environment),
        ("user_id", user_id),
        ("session_id", session_id),
    ):
        if value is not None:
            parameters[name] = value
    for name, value in (headers or {}).items():
        if not name or name != quote(name, safe="").lower():
            raise ValueError(f"Not a lower-case header name: {name!r}")
        parameters[name] = value
    if tls is None:
        tls = not _is_loopback(location)
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
    joined = ";".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return f"sc://{location}/;{joined}" if joined else f"sc://{location}"


def _split(address: str) -> "tuple[str, Dict[str, str]]":
    url = address if "://" in address else f"sc://{address}"
    parts = urlsplit(url)
    path, _, rest = parts.path.partition(";")
    if parts.scheme != "sc" or not parts.hostname or path not in ("", "/") or parts.query:
        raise ValueError(f"Not an address (host, host:port or sc://host:port): {address!r}")
    parameters = {}
    for pair in filter(None, rest.split(";")):
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise ValueError(f"A parameter of the URL is not name=value: {name!r}")
        parameters[name] = unquote(value)
    return parts.netloc, parameters


def _is_loopback(location: str) -> bool:
    host = urlsplit(f"sc://{location}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
