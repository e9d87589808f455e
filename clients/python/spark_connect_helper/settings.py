"""Where to connect, and as whom: arguments, then environment variables, then a settings file.

The file is in INI form. Its sections are environments; ``[default]`` counts for all of them::

    [default]
    team = ads
    oidc_issuer = https://login.example.com/oauth2/default
    oidc_client_id = spark-notebooks

    [staging]
    gateway = spark-staging.example.com:15002

    [prod]
    gateway = spark.example.com:15002
    ca_file = /etc/ssl/example-ca.pem

It is ``SPARK_CONNECT_SETTINGS``, or ``spark-connect/settings.ini`` below ``XDG_CONFIG_HOME`` (``~/.config``).
"""

from __future__ import annotations

import configparser
import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional

from .errors import SettingsError

DEFAULT_ENVIRONMENT = "staging"
DEFAULT_AUDIENCE = "api://spark-gateway"

#: Each setting with its environment variable. ``gateway`` and ``playground`` may also be set for one
#: environment: ``SPARK_CONNECT_GATEWAY_PROD``.
VARIABLES: Mapping[str, str] = {
    "gateway": "SPARK_CONNECT_GATEWAY",
    "playground": "SPARK_CONNECT_PLAYGROUND",
    "team": "SPARK_CONNECT_TEAM",
    "user": "SPARK_CONNECT_USER",
    "tls": "SPARK_CONNECT_TLS",
    "ca_file": "SPARK_CONNECT_CA_FILE",
    "token_file": "SPARK_CONNECT_TOKEN_FILE",
    "service_account_token_file": "SPARK_CONNECT_SERVICE_ACCOUNT_TOKEN_FILE",
    "jupyterhub_token": "SPARK_CONNECT_JUPYTERHUB_TOKEN",
    "audience": "SPARK_CONNECT_AUDIENCE",
    "oidc_issuer": "SPARK_CONNECT_OIDC_ISSUER",
    "oidc_client_id": "SPARK_CONNECT_OIDC_CLIENT_ID",
    "oidc_scope": "SPARK_CONNECT_OIDC_SCOPE",
    "oidc_token": "SPARK_CONNECT_OIDC_TOKEN",
    "login": "SPARK_CONNECT_LOGIN",
    "team_header": "SPARK_CONNECT_TEAM_HEADER",
    "environment_header": "SPARK_CONNECT_ENVIRONMENT_HEADER",
    "user_header": "SPARK_CONNECT_USER_HEADER",
}
_BY_ENVIRONMENT = ("gateway", "playground")
_CHOICES: Mapping[str, "tuple[str, ...]"] = {
    "oidc_token": ("access_token", "id_token"),
    "jupyterhub_token": ("access_token", "id_token"),
    "login": ("auto", "device", "browser", "none"),
}


@dataclass(frozen=True)
class Settings:
    """What was found; None where nothing was set."""

    environment: str
    gateway: Optional[str] = None
    playground: Optional[str] = None
    team: Optional[str] = None
    user: Optional[str] = None
    tls: Optional[bool] = None
    ca_file: Optional[str] = None
    token_file: Optional[str] = None
    service_account_token_file: Optional[str] = None
    jupyterhub_token: str = "access_token"
    audience: str = DEFAULT_AUDIENCE
    oidc_issuer: Optional[str] = None
    oidc_client_id: Optional[str] = None
    oidc_scope: str = "openid profile offline_access"
    oidc_token: str = "access_token"
    login: str = "auto"
    team_header: str = "x-doordash-team"
    environment_header: str = "x-doordash-environment"
    user_header: str = "x-doordash-user"


def load_settings(
    environment: Optional[str] = None,
    *,
    env: Optional[Mapping[str, str]] = None,
    file: "Optional[str | os.PathLike[str]]" = None,
    **arguments: "Optional[str | bool]",
) -> Settings:
    """All settings for an environment.

    environment: None for ``SPARK_CONNECT_ENV``, then the file's ``environment``, then ``staging``.
    arguments: settings that come before everything else; None is as if not given.

    Raises SettingsError for a file that cannot be read, a name that is none and a value that is not allowed.
    """
    env = os.environ if env is None else env
    parser, path = _read_file(file, env)
    defaults = dict(parser.defaults())
    chosen = (
        environment
        or env.get("SPARK_CONNECT_ENV")
        or defaults.get("environment")
        or DEFAULT_ENVIRONMENT
    )
    section = dict(parser[chosen]) if parser.has_section(chosen) else defaults
    section.pop("environment", None)
    _check_names(section, path)

    values: Dict[str, "str | bool"] = {}
    for name, variable in VARIABLES.items():
        candidates = [arguments.get(name)]
        if name in _BY_ENVIRONMENT:
            candidates.append(env.get(f"{variable}_{_variable_part(chosen)}") or None)
        candidates += [env.get(variable) or None, section.get(name) or None]
        found = next((value for value in candidates if value is not None), None)
        if found is not None:
            values[name] = found
    if "user" not in values:
        user = env.get("JUPYTERHUB_USER") or env.get("USER") or env.get("LOGNAME")
        if user:
            values["user"] = user
    for name, choices in _CHOICES.items():
        if name in values and values[name] not in choices:
            raise SettingsError(f"{name} is {values[name]!r}; it may be {', '.join(choices)}.")
    if isinstance(values.get("tls"), str):
        values["tls"] = _boolean("tls", str(values["tls"]))
    return Settings(environment=chosen, **values)  # type: ignore[arg-type]


def settings_path(env: Mapping[str, str]) -> Path:
    """Where the settings file is looked for."""
    if env.get("SPARK_CONNECT_SETTINGS"):
        return Path(env["SPARK_CONNECT_SETTINGS"])
    base = env.get("XDG_CONFIG_HOME") or os.path.join(
        env.get("HOME") or os.path.expanduser("~"), ".config"
    )
    return Path(base) / "spark-connect" / "settings.ini"


def _read_file(
    file: "Optional[str | os.PathLike[str]]", env: Mapping[str, str]
) -> "tuple[configparser.ConfigParser, Path]":
    path = Path(file) if file is not None else settings_path(env)
    must_exist = file is not None or bool(env.get("SPARK_CONNECT_SETTINGS"))
    parser = configparser.ConfigParser(default_section="default", interpolation=None)
    try:
        with open(path, encoding="utf-8") as stream:
            parser.read_file(stream)
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"There is no settings file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}") from None
    except configparser.Error as error:
        reason = str(error).replace("\n", " ")
        raise SettingsError(f"The settings file is not in INI form: {reason}") from None
    return parser, path


def _check_names(section: Mapping[str, str], path: Path) -> None:
    for name in section:
        if name in VARIABLES:
            continue
        near = difflib.get_close_matches(name, VARIABLES, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Known are {', '.join(VARIABLES)}."
        raise SettingsError(f"{path} has a setting {name!r} that is none.{hint}")


def _variable_part(environment: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", environment.upper())


def _boolean(name: str, text: str) -> bool:
    value = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
        text.strip().lower()
    )
    if value is None:
        raise SettingsError(f"{name} is {text!r}; it may be true or false.")
    return value
