"""Batch jobs over the Playground's REST API: submit, follow, fetch results.

::

    from spark_connect_helper.batch import submit_job, wait_for_job, job_results

    job = submit_job(manifest, "staging", team="ads")
    wait_for_job(job)
    print(job_results(job).preview)
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import random
import time
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Union
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request

from .errors import BatchError, JobFailed, SettingsError
from .log_stream import LONGEST_PAUSE_SECONDS, TRY_AGAIN, LogStream
from .settings import load_settings
from .tokens import FreshToken, fresh_token
from .tokens.http import Answer, HttpFailure, ask, is_private, opener, reason_of

API = "/api/v1/playground"
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
#: How long one request is tried again.
PATIENCE_SECONDS = 120.0
LONGEST_POLL_SECONDS = 10.0
#: A log stream that says nothing for so long, not even a heartbeat, is dead.
SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Job:
    """What is known of a job. state: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED or UNKNOWN.

    reason: why it is in its state, also what one that is PENDING waits for: ``code``, ``message``, and of a
    mistake in the manifest ``step``, ``line`` and ``column``, counted from 1.
    """

    job_id: str
    state: str = "PENDING"
    spark_ui_url: Optional[str] = None
    logs: str = ""
    error: Optional[str] = None
    reason: Optional[Mapping[str, Any]] = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Results:
    """preview: the first 100 rows at most; 64-bit integers and decimals are text. count: all rows, None where that is not known.

    schema: the columns. output_path: where all of it is.
    """

    preview: Any
    count: Optional[int]
    schema: Any
    output_path: Optional[str]

    @property
    def columns(self) -> List[str]:
        if isinstance(self.preview, dict):
            return [str(name) for name in self.preview.get("columns", [])]
        return []

    @property
    def rows(self) -> List[Any]:
        if isinstance(self.preview, dict):
            return list(self.preview.get("rows", []))
        return list(self.preview or [])

    def to_pandas(self) -> Any:
        import pandas

        return pandas.DataFrame(self.rows, columns=self.columns or None)


JobOrId = Union[Job, str]


class Playground:
    """One Playground.

    url: its address, ``https://…``; plain HTTP to this machine only. token: as for ``get_spark``.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Any = None,
        tokens: Optional[FreshToken] = None,
        ca_file: Optional[str] = None,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not is_private(url):
            raise SettingsError(
                f"The Playground's address must begin with https://, so that your token stays private: {url}"
            )
        self._url = url.rstrip("/")
        self._ca_file = ca_file
        self.tokens = tokens or fresh_token(load_settings(ca_file=ca_file), argument=token)
        self.patience = patience
        self.now = now
        self.sleep = sleep

    def submit(
        self,
        manifest: str,
        environment: str,
        *,
        team: Optional[str] = None,
        job_name: Optional[str] = None,
        options: Optional[Mapping[str, str]] = None,
        idempotency_key: Optional[str] = None,
    ) -> Job:
        """Starts a job. Sent again after a failure, it is still one job: all attempts have one key.

        idempotency_key: yours, so that a program that is run again does not start a second job: 1 to 128
        printable characters of ASCII without spaces.
        """
        body: Dict[str, Any] = {"manifest": manifest, "environment": environment}
        for name, value in (("team", team), ("job_name", job_name), ("options", options)):
            if value is not None:
                body[name] = dict(value) if isinstance(value, Mapping) else value
        answer = self._ask(
            "POST",
            "/submit",
            body=body,
            headers={"idempotency-key": idempotency_key or str(uuid.uuid4())},
        )
        job_id = answer.get("job_id")
        if not isinstance(job_id, str) or not job_id:
            raise BatchError("The Playground's answer has no job_id.")
        return Job(job_id)

    def get(self, job: JobOrId) -> Job:
        said = self._ask("GET", f"/status/{_part(job)}")
        return Job(
            job_id=str(said.get("job_id") or _id(job)),
            state=str(said.get("state") or "UNKNOWN"),
            spark_ui_url=said.get("spark_ui_url") or None,
            logs=said.get("logs") or "",
            error=said.get("error") or None,
            reason=said.get("reason") or None,
        )

    def wait(
        self,
        job: JobOrId,
        *,
        timeout: Optional[float] = None,
        check: bool = True,
        on_change: Optional[Callable[[Job], None]] = None,
    ) -> Job:
        """Waits for the end. Doubt (UNKNOWN) is no end.

        timeout: seconds; None: for ever. check: raise JobFailed when it did not complete.
        on_change: called at each new state.
        Raises TimeoutError; the job goes on.
        """
        give_up_at = None if timeout is None else self.now() + timeout
        pause = 1.0
        seen: Optional[str] = None
        while True:
            current = self.get(job)
            if current.state != seen:
                seen = current.state
                pause = 1.0
                if on_change is not None:
                    on_change(current)
            if current.ended:
                if check and current.state != "COMPLETED":
                    why = current.error or "no reason given"
                    place = _place(current.reason or {})
                    raise JobFailed(
                        f"Job {current.job_id} is {current.state}: {why}{place and f' ({place})'}",
                        job_id=current.job_id,
                        state=current.state,
                        reason=current.reason,
                    )
                return current
            left = None if give_up_at is None else give_up_at - self.now()
            if left is not None and left <= 0:
                raise TimeoutError(f"Job {current.job_id} is still {current.state}.")
            self.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL_SECONDS)

    def logs(self, job: JobOrId, *, follow: bool = True) -> Iterator[str]:
        """The lines of a job's log, each once. follow: until the job has ended, else what there is now."""
        if not follow:
            yield from self.get(job).logs.splitlines()
            return
        yield from LogStream(self, job)

    def results(self, job: JobOrId) -> Results:
        """Raises BatchError (status 400) before the end."""
        said = self._ask("GET", f"/results/{_part(job)}")
        return Results(
            preview=_parsed(said.get("preview")),
            count=None if said.get("count") is None else int(said["count"]),
            schema=_parsed(said.get("schema")),
            output_path=said.get("output_path") or None,
        )

    def cancel(self, job: JobOrId) -> bool:
        return self._ask("POST", f"/cancel/{_part(job)}", body={}).get("success") is True

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Dict[str, Any]:
        """One request, tried again while that may help. Raises BatchError."""
        give_up_at = self.now() + self.patience
        pause = 0.5
        renewed = False
        while True:
            token = self.tokens.get()
            failure: BatchError
            retry_after: Optional[float] = None
            try:
                answer = ask(
                    f"{self._url}{API}{path}",
                    method=method,
                    body=None if body is None else json.dumps(body).encode(),
                    headers={
                        "authorization": f"Bearer {token}",
                        **({} if body is None else {"content-type": "application/json"}),
                        **(headers or {}),
                    },
                    ca_file=self._ca_file,
                    timeout=30.0,
                )
            except HttpFailure as error:
                failure = BatchError(f"The Playground cannot be reached: {error}")
            else:
                if 200 <= answer.status < 300:
                    return answer.json()
                if answer.status == 401 and not renewed:
                    renewed = True
                    if self.tokens.expired(token):
                        continue
                failure = problem(answer)
                if answer.status not in TRY_AGAIN:
                    raise failure
                retry_after = read_retry_after(answer.headers.get("retry-after"))
            now = self.now()
            wait = pause + random.uniform(0, pause / 4) if retry_after is None else retry_after
            if now + wait >= give_up_at:
                raise failure
            self.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def open_logs(self, job: JobOrId, last_event_id: Optional[str]) -> Any:
        """An open response, or None when the server says that there is no more (204)."""
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {self.tokens.get()}"}
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        request = Request(f"{self._url}{API}/logs/{_part(job)}", headers=headers)
        try:
            response = opener(request.full_url, self._ca_file).open(
                request, timeout=SILENCE_SECONDS
            )
        except HTTPError as error:
            with error:
                raise problem(
                    Answer(
                        error.code,
                        {name.lower(): value for name, value in error.headers.items()},
                        error.read(100_000),
                    )
                ) from None
        except (OSError, http.client.HTTPException) as error:
            raise BatchError(f"The Playground cannot be reached: {reason_of(error)}") from None
        if response.status == 204:
            response.close()
            return None
        return response


def problem(answer: Answer) -> BatchError:
    """RFC 9457: `detail` says what is wrong, `code` is stable, `errors` are a manifest's mistakes."""
    said = answer.json()
    detail = said.get("detail") or said.get("title") or f"HTTP {answer.status}"
    errors = said.get("errors")
    errors = errors if isinstance(errors, list) else []
    more = "".join(f"\n  {_mistake(one)}" for one in errors[:20])
    code = said.get("code")
    return BatchError(
        f"{detail}{f' [{code}]' if code else ''}{more}",
        status=answer.status,
        code=str(code) if code else None,
        errors=errors,
    )


def _mistake(one: Any) -> str:
    if not isinstance(one, dict):
        return str(one)
    place = _place(one)
    text = one.get("detail") or one.get("message") or json.dumps(one)
    return f"{place}: {text}" if place else str(text)


def _place(of: Mapping[str, Any]) -> str:
    """Where in the manifest, as people say it; empty where that is not known."""
    line, column = of.get("line"), of.get("column")
    if line is None:
        return ""
    return f"line {line}" if column is None else f"line {line}, column {column}"


def read_retry_after(text: Optional[str]) -> Optional[float]:
    """Seconds, or a date (RFC 9110, 10.2.3); None for something else."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    with contextlib.suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _id(job: JobOrId) -> str:
    return job.job_id if isinstance(job, Job) else job


def _part(job: JobOrId) -> str:
    job_id = _id(job)
    if job_id in ("", ".", ".."):
        raise SettingsError(f"Not a job id: {job_id!r}")
    return quote(job_id, safe="")


def _parsed(value: Any) -> Any:
    """The Runner's texts are JSON; the Playground may have read them already."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def playground(environment: Optional[str] = None, *, token: Any = None) -> Playground:
    """The Playground of the settings: SPARK_CONNECT_PLAYGROUND, or for one environment with its name."""
    settings = load_settings(environment)
    if not settings.playground:
        raise SettingsError(
            "No Playground is known: set SPARK_CONNECT_PLAYGROUND=https://…, or make a Playground(url)."
        )
    return Playground(
        settings.playground,
        tokens=fresh_token(settings, argument=token),
        ca_file=settings.ca_file if urlsplit(settings.playground).scheme == "https" else None,
    )


def submit_job(
    manifest: str,
    environment: str,
    team: Optional[str] = None,
    job_name: Optional[str] = None,
    options: Optional[Mapping[str, str]] = None,
    *,
    idempotency_key: Optional[str] = None,
    token: Any = None,
) -> Job:
    """Starts a job in an environment; see ``Playground.submit``."""
    return playground(environment, token=token).submit(
        manifest,
        environment,
        team=team,
        job_name=job_name,
        options=options,
        idempotency_key=idempotency_key,
    )


def get_job(job: JobOrId, environment: Optional[str] = None) -> Job:
    return playground(environment).get(job)


def wait_for_job(
    job: JobOrId,
    environment: Optional[str] = None,
    *,
    timeout: Optional[float] = None,
    check: bool = True,
    on_change: Optional[Callable[[Job], None]] = None,
) -> Job:
    """Waits for a job's end; see ``Playground.wait``."""
    return playground(environment).wait(job, timeout=timeout, check=check, on_change=on_change)


def job_logs(
    job: JobOrId, environment: Optional[str] = None, *, follow: bool = True
) -> Iterator[str]:
    """The lines of a job's log; see ``Playground.logs``."""
    return playground(environment).logs(job, follow=follow)


def job_results(job: JobOrId, environment: Optional[str] = None) -> Results:
    return playground(environment).results(job)


def cancel_job(job: JobOrId, environment: Optional[str] = None) -> bool:
    return playground(environment).cancel(job)
