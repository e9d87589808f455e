"""Single gRPC calls with any session, user and metadata: what stock PySpark would never send."""

import grpc
import pyspark.sql.connect.proto as proto
import pyspark.sql.connect.proto.base_pb2_grpc as service
from google.protobuf import json_format

LARGEST_MESSAGE = 256 * 1024 * 1024
STREAM_REQUESTS = {"AddArtifacts"}
STREAM_RESPONSES = {"ExecutePlan", "ReattachExecute"}
COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


def call(
    emit,
    target,
    method,
    sessionId=None,
    userId=None,
    message=None,
    metadata=(),
    timeoutSeconds=60,
    compression=None,
):
    """Calls `method` at `target` (host:port, no TLS).

    message: the request's other fields, in protobuf's JSON form.
    metadata: [name, value] pairs; a name may occur twice.

    An event tells each response as it comes; the result holds them all with the trailing metadata.
    """
    request_type = getattr(proto, f"{method}Request")
    request = json_format.ParseDict(message or {}, request_type())
    if sessionId is not None:
        request.session_id = sessionId
    if userId is not None:
        request.user_context.user_id = userId
    options = [
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
        # A call must not share the connection of one before it.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.insecure_channel(target, options=options) as channel:
        stub = getattr(service.SparkConnectServiceStub(channel), method)
        keywords = {
            "metadata": [tuple(pair) for pair in metadata],
            "timeout": timeoutSeconds,
            "compression": COMPRESSIONS.get(compression),
        }
        responses = []
        if method in STREAM_RESPONSES:
            calling = stub(request, **keywords)
            for response in calling:
                responses.append(_plain(response))
                emit({"type": "response", "response": responses[-1]})
            trailing = calling.trailing_metadata()
        else:
            argument = iter([request]) if method in STREAM_REQUESTS else request
            response, calling = stub.with_call(argument, **keywords)
            responses.append(_plain(response))
            trailing = calling.trailing_metadata()
        return {"responses": responses, "trailing": [[k, str(v)] for k, v in trailing]}


def _plain(response):
    return json_format.MessageToDict(response)
