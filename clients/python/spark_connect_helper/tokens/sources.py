"""Where a token may come from without asking a person. Each says why it does not fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping, Optional
from urllib.parse import quote

from ..errors import TokenUnavailable
from ..settings import Settings
from .http import HttpFailure, ask
from .token import Token, claims

#: Where a projected service-account token for the gateway is mounted by convention.
PROJECTED_TOKEN = "/var/run/secrets/spark-connect/token"
#: A token whose end is not known is asked for again after this long.
UNKNOWN_LIFE_SECONDS = 300.0
BUILDKITE_LIFE_SECONDS = 600

Clock = Callable[[], float]


class NotHere(TokenUnavailable):
    """A source does not fit here; the message says why. The next one is tried."""


class FixedToken:
    """A token that somebody gave; it cannot be renewed."""

    def __init__(self, text: str, name: str, now: Clock = time.time) -> None:
        self.name = name
        self._token = Token.of(text, now=now())

    def token(self) -> Token:
        return self._token


class CalledToken:
    """A function of the user's is called for each token."""

    name = "the function given as token="

    def __init__(self, function: Callable[[], str], now: Clock = time.time) -> None:
        self._function = function
        self._now = now

    def token(self) -> Token:
        try:
            text = self._function()
        except Exception as error:
            raise TokenUnavailable(
                f"The function given as token= failed: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(text, str):
            raise TokenUnavailable("The function given as token= must return a string.")
        return Token.of(text, now=self._now())


class FileToken:
    """A file that something else keeps fresh. It is read anew for each renewal."""

    def __init__(self, path: str, name: str, now: Clock = time.time) -> None:
        self.name = f"{name} ({path})"
        self._path = path
        self._now = now

    def token(self) -> Token:
        try:
            text = Path(self._path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TokenUnavailable(f"{self.name} cannot be read: {error}") from None
        now = self._now()
        token = Token.of(text, now=now)
        if token.expires_at is not None:
            return token
        return Token(token.value, now + UNKNOWN_LIFE_SECONDS, now)


class JupyterHubToken:
    """The Hub keeps the user's token and renews it when it is asked (auth_state).

    The environment's copy is frozen when a server starts; the Hub's API is not.
    https://oauthenticator.readthedocs.io (auth_refresh_age), https://jupyterhub.readthedocs.io (auth_state).
    """

    name = "JupyterHub's API"

    def __init__(self, settings: Settings, env: Mapping[str, str], now: Clock = time.time) -> None:
        self._url = env.get("JUPYTERHUB_API_URL", "").rstrip("/")
        self._api_token = env.get("JUPYTERHUB_API_TOKEN", "")
        self._field = settings.jupyterhub_token
        self._now = now
        if not self._url or not self._api_token:
            raise NotHere("JUPYTERHUB_API_URL and JUPYTERHUB_API_TOKEN are not set")

    def token(self) -> Token:
        try:
            answer = ask(f"{self._url}/user", headers={"authorization": f"token {self._api_token}"})
        except HttpFailure as error:
            raise TokenUnavailable(f"JupyterHub's API does not answer: {error}") from None
        if answer.status != 200:
            raise TokenUnavailable(f"JupyterHub's API answers {answer.status} to GET /user.")
        state = answer.json().get("auth_state")
        if not isinstance(state, dict) or not isinstance(state.get(self._field), str):
            raise NotHere(
                f"the Hub tells no auth_state.{self._field}: it needs enable_auth_state, and the "
                "scope `admin:auth_state!user` for this server's token"
            )
        now = self._now()
        token = Token.of(state[self._field], now=now)
        return token if token.expires_at else Token(token.value, now + UNKNOWN_LIFE_SECONDS, now)


class GitHubToken:
    """A token of the running GitHub Actions job, minted anew for each renewal: one lives for 5 minutes."""

    name = "GitHub Actions OIDC"

    def __init__(self, settings: Settings, env: Mapping[str, str], now: Clock = time.time) -> None:
        self._url = env.get("ACTIONS_ID_TOKEN_REQUEST_URL", "")
        self._request_token = env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
        self._audience = settings.audience
        self._now = now
        if not self._url or not self._request_token:
            if env.get("GITHUB_ACTIONS") == "true":
                raise NotHere("the job has no `permissions: id-token: write`")
            raise NotHere("this is no GitHub Actions job")

    def token(self) -> Token:
        joint = "&" if "?" in self._url else "?"
        try:
            answer = ask(
                f"{self._url}{joint}audience={quote(self._audience, safe='')}",
                headers={"authorization": f"Bearer {self._request_token}"},
            )
        except HttpFailure as error:
            raise TokenUnavailable(f"GitHub's OIDC endpoint does not answer: {error}") from None
        value = answer.json().get("value")
        if answer.status != 200 or not isinstance(value, str):
            raise TokenUnavailable(f"GitHub's OIDC endpoint answers {answer.status}.")
        return Token.of(value, now=self._now())


class BuildkiteToken:
    """A token of the running Buildkite job, from its agent."""

    name = "Buildkite OIDC"

    def __init__(self, settings: Settings, env: Mapping[str, str], now: Clock = time.time) -> None:
        if env.get("BUILDKITE") != "true":
            raise NotHere("this is no Buildkite job")
        self._agent = shutil.which("buildkite-agent", path=env.get("PATH"))
        if self._agent is None:
            raise NotHere("there is no buildkite-agent on PATH (mount it into the container)")
        self._env = dict(env)
        self._audience = settings.audience
        self._now = now

    def token(self) -> Token:
        command = [
            str(self._agent),
            "oidc",
            "request-token",
            "--audience",
            self._audience,
            "--lifetime",
            str(BUILDKITE_LIFE_SECONDS),
        ]
        try:
            done = subprocess.run(
                command, env=self._env, capture_output=True, text=True, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TokenUnavailable(f"buildkite-agent does not run: {error}") from None
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise TokenUnavailable(f"buildkite-agent gives no token: {last[:200]}")
        return Token.of(done.stdout, now=self._now())


def service_account_token(
    settings: Settings, env: Mapping[str, str], now: Clock = time.time
) -> FileToken:
    """A projected token for the gateway's audience. A pod's default token is never sent: it opens the API server."""
    path = settings.service_account_token_file or PROJECTED_TOKEN
    if not os.path.exists(path):
        if settings.service_account_token_file:
            raise TokenUnavailable(f"There is no service-account token {path}.")
        raise NotHere(f"no projected token is mounted at {PROJECTED_TOKEN}")
    return FileToken(path, "the pod's service-account token", now)


def subject(token: str) -> Optional[str]:
    """Who a JWT is for, as a key to tell principals apart; None for another token."""
    told = claims(token)
    if "sub" not in told:
        return None
    return json.dumps([told.get("iss"), told.get("sub")])
