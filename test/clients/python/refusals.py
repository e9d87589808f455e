"""What people are told when something does not fit."""

import os
import uuid

import grpc
from pyspark.sql.connect.proto import base_pb2, base_pb2_grpc
from spark_connect_helper import HelperError, channel, get_spark

# Nobody else starts here: what cannot be reached at once cannot be reached.
assert channel.UNREACHABLE_SECONDS > 0
channel.UNREACHABLE_SECONDS = 0.0


def show(title, **options):
    try:
        get_spark(quiet=True, new=True, **options).stop()
        print(f"> {title}: connected")
    except HelperError as error:
        print(f"> {title}: {type(error).__name__} {error}".replace("\n", " "))


show("other team", team="ml")
show("no token", token="letmein")
show("no TLS", tls=False)

# As the Go client sends it.
with open(os.environ["SPARK_CONNECT_CA_FILE"], "rb") as pem:
    credentials = grpc.ssl_channel_credentials(pem.read())
with grpc.secure_channel(os.environ["SPARK_CONNECT_GATEWAY"], credentials) as channel_of_go:
    stub = base_pb2_grpc.SparkConnectServiceStub(channel_of_go)
    metadata = [
        ("authorization", f"Bearer {os.environ['SPARK_CONNECT_TOKEN']}"),
        ("x-doordash-team", "data"),
        ("x-doordash-environment", "dev"),
        ("use_ssl", "true"),
    ]
    session = {"session_id": str(uuid.uuid4()), "user_context": {"user_id": "alice"}}
    version = base_pb2.AnalyzePlanRequest(spark_version={}, **session)
    stub.AnalyzePlan(version, metadata=metadata, timeout=120)
    stub.ReleaseSession(base_pb2.ReleaseSessionRequest(**session), metadata=metadata, timeout=60)
    print("> use_ssl as a header: connected")

del os.environ["SPARK_CONNECT_CA_FILE"]
show("no authority", tls=True)
