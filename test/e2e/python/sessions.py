"""What a test can do with PySpark sessions; each has the name that the test gave it."""

import contextlib
import hashlib
import os
import sys
import threading
import time

from pyspark.sql import SparkSession
from pyspark.sql.connect.client import SparkConnectClient

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../clients/python")
)

MEGABYTE = 1_000_000


class Sessions:
    def __init__(self):
        self._sessions = {}

    def operations(self):
        names = [name for name in dir(self) if not name.startswith("_") and name != "operations"]
        return {name: getattr(self, name) for name in names}

    def connect(self, emit, session, url, how="create", retries=None, longestMessage=None):
        """how: `create` for a new session, `getOrCreate` as a notebook does, `helper` for our package.

        retries: how often a call is tried again at most, instead of PySpark's 15 times.
        longestMessage: bytes that it sends in one message at most, instead of 128 MiB (PySpark 4, `create`).
        """
        _retries.limit = retries
        if how == "helper":
            from spark_connect_helper import get_spark

            spark = get_spark(gateway=url, new=True, quiet=True)
        else:
            if longestMessage is None:
                builder = SparkSession.builder.remote(url)
            else:
                builder = _sending(url, longestMessage)
            spark = builder.create() if how == "create" else builder.getOrCreate()
        self._sessions[session] = spark
        return self._identity(spark)

    def identity(self, emit, session):
        return self._identity(self._sessions[session])

    def sql(self, emit, session, sql):
        frame = self._sessions[session].sql(sql)
        rows = [list(row) for row in frame.collect()]
        return {"columns": frame.columns, "rows": rows}

    def stream(self, emit, session, sql):
        """Runs a query, with an event for every row as it comes and for progress."""
        with _progress(self._sessions[session], emit) as spark:
            count = 0
            for row in spark.sql(sql).toLocalIterator():
                count += 1
                emit({"type": "row", "row": list(row)})
            return {"rows": count}

    def gated(self, emit, session, folder, rows):
        """Runs a query whose row `n` comes once there is a file `n` in the folder (0 <= n < rows)."""
        from pyspark.sql.functions import udf

        def wait(row):
            while not os.path.exists(os.path.join(folder, str(row))):
                time.sleep(0.02)
            return row

        frame = self._sessions[session].range(0, rows, 1, rows)
        count = 0
        for row in frame.select(udf(wait, "long")("id")).toLocalIterator():
            count += 1
            emit({"type": "row", "row": list(row)})
        return {"rows": count}

    def createTempView(self, emit, session, name, sql):
        self._sessions[session].sql(sql).createOrReplaceTempView(name)

    def toPandas(self, emit, session, rows):
        """A frame of `rows` rows, 1 kB each, that Spark cannot compress away."""
        frame = (
            self._sessions[session]
            .range(rows)
            .selectExpr("id", "repeat(sha2(cast(id AS string), 256), 15) AS text")
            .toPandas()
        )
        right = sum(
            text == hashlib.sha256(str(row).encode()).hexdigest() * 15
            for row, text in zip(frame["id"], frame["text"], strict=True)
        )
        return {
            "rows": len(frame),
            "sum": int(frame["id"].sum()),
            "bytes": int(frame["text"].str.len().sum()),
            "right": right,
        }

    def toPandasOf(self, emit, session, rows):
        """A frame of `rows` rows, 60 bytes each."""
        frame = self._sessions[session].range(rows)
        frame = frame.selectExpr("id", "substr(sha2(cast(id AS string), 256), 1, 52) AS text").toPandas()
        return {
            "rows": len(frame),
            "sum": int(frame["id"].sum()),
            "bytes": int(frame["text"].str.len().sum()),
        }

    def createDataFrame(self, emit, session, megabytes):
        """Uploads a pandas frame of random bytes and has Spark count them."""
        import pandas

        parts = [{"id": i, "data": os.urandom(MEGABYTE)} for i in range(megabytes)]
        frame = self._sessions[session].createDataFrame(pandas.DataFrame(parts))
        row = frame.selectExpr("count(*)", "sum(length(data))", "sum(id)").collect()[0]
        return {"rows": row[0], "bytes": row[1], "sum": row[2]}

    def addArtifacts(self, emit, session, path, kind="file"):
        """kind: file, pyfile, archive, or jar."""
        options = {} if kind == "jar" else {kind: True}
        self._sessions[session].addArtifacts(path, **options)

    def udf(self, emit, session, module, name):
        """Reads `module.name` in a Python worker of the driver."""
        from pyspark.sql.functions import udf

        def read(_):
            import importlib

            return str(getattr(importlib.import_module(module), name))

        frame = self._sessions[session].range(1)
        return frame.select(udf(read, "string")("id")).collect()[0][0]

    def conf(self, emit, session, key, value=None):
        conf = self._sessions[session].conf
        if value is not None:
            conf.set(key, value)
        return conf.get(key, None)

    def confAll(self, emit, session):
        return dict(self._sessions[session].conf.getAll)

    def interrupt(self, emit, session):
        return self._sessions[session].interruptAll()

    def clone(self, emit, session, into, newSessionId=None):
        source = self._sessions[session]
        spark = source.cloneSession(newSessionId) if newSessionId else source.cloneSession()
        self._sessions[into] = spark
        return self._identity(spark)

    def stop(self, emit, session):
        started = time.monotonic()
        self._sessions[session].stop()
        return {"seconds": time.monotonic() - started}

    @staticmethod
    def _identity(spark):
        client = spark.client
        return {"sessionId": client._session_id, "userId": client._user_id}


_retries = threading.local()
_stock_init = SparkConnectClient.__init__


def _init_with_limit(client, *args, **keywords):
    """A session makes its first calls while it is made, so the limit must be there from the start."""
    limit = getattr(_retries, "limit", None)
    if limit is not None:
        keywords["retry_policy"] = {"max_retries": limit}
    _stock_init(client, *args, **keywords)


SparkConnectClient.__init__ = _init_with_limit


def _sending(url, longest_message):
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    channels = DefaultChannelBuilder(url)
    channels.setChannelOption("grpc.max_send_message_length", longest_message)
    return ConnectSession.builder.channelBuilder(channels)


@contextlib.contextmanager
def _progress(spark, emit):
    """Reports the progress of what runs meanwhile; PySpark 3.5 knows none."""
    if not hasattr(spark, "registerProgressHandler"):
        yield spark
        return

    def handler(stages, inflight_tasks, operation_id, done):
        emit(
            {
                "type": "progress",
                "operationId": operation_id,
                "tasks": sum(stage.num_tasks for stage in stages),
                "completed": sum(stage.num_completed_tasks for stage in stages),
                "inflight": inflight_tasks,
                "done": done,
            }
        )

    spark.registerProgressHandler(handler)
    try:
        yield spark
    finally:
        spark.removeProgressHandler(handler)
