"""One import that connects a notebook, a test, a pipeline or a service to Spark through the gateway."""

from .catalog import describe_table, show_catalogs, show_databases, show_tables
from .errors import (
    BatchError,
    GatewayRefused,
    HelperError,
    JobFailed,
    MissingPackage,
    NotConnected,
    SettingsError,
    TokenUnavailable,
)
from .session import get_spark, release
from .tokens import Token, TokenSource
from .url import connection_url

__all__ = [
    "BatchError",
    "GatewayRefused",
    "HelperError",
    "JobFailed",
    "MissingPackage",
    "NotConnected",
    "SettingsError",
    "Token",
    "TokenSource",
    "TokenUnavailable",
    "connection_url",
    "describe_table",
    "get_spark",
    "release",
    "show_catalogs",
    "show_databases",
    "show_tables",
]
