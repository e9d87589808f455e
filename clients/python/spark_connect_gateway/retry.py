"""Resumes a result whose stream was cut between gateway and driver.

A proxy that loses its upstream after the response headers can only reset the stream. gRPC tells the
client ``INTERNAL: Received RST_STREAM with error code 2``. PySpark retries UNAVAILABLE alone, though
its reattachable executions would go on where they stopped if it asked.
"""

from typing import Any

import grpc


def is_cut_stream(error: BaseException) -> bool:
    """Whether the error is a stream that the proxy reset."""
    if not isinstance(error, grpc.RpcError):
        return False
    return error.code() == grpc.StatusCode.INTERNAL and "RST_STREAM" in (error.details() or "")


def retry_cut_streams(spark: Any) -> Any:
    """Makes a Spark Connect session ask again for what a cut stream did not bring. Returns it.

    Does nothing for a session whose executions cannot be reattached: they would run twice.
    """
    client = spark.client
    if not client._use_reattachable_execute:
        return spark
    if hasattr(client, "set_retry_policies"):
        _add_policy(client)
    else:
        _extend_retries_of_3_5(type(client))
    return spark


def _add_policy(client: Any) -> None:
    from pyspark.sql.connect.client.retries import RetryPolicy

    class CutStreamPolicy(RetryPolicy):
        def can_retry(self, exception: BaseException) -> bool:
            return is_cut_stream(exception)

    policies = client.get_retry_policies()
    if any(policy.name == CutStreamPolicy.__name__ for policy in policies):
        return
    # As patient as PySpark's own policy.
    policy = CutStreamPolicy(
        max_retries=15,
        initial_backoff=50,
        max_backoff=60_000,
        backoff_multiplier=4.0,
        jitter=500,
        min_jitter_threshold=2_000,
    )
    client.set_retry_policies([*policies, policy])


def _extend_retries_of_3_5(client_class: Any) -> None:
    stock = client_class.retry_exception
    if getattr(stock, "retries_cut_streams", False):
        return

    def retry_exception(cls: Any, error: Exception) -> bool:
        return stock(error) or is_cut_stream(error)

    retry_exception.retries_cut_streams = True
    client_class.retry_exception = classmethod(retry_exception)
