"""``@spark_connect``: a Spark session for a Metaflow step, which is gone before artifacts are stored.

::

    from spark_connect_helper.metaflow import spark_connect

    class Report(FlowSpec):
        @spark_connect(team="ads", environment="prod")
        @step
        def start(self):
            self.rows = self.spark.table("ads.clicks").count()
            self.next(self.end)
"""

from __future__ import annotations

from typing import Any, Optional

from metaflow import UserStepDecorator

from .errors import HelperError, SettingsError
from .session import get_spark

#: Arguments of `get_spark` that are not the decorator's own.
OPTIONS = (
    "team",
    "environment",
    "app_name",
    "gateway",
    "user",
    "tls",
    "ca_file",
    "headers",
    "config",
    "timeout",
)


class spark_connect(UserStepDecorator):  # type: ignore[misc]
    """Gives the step a session of its own as ``self.spark``; arguments are those of ``get_spark``.

    name: another attribute than ``spark``. The token comes from where the step runs (in a pod: the
    projected service-account token), never from an argument, which Metaflow would store.
    """

    def init(self, *args: Any, **kwargs: Any) -> None:
        unknown = sorted(set(kwargs) - {*OPTIONS, "name"})
        if unknown:
            raise SettingsError(
                f"@spark_connect has no {unknown[0]}; it takes {', '.join(OPTIONS)} and name."
            )
        self._name = str(kwargs.get("name", "spark"))
        self._options = {name: value for name, value in kwargs.items() if name in OPTIONS}
        self._session: Any = None

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> None:
        options = getattr(self, "_options", {})
        app_name = f"{type(flow).__name__}/{step_name}"
        self._session = get_spark(**{"app_name": app_name, "new": True, **options})
        setattr(flow, getattr(self, "_name", "spark"), self._session)

    def post_step(
        self, step_name: str, flow: Any, exception: Optional[Exception] = None
    ) -> "tuple[Optional[Exception], None]":
        """Runs before artifacts are stored. The step's exception goes on: None would swallow it."""
        session, self._session = getattr(self, "_session", None), None
        name = getattr(self, "_name", "spark")
        if name in vars(flow):
            delattr(flow, name)
        if session is not None:
            session.stop()
        left_behind = _drop_what_cannot_be_stored(flow)
        return exception or left_behind, None


def _drop_what_cannot_be_stored(flow: Any) -> Optional[Exception]:
    """Metaflow stores the artifacts of a failed step, too: a DataFrame among them would hide why it failed."""
    try:
        from pyspark.sql.connect.dataframe import DataFrame
        from pyspark.sql.connect.session import SparkSession
    except ImportError:
        return None
    error: Optional[Exception] = None
    for name, value in list(vars(flow).items()):
        if isinstance(value, (DataFrame, SparkSession)):
            delattr(flow, name)
            kind = "DataFrame" if isinstance(value, DataFrame) else "session"
            error = error or HelperError(
                f"self.{name} is a Spark {kind}, which Metaflow cannot store: keep its rows "
                f"(self.{name}.toPandas()), or the name of a table."
            )
    return error
