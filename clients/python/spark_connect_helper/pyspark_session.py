"""PySpark's session with a channel of ours. Importing this imports PySpark's Spark Connect client."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import grpc
import pyspark.sql.connect.client as pyspark_client
from pyspark.sql.connect.session import SparkSession as ConnectSession

from .channel import GatewayInterceptor, Watch
from .tokens import FreshToken

#: 3.5 has one class, 4 an abstract one above the one that reads URLs.
_ReadsUrl: Any = getattr(pyspark_client, "DefaultChannelBuilder", pyspark_client.ChannelBuilder)

RELEASE_SECONDS = 5.0
_RELEASE_SESSION = "/spark.connect.SparkConnectService/ReleaseSession"

#: A connection that a NAT gateway forgot is noticed, also while a notebook is idle.
_KEEPALIVE: Sequence[Tuple[str, int]] = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


class GatewayChannelBuilder(_ReadsUrl):  # type: ignore[misc]
    """Makes channels to the gateway.

    url: endpoint and headers, never a token. tokens: None for a gateway that wants none. ca: PEM of the
    authorities to believe instead of the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        tokens: Optional[FreshToken],
        watch: Watch,
        tls: bool,
        ca: Optional[bytes] = None,
        channel_options: Sequence[Tuple[str, Any]] = (),
    ) -> None:
        super().__init__(url)
        self.tokens = tokens
        self.watch = watch
        self._tls = tls
        self._ca = ca
        self._more_options = list(channel_options)

    @property
    def secure(self) -> bool:
        return self._tls

    def toChannel(self) -> grpc.Channel:
        options = _joined(list(self._channel_options), [*_KEEPALIVE, *self._more_options])
        if self._tls:
            credentials = grpc.ssl_channel_credentials(root_certificates=self._ca)
            channel = grpc.secure_channel(self.endpoint, credentials, options=options)
        else:
            channel = grpc.insecure_channel(self.endpoint, options=options)
        interceptor = GatewayInterceptor(self.tokens, self.watch)
        return grpc.intercept_channel(channel, interceptor, *getattr(self, "_interceptors", ()))

    def __deepcopy__(self, memo: Dict[int, Any]) -> "GatewayChannelBuilder":
        """PySpark copies a builder for a cloned session: its parameters are its own, its token is ours."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        for name in ("_params", "params"):
            if name in self.__dict__:
                setattr(copy, name, dict(getattr(self, name)))
        copy.watch = Watch()
        return copy


class GatewaySession(ConnectSession):  # type: ignore[misc]
    """Stock PySpark's session; ``stop()`` also tells the gateway where PySpark 3.5 would tell nobody."""

    def __init__(self, connection: GatewayChannelBuilder) -> None:
        super().__init__(connection=connection)
        self._gateway_pid = os.getpid()

    @property
    def gateway_watch(self) -> Watch:
        return self.client._builder.watch  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Ends the session. Returns soon, also when the gateway or the driver is gone."""
        self.release(RELEASE_SECONDS)

    def release(self, seconds: float) -> None:
        """As ``stop``; waits so long at most for the gateway's answer."""
        self.gateway_watch.stopping = True
        lives = not self.client.is_closed and self.gateway_watch.lost is None
        # A process that was forked off has a copy of this object, and no session.
        if lives and self._gateway_pid == os.getpid():
            release_session(
                self.client._channel,
                self.client._session_id,
                self.client._user_id,
                seconds,
                list(self.client._builder.metadata()),
            )
        self.release_session_on_close = False
        super().stop()


def release_session(
    channel: grpc.Channel,
    session_id: str,
    user_id: Optional[str],
    seconds: float,
    metadata: Sequence[Tuple[str, str]],
) -> bool:
    """Tells the gateway that a session is no longer needed. Whether it heard that.

    PySpark 3.5 has no such message, so it is written here: spark/connect/base.proto,
    ReleaseSessionRequest {session_id = 1, user_context = 2 {user_id = 1}}.
    """
    request = _field(1, session_id.encode()) + _field(2, _field(1, (user_id or "").encode()))
    call = channel.unary_unary(
        _RELEASE_SESSION, request_serializer=_as_it_is, response_deserializer=_as_it_is
    )
    try:
        call(request, timeout=seconds, metadata=metadata)
    except Exception:
        # The session ends by itself after its time to live; an error here would hide the user's own.
        return False
    return True


def new_session(builder: GatewayChannelBuilder) -> GatewaySession:
    """A new session, which is PySpark's active one when there is no other. Sends nothing."""
    # As PySpark's own builder does: its functions then make Spark Connect's columns.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    session = GatewaySession(builder)
    ConnectSession._set_default_and_active_session(session)
    return session


def configure(session: GatewaySession, config: Mapping[str, str], app_name: Optional[str]) -> None:
    """Sets what can be set, and warns of the rest, as PySpark's builder does."""
    options = ConnectSession.builder
    if app_name is not None:
        options = options.appName(app_name)
    for name, value in config.items():
        options = options.config(name, value)
    options._apply_options(session)


def local_spark_is_running() -> bool:
    """PySpark cannot serve a local Spark and Spark Connect in one process."""
    try:
        from pyspark import SparkContext
    except ImportError:
        return False
    return getattr(SparkContext, "_active_spark_context", None) is not None


def _joined(
    options: List[Tuple[str, Any]], more: Sequence[Tuple[str, Any]]
) -> List[Tuple[str, Any]]:
    """The last value of each name."""
    return list(dict([*options, *more]).items())


def _as_it_is(message: bytes) -> bytes:
    return message


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, text or a message."""
    length = len(content)
    size = bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + content
