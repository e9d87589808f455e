"""Sessions through the gateway."""

from typing import Any

from .retry import retry_cut_streams
from .url import connection_url


def connect(address: str, **options: Any) -> Any:
    """A new Spark Connect session through the gateway; options as for ``connection_url``.

    Whatever else wants the session finds it with ``SparkSession.builder.getOrCreate()``.
    """
    from pyspark.sql import SparkSession

    url = connection_url(address, **options)
    return retry_cut_streams(SparkSession.builder.remote(url).create())
