"""Which source the token comes from: the first that fits, with the reason why each one before it does not."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..errors import HelperError, SettingsError, TokenUnavailable
from ..settings import Settings
from . import login
from .sources import (
    BuildkiteToken,
    CalledToken,
    FileToken,
    FixedToken,
    GitHubToken,
    JupyterHubToken,
    NotHere,
    service_account_token,
)
from .store import LoginStore
from .token import FreshToken, Token, TokenSource


@dataclass(frozen=True)
class Tried:
    """outcome: ``used``, ``skipped`` or ``failed``; why: for the last two."""

    name: str
    outcome: str
    why: str = ""


@dataclass(frozen=True)
class Found:
    """What the search for a token came to. Without a source, the last of ``tried`` may say what failed."""

    tried: List[Tried]
    source: Optional[TokenSource] = None
    token: Optional[Token] = None


def find_source(
    settings: Settings,
    *,
    argument: Any = None,
    env: Optional[Mapping[str, str]] = None,
    may_ask: Optional[bool] = None,
    say: Optional[login.Say] = None,
    now: Callable[[], float] = time.time,
) -> Found:
    """The first source that fits and gives a token, and what was tried.

    argument: a token, a function that returns one, or a TokenSource. may_ask: whether a person may be
    asked to log in; None: in a terminal or a notebook.

    A source that was set on purpose and does not work is an error, not a reason to take another identity:
    then the last of what was tried has ``failed`` and there is no source.
    """
    env = os.environ if env is None else env
    tried: List[Tried] = []
    for name, make in _candidates(settings, argument, env, may_ask, say, now):
        try:
            source = make()
            token = source.token()
        except NotHere as error:
            tried.append(Tried(name, "skipped", str(error)))
            continue
        except HelperError as error:
            tried.append(Tried(name, "failed", str(error)))
            return Found(tried)
        tried.append(Tried(source.name, "used"))
        return Found(tried, source, token)
    return Found(tried)


def fresh_token(settings: Settings, **options: Any) -> FreshToken:
    """A token that stays fresh. Raises TokenUnavailable with all that was tried."""
    found = find_source(settings, **options)
    if found.source is not None:
        return FreshToken(found.source, first=found.token)
    failed = [one for one in found.tried if one.outcome == "failed"]
    if failed:
        raise TokenUnavailable(f"No token from {failed[0].name}: {failed[0].why}")
    raise TokenUnavailable(
        "No token found. Set SPARK_CONNECT_TOKEN or SPARK_CONNECT_TOKEN_FILE, or log in with "
        "`python -m spark_connect_helper login`; `python -m spark_connect_helper doctor` says what was tried."
    )


Maker = Callable[[], TokenSource]


def _candidates(
    settings: Settings,
    argument: Any,
    env: Mapping[str, str],
    may_ask: Optional[bool],
    say: Optional[login.Say],
    now: Callable[[], float],
) -> List[Tuple[str, Maker]]:
    store = LoginStore(env)
    return [
        ("the argument token=", lambda: _of_argument(argument, now)),
        ("SPARK_CONNECT_TOKEN", lambda: _of_variable("SPARK_CONNECT_TOKEN", env, now)),
        (
            "SPARK_CONNECT_AUTHENTICATE_TOKEN",
            lambda: _of_variable("SPARK_CONNECT_AUTHENTICATE_TOKEN", env, now),
        ),
        ("SPARK_CONNECT_TOKEN_FILE", lambda: _of_file(settings, now)),
        (JupyterHubToken.name, lambda: JupyterHubToken(settings, env, now)),
        (GitHubToken.name, lambda: GitHubToken(settings, env, now)),
        (BuildkiteToken.name, lambda: BuildkiteToken(settings, env, now)),
        ("service-account token", lambda: service_account_token(settings, env, now)),
        ("cached login", lambda: login.CachedLogin(settings, store, now)),
        ("login", lambda: _log_in_now(settings, store, env, may_ask, say, now)),
    ]


def _of_argument(argument: Any, now: Callable[[], float]) -> TokenSource:
    if argument is None:
        raise NotHere("not given")
    if isinstance(argument, str):
        return FixedToken(argument, "the argument token=", now)
    if callable(getattr(argument, "token", None)):
        return argument  # type: ignore[no-any-return]
    if callable(argument):
        return CalledToken(argument, now)
    raise SettingsError("token= must be a string, a function that returns one, or a token source.")


def _of_variable(name: str, env: Mapping[str, str], now: Callable[[], float]) -> TokenSource:
    if not env.get(name, "").strip():
        raise NotHere("not set")
    return FixedToken(env[name], name, now)


def _of_file(settings: Settings, now: Callable[[], float]) -> TokenSource:
    if settings.token_file is None:
        raise NotHere("not set")
    return FileToken(settings.token_file, "SPARK_CONNECT_TOKEN_FILE", now)


def _log_in_now(
    settings: Settings,
    store: LoginStore,
    env: Mapping[str, str],
    may_ask: Optional[bool],
    say: Optional[login.Say],
    now: Callable[[], float],
) -> TokenSource:
    login.configured(settings)
    if settings.login == "none":
        raise NotHere("login = none")
    if not (is_interactive() if may_ask is None else may_ask):
        raise NotHere("nobody is there to be asked: this is no terminal and no notebook")
    log_in(settings, store, env=env, say=say, now=now)
    return login.CachedLogin(settings, store, now)


def log_in(
    settings: Settings,
    store: LoginStore,
    *,
    env: Mapping[str, str],
    how: Optional[str] = None,
    say: Optional[login.Say] = None,
    now: Callable[[], float] = time.time,
) -> None:
    """Asks a person to log in, and keeps the login. how: ``device``, ``browser``; None: what fits here."""
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    provider = login.discover(settings)
    how = how or (settings.login if settings.login in ("device", "browser") else None)
    if how is None:
        how = "browser" if _has_browser(env, provider) else "device"
    flows: Dict[str, Callable[[], Dict[str, Any]]] = {
        "browser": lambda: login.browser_login(provider, say),
        "device": lambda: login.device_login(provider, say, now=now),
    }
    said = flows[how]()
    with store.locked():
        login.keep(provider, store, said, now=now)


def _has_browser(env: Mapping[str, str], provider: login.Provider) -> bool:
    """Whether a browser of this machine is the user's: not behind SSH, and not in a notebook server."""
    if provider.device_endpoint is None:
        return True
    if provider.authorization_endpoint is None or in_notebook():
        return False
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return False
    if sys.platform.startswith("linux") and not (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def is_interactive() -> bool:
    if in_notebook():
        return True
    try:
        return sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
