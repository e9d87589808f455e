"""A gateway with one driver that speaks Spark Connect over real gRPC, and fails as it is told."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pyspark.sql.connect.proto as proto
import pyspark.sql.connect.proto.base_pb2_grpc as service
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

CUT = (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")
REMOVED = (grpc.StatusCode.UNKNOWN, "Stream removed")


class Refusal:
    """A refusal as the gateway writes it."""

    def __init__(self, code, message, reason, *, retry_after=None, error_class=None):
        self.code = code
        self.message = message
        self.reason = reason
        self.retry_after = retry_after
        self.error_class = error_class

    def abort(self, context):
        info = error_details_pb2.ErrorInfo(reason=self.reason, domain="spark-connect-gateway")
        if self.error_class:
            info.metadata["errorClass"] = self.error_class
        details = [info]
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(self.retry_after * 1000))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        packed = []
        for detail in details:
            one = any_pb2.Any()
            one.Pack(detail)
            packed.append(one)
        status = status_pb2.Status(code=self.code.value[0], message=self.message, details=packed)
        context.abort_with_status(rpc_status.to_status(status))


EXPIRED = Refusal(
    grpc.StatusCode.UNAUTHENTICATED,
    "Your token expired at 2026-01-01T00:00:00.000Z. Get a new one and connect with it.",
    "TOKEN_EXPIRED",
)
STARTING = Refusal(
    grpc.StatusCode.UNAVAILABLE,
    "A Spark driver is starting in sjns-ads-staging. The client tries again by itself.",
    "DRIVER_STARTING",
    retry_after=0.01,
)
GONE = Refusal(
    grpc.StatusCode.INTERNAL,
    "[INVALID_HANDLE.SESSION_CHANGED] This session has ended because its Spark driver is gone; its "
    "temporary views and settings are lost. Start a new one.",
    "SESSION_ENDED",
    error_class="INVALID_HANDLE.SESSION_CHANGED",
)


class FakeDriver(service.SparkConnectServiceServicer):
    """calls: (method, metadata) of all that came. plan: by method, what its next calls meet, in order.

    What a call meets is a Refusal, a pair of status and message, or a function of the request and the context.
    accept: whether a bearer token is still good; others meet TOKEN_EXPIRED.
    """

    def __init__(self, *, credentials=None):
        self.calls = []
        self.plan = {}
        self.accept = lambda token: True
        self.ended = set()
        self.released = []
        self.version = "4.1.1"
        self.lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=16))
        service.add_SparkConnectServiceServicer_to_server(self, self._server)
        if not hasattr(service.SparkConnectServiceServicer, "ReleaseSession"):
            self._add_release_session()
        self.port = (
            self._server.add_insecure_port("127.0.0.1:0")
            if credentials is None
            else self._server.add_secure_port("localhost:0", credentials)
        )
        self._server.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._server.stop(None).wait()

    def methods(self):
        return [method for method, _ in self.calls]

    def headers(self, method):
        return [dict(metadata) for called, metadata in self.calls if called == method]

    def tokens(self, method):
        return [headers.get("authorization", "")[7:] for headers in self.headers(method)]

    def _begin(self, method, request, context):
        metadata = list(context.invocation_metadata())
        with self.lock:
            self.calls.append((method, metadata))
            planned = self.plan.get(method)
            fate = planned.pop(0) if planned else None
        token = dict(metadata).get("authorization", "Bearer ")[7:]
        if not self.accept(token):
            EXPIRED.abort(context)
        if getattr(request, "session_id", None) in self.ended:
            GONE.abort(context)
        if isinstance(fate, Refusal):
            fate.abort(context)
        elif isinstance(fate, tuple):
            context.abort(*fate)
        elif fate is not None:
            fate(request, context)

    def Config(self, request, context):
        self._begin("Config", request, context)
        return proto.ConfigResponse(session_id=request.session_id)

    def AnalyzePlan(self, request, context):
        self._begin("AnalyzePlan", request, context)
        answer = proto.AnalyzePlanResponse(session_id=request.session_id)
        answer.spark_version.version = self.version
        return answer

    def ReleaseSession(self, request, context):
        self._begin("ReleaseSession", request, context)
        self.released.append(request.session_id)
        self.ended.add(request.session_id)
        return proto.ReleaseSessionResponse(session_id=request.session_id)

    def ReleaseExecute(self, request, context):
        self._begin("ReleaseExecute", request, context)
        return proto.ReleaseExecuteResponse(session_id=request.session_id)

    def ArtifactStatus(self, request, context):
        self._begin("ArtifactStatus", request, context)
        return _of_session(proto.ArtifactStatusesResponse, request)

    def AddArtifacts(self, requests, context):
        first = next(requests)
        self._begin("AddArtifacts", first, context)
        for _ in requests:
            pass
        return _of_session(proto.AddArtifactsResponse, first)

    def ExecutePlan(self, request, context):
        self._begin("ExecutePlan", request, context)
        yield self._response(request, "first")
        after = self.plan.get("after the first response")
        if after:
            fate = after.pop(0)
            if isinstance(fate, Refusal):
                fate.abort(context)
            context.abort(*fate)
        yield self._last(request)

    def ReattachExecute(self, request, context):
        self._begin(f"ReattachExecute after {request.last_response_id}", request, context)
        yield self._last(request)

    def _response(self, request, response_id):
        return proto.ExecutePlanResponse(
            session_id=request.session_id,
            operation_id=request.operation_id,
            response_id=response_id,
        )

    def _last(self, request):
        last = self._response(request, "last")
        last.result_complete.SetInParent()
        return last

    def _add_release_session(self):
        """PySpark 3.5's protos have none; its session id is field 1."""

        def release(request, context):
            session_id = request[2 : 2 + request[1]].decode()
            with self.lock:
                self.calls.append(("ReleaseSession", list(context.invocation_metadata())))
            self.released.append(session_id)
            self.ended.add(session_id)
            return b""

        handler = grpc.unary_unary_rpc_method_handler(release)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "spark.connect.SparkConnectService", {"ReleaseSession": handler}
                ),
            )
        )


def _of_session(kind, request):
    """PySpark 3.5's protos have no session id in these."""
    named = "session_id" in kind.DESCRIPTOR.fields_by_name
    return kind(session_id=request.session_id) if named else kind()


def execute(spark):
    """Runs a command whose result is not looked at."""
    command = proto.Command()
    command.sql_command.sql = "SELECT 1"
    spark.client.execute_command(command)
