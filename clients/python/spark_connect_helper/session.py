"""One call to a session: ``get_spark``."""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import types
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple, cast
from urllib.parse import quote

from .errors import HelperError, MissingPackage, NotConnected, SettingsError
from .progress import Progress
from .settings import Settings, load_settings
from .tokens import FreshToken, fresh_token
from .tokens.sources import subject
from .url import CLIENT_PARAMETERS, Endpoint, make_url, parse_address

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from .pyspark_session import GatewaySession

TIMEOUT_SECONDS = 600.0
#: At the end of a program nobody waits long for a gateway.
EXIT_SECONDS = 2.0

#: What PySpark's client needs, with the package that has it.
_NEEDED: Mapping[str, str] = {
    "pyspark": "pyspark (3.5 or 4), or pyspark-client",
    "grpc": "grpcio",
    "grpc_status": "grpcio-status",
    "google.rpc": "googleapis-common-protos",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
}


@dataclass(frozen=True)
class Target:
    """What makes two calls mean the same session."""

    location: str
    tls: bool
    headers: Tuple[Tuple[str, str], ...]
    user: Optional[str]
    principal: str


_lock = threading.Lock()
_opening: Dict[Target, threading.Lock] = {}
_sessions: Dict[Target, "GatewaySession"] = {}


def get_spark(
    team: Optional[str] = None,
    environment: Optional[str] = None,
    app_name: Optional[str] = None,
    *,
    gateway: Optional[str] = None,
    token: Any = None,
    user: Optional[str] = None,
    tls: Optional[bool] = None,
    ca_file: Optional[str] = None,
    headers: Optional[Mapping[str, str]] = None,
    config: Optional[Mapping[str, str]] = None,
    timeout: float = TIMEOUT_SECONDS,
    new: bool = False,
    session_id: Optional[str] = None,
    quiet: bool = False,
    channel_options: Sequence[Tuple[str, Any]] = (),
) -> "SparkSession":
    """A Spark session through the gateway: the one that is there for this target, or a new one.

    A session whose driver is gone, or that has ended, is replaced; one line says what was lost.

    team: whose drivers; None: ``SPARK_CONNECT_TEAM``, the settings file, or the token's own team.
    environment: None: ``SPARK_CONNECT_ENV``, the settings file, or ``staging``.
    gateway: ``host``, ``host:port`` or an ``sc://`` URL; None: ``SPARK_CONNECT_GATEWAY_<ENVIRONMENT>``,
        ``SPARK_CONNECT_GATEWAY``, or the settings file.
    token: a token, a function that returns one, or a ``TokenSource``; None: what is found here
        (``python -m spark_connect_helper doctor``).
    user: for the audit log; None: ``SPARK_CONNECT_USER``, ``JUPYTERHUB_USER``, ``USER``.
    tls: None: off for a loopback address, else on. ca_file: PEM file of a private authority.
    headers: more headers for each request, in lower case. config: Spark settings of the session.
    timeout: seconds to wait for a driver. new: a session of one's own, whatever is there.
    session_id: takes up a session of yours that lives (a UUID); by default PySpark makes a new id each time.
    quiet: says nothing.

    Raises HelperError: SettingsError, MissingPackage, TokenUnavailable, GatewayRefused, NotConnected.
    """
    settings = load_settings(
        environment,
        gateway=gateway,
        team=team,
        user=user,
        tls=tls,
        ca_file=ca_file,
    )
    _check_packages()
    progress = Progress(quiet)
    plan = _plan(
        settings,
        given_environment=environment,
        headers=headers,
        token=token,
        session_id=session_id,
        progress=progress,
    )
    if new or session_id is not None:
        return _open(plan, config, app_name, timeout, progress, channel_options)
    with _lock:
        turn = _opening.setdefault(plan.target, threading.Lock())
    with turn:
        live = _live_session(plan, timeout, progress)
        if live is None:
            live = _open(plan, config, app_name, timeout, progress, channel_options)
            with _lock:
                _sessions[plan.target] = cast("GatewaySession", live)
        elif config:
            for name, value in config.items():
                live.conf.set(name, value)
        return live


def release(spark: "SparkSession") -> None:
    """Ends a session and tells the gateway, with PySpark 3.5, too. As ``spark.stop()`` of these sessions."""
    spark.stop()


@dataclass(frozen=True)
class _Plan:
    target: Target
    settings: Settings
    endpoint: Endpoint
    url: str
    tokens: Optional[FreshToken]
    fixed: bool


def _plan(
    settings: Settings,
    *,
    given_environment: Optional[str],
    headers: Optional[Mapping[str, str]],
    token: Any,
    session_id: Optional[str],
    progress: Progress,
) -> _Plan:
    if not settings.gateway:
        variable = settings.environment.upper()
        raise SettingsError(
            f"No gateway is known for {settings.environment}. Give gateway=, or set "
            f"SPARK_CONNECT_GATEWAY_{variable} or SPARK_CONNECT_GATEWAY."
        )
    endpoint = parse_address(settings.gateway)
    parameters = dict(endpoint.parameters)
    # A pasted URL may hold a token, as PySpark wants it with TLS or without.
    pasted = parameters.pop("token", None)
    bearer = parameters.pop("authorization", None)
    if pasted is None and bearer is not None and bearer.lower().startswith("bearer "):
        pasted = bearer[7:]
    # An id in a pasted URL is another session's, which may have ended long ago.
    parameters.pop("session_id", None)
    if session_id is not None:
        parameters["session_id"] = session_id
    use_ssl = parameters.pop("use_ssl", None)
    tls = settings.tls
    if tls is None:
        tls = use_ssl == "true" or not endpoint.is_loopback
    if settings.team is not None:
        parameters[settings.team_header] = settings.team
    if given_environment is not None or settings.environment_header not in parameters:
        parameters[settings.environment_header] = settings.environment
    if settings.user is not None:
        parameters.setdefault("user_id", settings.user)
    user = parameters.get("user_id")
    if user is not None:
        parameters.setdefault(settings.user_header, quote(user, safe="@+ !#$&'*-.^_`|~"))
    parameters.update(headers or {})
    _check_headers(parameters)

    argument = token if token is not None else pasted
    tokens = fresh_token(settings, argument=argument, say=progress.say)
    fixed = isinstance(argument, str)
    principal = tokens.source.name
    if isinstance(argument, str):
        principal = subject(argument) or argument
    target = Target(
        endpoint.location,
        tls,
        tuple(sorted(pair for pair in parameters.items() if pair[0] not in CLIENT_PARAMETERS)),
        user,
        principal,
    )
    url = make_url(endpoint.location, parameters)
    return _Plan(target, replace(settings, tls=tls), endpoint, url, tokens, fixed)


def _check_headers(parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        if name in CLIENT_PARAMETERS:
            continue
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise SettingsError(f"{name} is {value!r}: a header holds printable ASCII only.")


def _live_session(plan: _Plan, timeout: float, progress: Progress) -> "Optional[SparkSession]":
    """The session that is there, if it still lives; the gateway is asked."""
    with _lock:
        session = _sessions.get(plan.target)
    if session is None:
        return None
    if session.client.is_closed and session.gateway_watch.lost is None:
        # The user has stopped it.
        _forget(plan.target, session)
        return None
    if plan.fixed and plan.tokens is not None and session.client._builder.tokens is not None:
        session.client._builder.tokens.replace(plan.tokens.source)
    if session.gateway_watch.lost is None:
        from .channel import Opening

        opening = Opening(progress, timeout, plan.endpoint.location, tls=bool(plan.settings.tls))
        session.gateway_watch.opening = opening
        try:
            _version(session)
        except HelperError:
            if session.gateway_watch.lost is None:
                raise
        except Exception as error:
            # PySpark 4 sees by itself that another server session answers under this one's id.
            session.gateway_watch.lost = session.gateway_watch.lost or str(error)
        finally:
            session.gateway_watch.opening = None
            progress.clear()
    lost = session.gateway_watch.lost
    if lost is None:
        return cast("SparkSession", session)
    _forget(plan.target, session)
    session.stop()
    progress.say(_what_was_lost(lost))
    return None


def _open(
    plan: _Plan,
    config: Optional[Mapping[str, str]],
    app_name: Optional[str],
    timeout: float,
    progress: Progress,
    channel_options: Sequence[Tuple[str, Any]],
) -> "SparkSession":
    from . import pyspark_session
    from .channel import Opening, Watch

    if pyspark_session.local_spark_is_running():
        raise SettingsError(
            "A local Spark runs in this process, and PySpark cannot have both. Call its spark.stop() first."
        )
    _drop_ended_default()
    location = plan.endpoint.location
    tls = bool(plan.settings.tls)
    watch = Watch()
    watch.opening = Opening(progress, timeout, location, tls=tls)
    builder = pyspark_session.GatewayChannelBuilder(
        _with_user_agent(plan.url, app_name),
        tokens=plan.tokens,
        watch=watch,
        tls=tls,
        ca=_read_ca(plan.settings.ca_file),
        channel_options=channel_options,
    )
    session: "Optional[GatewaySession]" = None
    try:
        session = pyspark_session.new_session(builder)
        version = _version(session)
        pyspark_session.configure(session, config or {}, app_name)
    except BaseException as error:
        progress.clear()
        _abandon(session, background=isinstance(error, KeyboardInterrupt))
        raise
    watch.opening = None
    _release_at_exit(session)
    team = f"team {plan.settings.team}, " if plan.settings.team else ""
    client = _client_version()
    skew = "" if client.split(".")[0] == version.split(".")[0] else f"; this is PySpark {client}"
    progress.say(f"Connected to Spark {version} ({team}{plan.settings.environment}{skew})")
    return cast("SparkSession", session)


def _version(session: "GatewaySession") -> str:
    """Asks the driver; PySpark would remember the answer."""
    return str(session.client._analyze(method="spark_version").spark_version)


def _client_version() -> str:
    import pyspark

    return str(pyspark.__version__)


def _what_was_lost(message: str) -> str:
    text = (message.partition("] ")[2] or message).replace("This session", "Your former session", 1)
    return f"{text.partition(';')[0].rstrip('.')}: temporary views, cached data and settings of it are lost."


def _abandon(session: "Optional[GatewaySession]", *, background: bool) -> None:
    """Ends a session that was not opened to the end. Ctrl-C does not wait for it."""
    if session is None:
        return
    session.gateway_watch.opening = None
    if not background:
        session.release(EXIT_SECONDS)
        return
    threading.Thread(target=session.release, args=(EXIT_SECONDS,), daemon=True).start()


def _forget(target: Target, session: "GatewaySession") -> None:
    with _lock:
        if _sessions.get(target) is session:
            del _sessions[target]


def _drop_ended_default() -> None:
    """PySpark 3.5 keeps a stopped session as the default one, and would hand it out."""
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    with ConnectSession._lock:
        default = ConnectSession._default_session
        if default is not None and default.is_stopped:
            ConnectSession._default_session = None
        active = getattr(ConnectSession._active_session, "session", None)
        if active is not None and active.is_stopped:
            ConnectSession._active_session.session = None


_at_exit: "List[GatewaySession]" = []


def _release_at_exit(session: "GatewaySession") -> None:
    """A program that ends without ``stop()`` gives its driver back."""
    with _lock:
        if not _at_exit:
            atexit.register(_release_all)
        _at_exit[:] = [one for one in _at_exit if not one.client.is_closed]
        _at_exit.append(session)


def _release_all() -> None:
    for session in list(_at_exit):
        if session._gateway_pid == os.getpid() and not session.client.is_closed:
            session.release(EXIT_SECONDS)


def _with_user_agent(url: str, app_name: Optional[str]) -> str:
    """Who calls, for the gateway's audit log."""
    if ";user_agent=" in url:
        return url
    try:
        own = f"spark-connect-helper/{metadata.version('spark-connect-helper')}"
    except metadata.PackageNotFoundError:
        own = "spark-connect-helper"
    name = "".join(c for c in app_name or "" if c.isascii() and c.isprintable())[:100]
    agent = f"{name} {own}".strip()
    return f"{url}{';' if '/;' in url else '/;'}user_agent={quote(agent, safe='')}"


def _read_ca(path: Optional[str]) -> Optional[bytes]:
    if path is None:
        return None
    try:
        with open(path, "rb") as stream:
            text = stream.read()
    except OSError as error:
        raise SettingsError(f"The CA file {path} cannot be read: {error}") from None
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise SettingsError(f"The CA file {path} holds no certificate in PEM form.")
    return text


def _check_packages() -> None:
    missing = [package for module, package in _NEEDED.items() if not _is_there(module)]
    if missing:
        raise MissingPackage(
            f"PySpark's Spark Connect client needs {', '.join(missing)}: "
            "pip install 'spark-connect-helper[spark4]' (or [spark35])"
        )
    _say_that_this_is_no_doctest()
    try:
        importlib.import_module("pyspark.sql.connect.session")
    except ImportError as error:
        lines = str(error).strip().splitlines()
        raise MissingPackage(
            f"PySpark's Spark Connect client cannot be imported: {lines[0] if lines else error}. "
            "pip install 'spark-connect-helper[spark4]' (or [spark35])"
        ) from error


def _say_that_this_is_no_doctest() -> None:
    """PySpark takes a program without a file (`python -c`, a worker of pytest-xdist) for a run of its doctests.

    It then imports its own test tools, for which pyspark-client has no Spark, and ends the process. A spec
    without a name is enough for it, and means nothing to anybody else (multiprocessing looks at the name).
    """
    main = sys.modules.get("__main__")
    if main is None or getattr(main, "__spec__", None) is not None:
        return
    if not hasattr(main, "__file__") and not hasattr(sys, "ps1"):
        main.__spec__ = types.SimpleNamespace(name=None)  # type: ignore[assignment]


def _is_there(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


__all__ = ["NotConnected", "get_spark", "release"]
