"""Exceptions as the tests compare them."""

import re

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def describe(error):
    """Class, message as PySpark shows it, gRPC status, and google.rpc details of an exception."""
    described = {"class": type(error).__name__, "message": str(error)}
    rpc = _rpc_error(error)
    if rpc is not None:
        described["code"] = rpc.code().name
        described["details"] = rpc.details()
        described.update(_details(rpc))
    else:
        code = re.search(r"StatusCode\.([A-Z_]+)", str(error))
        if code:
            described["code"] = code.group(1)
    condition = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    if condition is not None and condition():
        described["condition"] = condition()
    return described


def _rpc_error(error):
    """The gRPC error behind an exception: PySpark raises its own `from None`."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _details(rpc):
    try:
        status = rpc_status.from_call(rpc)
    except ValueError:
        return {}
    found = {}
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            found["reason"] = info.reason
            found["domain"] = info.domain
            found["errorInfo"] = dict(info.metadata)
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            found["retryAfterMs"] = retry.retry_delay.ToMilliseconds()
    return found
