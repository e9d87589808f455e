"""The channel of a session: a token for each RPC, and what happens when one fails.

All of it is in the session's own channel, so that stock PySpark stays as it is for everybody else in the
process, and PySpark 3.5 and 4 are served by the same code.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import grpc

from .errors import GatewayRefused, NotConnected
from .progress import Progress
from .status import Failure, read_failure
from .tokens import FreshToken

#: Patience with what cannot be reached at all; a gateway that answers has its own.
UNREACHABLE_SECONDS = 20.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

#: RPCs that may be sent again when it is not known whether they arrived. ExecutePlan, if it can be reattached.
REPEATABLE = frozenset(
    {
        "AnalyzePlan",
        "Config",
        "ArtifactStatus",
        "FetchErrorDetails",
        "GetStatus",
        "Interrupt",
        "ReattachExecute",
        "ReleaseExecute",
        "ReleaseSession",
    }
)


class CutStream(grpc.RpcError):  # type: ignore[misc]
    """A cut stream as PySpark wants to hear it: UNAVAILABLE is what it retries, and then reattaches."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self._message = f"The stream was cut: {failure.message}"

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return self._message

    def initial_metadata(self) -> Sequence[Any]:
        return ()

    def trailing_metadata(self) -> Sequence[Any]:
        return ()

    def __str__(self) -> str:
        return f"UNAVAILABLE: {self._message}"


class Opening:
    """A session is being opened: its first RPCs are tried again here, by what the gateway says."""

    def __init__(
        self,
        progress: Progress,
        timeout: float,
        location: str,
        *,
        tls: bool,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._progress = progress
        self._location = location
        self._tls = tls
        self._now = now
        self._sleep = sleep
        self._timeout = timeout
        self._give_up_at = now() + timeout
        self._unreachable_since: Optional[float] = None
        self._pause = FIRST_PAUSE_SECONDS

    def wait(self, failure: Failure) -> None:
        """Waits until it makes sense to ask again. Raises GatewayRefused or NotConnected when it does not."""
        if failure.code != grpc.StatusCode.UNAVAILABLE and not failure.is_cut_stream:
            raise self._refusal(failure)
        now = self._now()
        if _never_arrived(failure):
            self._check_reachable(failure, now)
            what = f"The gateway {self._location} cannot be reached yet ({failure.message})."
        else:
            self._unreachable_since = None
            what = failure.message
        if now >= self._give_up_at:
            raise NotConnected(
                f"No Spark driver within {self._timeout:.0f} s. The gateway says: {failure.message}"
            )
        # The first time, the gateway held the request already: what it says now is how long it takes.
        pause = failure.retry_after if failure.retry_after is not None else self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        pause = min(pause, max(0.0, self._give_up_at - now))
        until = now + pause
        while True:
            left = until - self._now()
            self._progress.waiting(what, failure.retry_after)
            if left <= 0:
                return
            # A second at a time: the line goes on, and Ctrl-C is heard at once everywhere.
            self._sleep(min(1.0, left))

    def _check_reachable(self, failure: Failure, now: float) -> None:
        hint = _transport_hint(failure.message, self._tls)
        if hint is not None:
            raise NotConnected(f"No connection to {self._location}: {hint}")
        if self._unreachable_since is None:
            self._unreachable_since = now
        if now - self._unreachable_since >= UNREACHABLE_SECONDS:
            other = "" if self._tls else " If the gateway wants TLS, set tls=True."
            raise NotConnected(
                f"The gateway {self._location} cannot be reached: {failure.message}.{other}"
            )

    def _refusal(self, failure: Failure) -> GatewayRefused:
        name = failure.code.name
        if failure.reason is None:
            text = f"{failure.message or 'no reason given'} ({name} from {self._location})"
            return GatewayRefused(text, status=name)
        text = f"{failure.message} [{failure.reason}]"
        if failure.reason == "TOKEN_EXPIRED":
            # The gateway's advice is for a URL with a fixed token.
            first = failure.message.partition(". ")[0]
            text = (
                f"{first}, and its source gives no newer one. See "
                "`python -m spark_connect_helper doctor`. [TOKEN_EXPIRED]"
            )
        return GatewayRefused(text, reason=failure.reason, status=name)


def _never_arrived(failure: Failure) -> bool:
    """No connection could be made. What Envoy says of a driver that it does not reach is another matter."""
    return failure.reason is None and any(
        text in failure.message
        for text in ("failed to connect to all addresses", "DNS resolution failed", "Socket closed")
    )


def _transport_hint(message: str, tls: bool) -> Optional[str]:
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return (
            "its certificate is signed by no authority that is known here. Name your company's with "
            "ca_file= or SPARK_CONNECT_CA_FILE."
        )
    if tls and ("WRONG_VERSION_NUMBER" in message or "wrong version number" in message.lower()):
        return "it speaks no TLS on this port. Check the port, or set tls=False."
    if "Hostname Verification Check failed" in message or "Peer name" in message:
        return "its certificate is for another host name. Use the name that the certificate has."
    return None


class Watch:
    """What is known of a session from its RPCs.

    lost: why it has ended, once it has. stopping: the user ends it, so that its end is no news.
    """

    def __init__(self) -> None:
        self.lost: Optional[str] = None
        self.opening: Optional[Opening] = None
        self.stopping = False
        self._lock = threading.Lock()

    def note(self, failure: Failure) -> None:
        if self.stopping or not failure.ends_session:
            return
        with self._lock:
            self.lost = self.lost or failure.message


class _Details(NamedTuple):
    """grpc.ClientCallDetails is an interface without fields."""

    method: str
    timeout: Optional[float]
    metadata: Optional[Sequence[Tuple[str, Any]]]
    credentials: Any
    wait_for_ready: Optional[bool]
    compression: Any


Continuation = Callable[[Any, Any], Any]


class GatewayInterceptor(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
):
    """Between PySpark and the gateway. tokens: None for a gateway that wants none."""

    def __init__(self, tokens: Optional[FreshToken], watch: Watch) -> None:
        self._tokens = tokens
        self._watch = watch

    def intercept_unary_unary(self, continuation: Continuation, details: Any, request: Any) -> Any:
        attempts = _Attempts(self._tokens, self._watch, details, request)
        needless = attempts.method == "ReleaseExecute"
        while not (needless and self._watch.stopping):
            call = continuation(attempts.details(), request)
            if call.code() == grpc.StatusCode.OK or not _is_rpc_error(call):
                return call
            if needless and self._watch.stopping:
                break
            if not attempts.again(call):
                return call
        return _Answered()

    def intercept_unary_stream(self, continuation: Continuation, details: Any, request: Any) -> Any:
        attempts = _Attempts(self._tokens, self._watch, details, request)
        return _Stream(lambda: continuation(attempts.details(), request), attempts)

    def intercept_stream_unary(
        self, continuation: Continuation, details: Any, requests: Any
    ) -> Any:
        attempts = _Attempts(self._tokens, self._watch, details, None)
        call = continuation(attempts.details(), requests)
        if call.code() != grpc.StatusCode.OK and _is_rpc_error(call):
            attempts.spent(call)
        return call


class _Answered:
    """An RPC that need not be sent: the end of a session also ends what its executions hold."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK

    def result(self, timeout: Optional[float] = None) -> None:
        return None


class _Attempts:
    """The attempts of one RPC of PySpark's."""

    def __init__(
        self, tokens: Optional[FreshToken], watch: Watch, details: Any, request: Any
    ) -> None:
        self._tokens = tokens
        self._watch = watch
        self._given = details
        self._token: Optional[str] = None
        self._renewed = False
        method = details.method
        text = method.decode() if isinstance(method, bytes) else str(method)
        self.method = text.rpartition("/")[2]
        self._repeatable = self.method in REPEATABLE or (
            self.method == "ExecutePlan" and _can_be_reattached(request)
        )

    def details(self) -> _Details:
        """With a token that is good now."""
        given = self._given
        metadata: List[Tuple[str, Any]] = list(given.metadata or ())
        if self._tokens is not None:
            self._token = self._tokens.get()
            metadata = [pair for pair in metadata if pair[0] != "authorization"]
            metadata.append(("authorization", f"Bearer {self._token}"))
        return _Details(
            given.method,
            given.timeout,
            metadata,
            given.credentials,
            getattr(given, "wait_for_ready", None),
            getattr(given, "compression", None),
        )

    def again(self, call: Any, *, begun: bool = False) -> bool:
        """Whether to send it again. begun: part of the answer is there, so only PySpark can go on with it.

        Raises what PySpark is to hear in place of the failure.
        """
        failure = read_failure(call)
        self._watch.note(failure)
        if not begun:
            if self._renew(failure):
                return True
            if self._watch.opening is not None:
                self._watch.opening.wait(failure)
                return True
        if failure.is_cut_stream and self._repeatable:
            raise CutStream(failure)
        return False

    def spent(self, call: Any) -> None:
        """Of an upload: it cannot be sent again, since what it was made from is used up."""
        failure = read_failure(call)
        self._watch.note(failure)
        self._renew(failure)

    def _renew(self, failure: Failure) -> bool:
        """Once for each RPC: a token that is refused again is not asked for again."""
        if self._renewed or failure.reason != "TOKEN_EXPIRED":
            return False
        if self._tokens is None or self._token is None:
            return False
        self._renewed = True
        return self._tokens.expired(self._token)


class _Stream:
    """A response stream that is begun again when nothing of it has come yet."""

    def __init__(self, start: Callable[[], Any], attempts: _Attempts) -> None:
        self._start = start
        self._attempts = attempts
        self._begun = False
        self._call = start()

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> Any:
        while True:
            try:
                response = next(self._call)
            except grpc.RpcError as error:
                if not _is_rpc_error(error) or not self._attempts.again(error, begun=self._begun):
                    raise
                self._call = self._start()
                continue
            self._begun = True
            return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _is_rpc_error(call: Any) -> bool:
    return isinstance(call, grpc.RpcError) and callable(getattr(call, "code", None))


def _can_be_reattached(request: Any) -> bool:
    """Whether an ExecutePlan that was cut goes on where it stopped; any other would run twice."""
    return any(
        option.HasField("reattach_options") and option.reattach_options.reattachable
        for option in getattr(request, "request_options", ())
    )
