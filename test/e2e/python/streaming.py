"""Streaming queries of the end-to-end tests: a rate source, and what becomes of its rows."""

import json
import os


class Streaming:
    def __init__(self, sessions):
        self._sessions = sessions
        self._queries = {}

    def operations(self):
        names = [name for name in dir(self) if not name.startswith("_") and name != "operations"]
        return {name: getattr(self, name) for name in names}

    def startStream(self, emit, session, query, folder, sink):
        """A query of ten rows a second in batches of one second.

        sink: "parquet" writes rows to <folder>/out; "foreachBatch" has Python in the driver do that, and
        write the number of rows of each batch to <folder>/batches/<batch>.json.
        """
        spark = self._sessions[session]
        out = os.path.join(folder, "out")
        batches = os.path.join(folder, "batches")
        os.makedirs(batches, exist_ok=True)

        def write(frame, batch):
            # Of numpy in PySpark 3.5.
            count = int(frame.count())
            # A batch that was cut off comes again.
            frame.write.mode("overwrite").parquet(os.path.join(out, f"batch={batch}"))
            seen = {"rows": count, "token": os.environ.get("SPARK_CONNECT_AUTHENTICATE_TOKEN")}
            with open(os.path.join(batches, f"{batch}.json.new"), "w") as file:
                json.dump(seen, file)
            os.rename(file.name, os.path.join(batches, f"{batch}.json"))

        rows = spark.readStream.format("rate").option("rowsPerSecond", 10).load()
        writer = rows.writeStream.queryName(query).trigger(processingTime="1 second")
        writer = writer.option("checkpointLocation", os.path.join(folder, "checkpoint"))
        if sink == "foreachBatch":
            writer = writer.foreachBatch(write)
        else:
            writer = writer.format("parquet").option("path", out)
        self._queries[query] = writer.start()
        return {"id": self._queries[query].id}

    def listen(self, emit, session, folder):
        """Notes each kind of event of streaming queries as a file of the folder."""
        from pyspark.sql.streaming import StreamingQueryListener

        class Notes(StreamingQueryListener):
            def onQueryStarted(self, event):
                open(os.path.join(folder, "started"), "w").close()

            def onQueryProgress(self, event):
                open(os.path.join(folder, "progress"), "w").close()

            def onQueryIdle(self, event):
                pass

            def onQueryTerminated(self, event):
                open(os.path.join(folder, "terminated"), "w").close()

        os.makedirs(folder, exist_ok=True)
        self._sessions[session].streams.addListener(Notes())

    def lastProgress(self, emit, query):
        progress = self._queries[query].lastProgress
        return None if progress is None else {"batch": progress["batchId"]}

    def exception(self, emit, query):
        found = self._queries[query].exception()
        return None if found is None else str(found)

    def stopStream(self, emit, query):
        self._queries[query].stop()

    def awaitTermination(self, emit, query, seconds):
        return self._queries[query].awaitTermination(seconds)

    def activeStreams(self, emit, session):
        return [query.name for query in self._sessions[session].streams.active]
