"""What a failed RPC says: gRPC status with google.rpc details (https://google.aip.dev/193)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

#: ErrorInfo.domain of the gateway's own refusals.
GATEWAY_DOMAIN = "spark-connect-gateway"
#: Spark's error classes that end a session for good.
ENDED = ("INVALID_HANDLE.SESSION_CHANGED", "INVALID_HANDLE.SESSION_CLOSED")


@dataclass(frozen=True)
class Failure:
    """reason: the gateway's code; None when it did not say this. error_class: Spark's. retry_after: seconds."""

    code: grpc.StatusCode
    message: str
    reason: Optional[str] = None
    error_class: Optional[str] = None
    retry_after: Optional[float] = None

    @property
    def ends_session(self) -> bool:
        return (self.error_class or "").startswith(ENDED) or (
            self.code == grpc.StatusCode.INTERNAL
            and any(f"[{name}" in self.message for name in ENDED)
        )

    @property
    def is_cut_stream(self) -> bool:
        """A proxy lost its upstream after the response headers, and could only reset the stream.

        Today's grpcio says ``INTERNAL: Received RST_STREAM with error code 2``; an older one
        ``UNKNOWN: Stream removed``.
        """
        if self.code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED):
            return "RST_STREAM" in self.message and self.reason is None
        return self.code == grpc.StatusCode.UNKNOWN and "Stream removed" in self.message


def read_failure(error: Any) -> Failure:
    """error: an RpcError that is a Call, too."""
    code = error.code()
    message = error.details() or ""
    try:
        status = rpc_status.from_call(error)
    except (ValueError, AttributeError):
        status = None
    reason = error_class = retry_after = None
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason = info.reason if info.domain == GATEWAY_DOMAIN else None
            error_class = info.metadata.get("errorClass")
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Failure(code, message, reason, error_class, retry_after)
