"""``python -m spark_connect_helper doctor|login|logout|whoami``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import Any, List, Optional

from .errors import HelperError
from .settings import Settings, load_settings, settings_path
from .tokens import find_source
from .tokens.chain import log_in
from .tokens.login import configured, login_key
from .tokens.store import LoginStore
from .tokens.token import Token, claims


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m spark_connect_helper", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser(
        "doctor", help="says what is set, which token is used, and connects"
    )
    doctor.add_argument("--no-connect", action="store_true", help="does not open a session")
    doctor.add_argument("--team", default=None)
    login = commands.add_parser("login", help="asks you to log in, and keeps the login")
    how = login.add_mutually_exclusive_group()
    for flow in ("device", "browser"):
        how.add_argument(f"--{flow}", dest="how", action="store_const", const=flow)
    commands.add_parser("logout", help="forgets the login")
    commands.add_parser("whoami", help="says whom the token is for, and how long it is good")
    for command in commands.choices.values():
        command.add_argument("--environment", default=None)
    args = parser.parse_args(arguments)
    try:
        settings = load_settings(args.environment)
        return int(_COMMANDS[args.command](settings, args))
    except HelperError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _login(settings: Settings, args: Any) -> int:
    store = LoginStore(os.environ)
    configured(settings)
    log_in(settings, store, env=os.environ, how=args.how)
    print(f"Logged in; the login is kept in {store.where}.")
    return 0


def _logout(settings: Settings, args: Any) -> int:
    store = LoginStore(os.environ)
    with store.locked():
        there = store.remove(login_key(*configured(settings)))
    print("The login is forgotten." if there else "There was no login.")
    return 0


def _whoami(settings: Settings, args: Any) -> int:
    found = find_source(settings, may_ask=False)
    if found.source is None or found.token is None:
        _print_tried(found.tried)
        print("No token.", file=sys.stderr)
        return 1
    print(f"{_whose(found.token)} from {found.source.name}{_until(found.token)}")
    return 0


def _doctor(settings: Settings, args: Any) -> int:
    path = settings_path(os.environ)
    print(f"settings     {path}{'' if path.exists() else ' (not there)'}")
    print(f"environment  {settings.environment}")
    print(f"gateway      {_without_token(settings.gateway) or 'not set: SPARK_CONNECT_GATEWAY'}")
    print(f"team         {args.team or settings.team or 'not set: the token says it, if it does'}")
    print(f"user         {settings.user or 'not set'}")
    print(f"CA file      {settings.ca_file or 'the system’s authorities'}")
    found = find_source(settings, may_ask=False)
    print("token")
    _print_tried(found.tried)
    if found.source is None or found.token is None:
        print("No token: nothing of the above gives one.", file=sys.stderr)
        return 1
    print(f"             {_whose(found.token)}{_until(found.token)}")
    if args.no_connect or not settings.gateway:
        return 0 if settings.gateway else 1
    from .session import get_spark

    spark = get_spark(
        args.team, args.environment, "doctor", token=found.source, new=True, timeout=120
    )
    spark.stop()
    return 0


def _print_tried(tried: Any) -> None:
    marks = {"used": "✓", "skipped": "-", "failed": "✗"}
    for one in tried:
        why = f": {one.why}" if one.why else ""
        print(f"           {marks[one.outcome]} {one.name}{why}")


def _whose(token: Token) -> str:
    told = claims(token.value)
    if "sub" not in told:
        return "a token that does not say whose it is"
    issuer = f" of {told['iss']}" if "iss" in told else ""
    return f"{told['sub']}{issuer}"


def _until(token: Token) -> str:
    if token.expires_at is None:
        return ""
    left = int(token.expires_at - time.time())
    return f", expired {-left} s ago" if left < 0 else f", good for {left} s"


def _without_token(url: Optional[str]) -> Optional[str]:
    return url.partition("/;")[0] if url else url


_COMMANDS = {"doctor": _doctor, "login": _login, "logout": _logout, "whoami": _whoami}

if __name__ == "__main__":
    sys.exit(main())
