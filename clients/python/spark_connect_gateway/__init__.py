"""Connects stock PySpark (3.5 or 4, Spark Connect) to a Spark Connect gateway."""

from .connection import connect
from .retry import retry_cut_streams
from .url import connection_url

__all__ = ["connect", "connection_url", "retry_cut_streams"]
