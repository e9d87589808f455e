#!/usr/bin/env python3
"""Runs one batch job: its sources, its transforms, its sinks, and tells how it went.

    coreetl_runner.py --job FILE

FILE is gzipped JSON (coreetl/README.md). Besides what the sinks write, `{output_path}` gets
`_status.json` (when it begins and when it ends), and `_schema.json` and `_preview.json` of the last
named result. The status also goes to $COREETL_TERMINATION_LOG, else to /dev/termination-log where
there is one.

Exit codes, with the code in `_status.json`:
      0  COMPLETED
      1  JOB_BROKEN, SPARK_LOST     nobody has thought of it; Spark's JVM has ended
      2  JOB_FILE_INVALID           wrong usage, or FILE cannot be read
     10  SOURCE_FAILED              a source is not there or cannot be read
     11  SQL_INVALID                a transform does not parse, or names what does not exist
     12  SANDBOX_REFUSED            not in the sandbox
     13  STEP_FAILED                a transform failed while it ran
     14  SINK_FAILED                a sink could not be written
     15  RESULTS_UNWRITABLE         the small files beside the output could not be written
    143  TERMINATED                 SIGTERM
Anything else was the JVM or the kernel, as 137 (SIGKILL). Who reads this believes in success only
with exit code 0 and a status COMPLETED of this job.

Spark 3.5 and 4, Python 3.8 and later. COREETL_SANDBOX_PATHS in the environment: folders of this
machine, joined by ":", that jobs in the sandbox may read. UNITY_CATALOG_TOKEN: see
`coreetl_catalogs.py`. spark.coreetl.keepResult in Spark's
configuration: see `_keep_result`.
"""

import argparse
import gzip
import json
import os
import signal
import sys
import threading
import traceback
from datetime import datetime, timezone
from decimal import Decimal

from coreetl_catalogs import give_token
from coreetl_failures import (
    JobFailure,
    Terminated,
    failure_of,
    lost_spark,
    place_in_manifest,
    step_in,
)
from coreetl_results import (
    STATUS_BYTES,
    OutputFolder,
    RowCount,
    encoded,
    preview_of,
    write_last_words,
)
from coreetl_sandbox import SETTINGS, Sandbox
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.utils import AnalysisException, ParseException

SAMPLING_SEED = 42
#: Spark may take so long to stop; the job's end is known by then.
STOP_SECONDS = 30
#: Exit codes of what people have written: no stack says more about it.
MISTAKES = (2, 11, 12)
SANDBOX_SINK_FORMAT = "parquet"


class Job:
    """One run of a job file. `report` is what its readers are told."""

    def __init__(self, job):
        """KeyError, TypeError: it is no job file."""
        etl = job["manifest"]["spec"]["coreEtl"]
        self.parameters = {
            name: float(value) if isinstance(value, Decimal) else value
            for name, value in (etl.get("parameters") or {}).items()
        }
        self.sources = etl.get("sources") or []
        self.transforms = etl.get("transforms") or []
        self.sinks = etl.get("sinks") or []
        self.sampling = job.get("sampling")
        self.sandboxed = job["sandbox"] is not False
        self.output = OutputFolder(job["output_path"])
        #: The last named result: what is counted and previewed.
        self.result = (self.transforms or self.sources)[-1]["name"]
        self.spark = None
        self.sandbox = None
        self.frames = {}
        self.report = {
            "format": 1,
            "job_id": job["job_id"],
            "application_id": "",
            "state": "RUNNING",
            "exit_code": None,
            "code": None,
            "message": None,
            "step": None,
            "sql_start": None,
            "sql_stop": None,
            "line": None,
            "column": None,
            "row_count": None,
            "result": self.result,
            "sinks": [],
            "ui_url": None,
            "started_at": now(),
            "ended_at": None,
        }

    def run(self):
        """JobFailure and Terminated say why it has ended otherwise than well."""
        self._start_spark()
        self.tell()
        for source in self.sources:
            self._load(source)
        for transform in self.transforms:
            self._transform(transform)
        self._keep_result()
        for number, sink in enumerate(self.sinks):
            self._write(number, sink)
        self._leave_results()
        self.report.update(state="COMPLETED", exit_code=0, ended_at=now())
        self.tell()

    def fail(self, failure):
        """Notes why the job has ended; where that cannot be written any more, the log says it."""
        self.report.update(
            state="FAILED",
            exit_code=failure.exit_code,
            code=failure.code,
            message=failure.message,
            step=failure.step,
            sql_start=failure.start,
            sql_stop=failure.stop,
            ended_at=now(),
        )
        for transform in self.transforms:
            if transform["name"] == failure.step and transform.get("at"):
                line, column = place_in_manifest(transform["at"], transform["sql"], failure.start)
                self.report.update(line=line, column=column)
        say("FAILED: %s: %s", failure.code, failure.message)
        try:
            self.tell()
        except JobFailure as error:
            say("The job's status cannot be written: %s", error)

    def tell(self):
        """Writes the status: first to where no store is needed."""
        words = os.environ.get("COREETL_TERMINATION_LOG")
        if words is None and os.path.exists("/dev/termination-log"):
            words = "/dev/termination-log"
        try:
            if words is not None:
                write_last_words(words, self.report)
            self.output.write(self.spark, "_status.json", encoded(self.report, STATUS_BYTES))
        except Exception as error:
            raise failure_of(error, 15, "RESULTS_UNWRITABLE", None) from error

    def _start_spark(self):
        # Spark would put the driver's environment, with its secrets, in place of ${env:NAME}.
        builder = SparkSession.builder.config("spark.sql.variable.substitute", "false")
        self.spark = builder.getOrCreate()
        context = self.spark.sparkContext
        self.report.update(application_id=context.applicationId, ui_url=context.uiWebUrl)
        # Many images know the store by its s3a:// only.
        hadoop = context._jsc.hadoopConfiguration()
        hadoop.setIfUnset("fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")
        if self.sandboxed:
            for key, value in SETTINGS.items():
                self.spark.conf.set(key, value)
            folders = os.environ.get("COREETL_SANDBOX_PATHS", "").split(os.pathsep)
            self.sandbox = Sandbox(self.spark, folders)
        give_token(self.spark)

    def _load(self, source):
        name = source["name"]
        say("Source %s", name)
        try:
            frame = self._read(name, source)
            if self.sampling is not None and self.sampling < 1:
                frame = frame.sample(False, float(self.sampling), SAMPLING_SEED)
            self._name(name, frame)
        except Exception as error:
            raise failure_of(error, 10, "SOURCE_FAILED", name) from error

    def _read(self, name, source):
        schema = source.get("schema")
        if self.sandbox:
            self.sandbox.check_source(name, source)
            if schema:
                self.sandbox.check_schema(name, schema)
        if "table" in source:
            return self.spark.table(source["table"])
        if "rows" in source:
            return self._rows(source["rows"], schema)
        reader = self.spark.read.format(source["format"]).options(**source.get("options") or {})
        return (reader.schema(schema) if schema else reader).load(source["path"])

    def _rows(self, rows, schema):
        """Rows as Spark reads JSON; without a schema their columns are in alphabetical order."""
        encoder = self.spark.sparkContext._jvm.org.apache.spark.sql.Encoders.STRING()
        java_session = self.spark._jsparkSession
        lines = java_session.createDataset([json_line(row) for row in rows], encoder)
        reader = java_session.read().option("mode", "FAILFAST")
        frame = (reader.schema(schema) if schema else reader).json(lines)
        return DataFrame(frame, self.spark)

    def _transform(self, transform):
        name, sql = transform["name"], transform["sql"]
        say("Transform %s", name)
        try:
            if self.sandbox:
                self.sandbox.check_sql(name, sql, self.frames)
            frame = self.spark.sql(sql, self.parameters) if self.parameters else self.spark.sql(sql)
            self._name(name, frame)
        except (AnalysisException, ParseException) as error:
            raise failure_of(error, 11, "SQL_INVALID", name, sql) from error
        except Exception as error:
            raise failure_of(error, 13, "STEP_FAILED", name, sql) from error

    def _name(self, name, frame):
        frame.createOrReplaceTempView(name)
        self.frames[name] = frame

    def _keep_result(self):
        """
        Runs the last result once, before anything is written, and keeps it on the executors' disks
        for the sinks and the preview. With spark.coreetl.keepResult=false it is not kept, for results
        that are larger than those disks: each sink and the preview run it as far as they need it.
        """
        frame = self.frames[self.result]
        keep = self.spark.conf.get("spark.coreetl.keepResult", "true").lower() != "false"
        if not keep and any(sink["from"] == self.result for sink in self.sinks):
            return
        say("Result %s", self.result)
        if keep:
            frame = self.frames[self.result] = frame.persist(StorageLevel.DISK_ONLY)
        try:
            counted = RowCount(frame)
            counted.frame.write.format("noop").mode("overwrite").save()
            self.report["row_count"] = str(counted.get(otherwise=frame.count))
        except Exception as error:
            raise self._run_failure(error, 13, "STEP_FAILED", self.result) from error

    def _write(self, number, sink):
        name, place = sink["from"], "sinks[%d]" % number
        options = sink.get("options") or {}
        kind, mode = sink.get("format"), sink.get("mode") or "error"
        target = sink.get("table") or sink.get("path")
        if self.sandbox:
            self.sandbox.check_sink(place, sink)
            # What an attempt before this one left is its own.
            kind, mode = kind or SANDBOX_SINK_FORMAT, "overwrite"
            target = self.output.path("sinks", self._scratch_name(number))
        say("Sink %s: %s", place, target)
        frame = self.frames[name]
        try:
            counted = RowCount(frame)
            writer = counted.frame.write.mode(mode).options(**options)
            writer = writer.format(kind) if kind else writer
            if sink.get("partitionBy"):
                writer = writer.partitionBy(*sink["partitionBy"])
            if "table" in sink and not self.sandbox:
                writer.saveAsTable(target)
            else:
                writer.save(target)
            rows = str(counted.get(otherwise=frame.count))
        except Exception as error:
            raise self._run_failure(error, 14, "SINK_FAILED", place) from error
        self.report["sinks"].append({"from": name, "target": target, "row_count": rows})
        if name == self.result:
            self.report["row_count"] = rows

    def _scratch_name(self, number):
        """That of the result, with a number where it has several sinks."""
        name = self.sinks[number]["from"]
        earlier = sum(sink["from"] == name for sink in self.sinks[:number])
        return name if earlier == 0 else "%s-%d" % (name, earlier + 1)

    def _leave_results(self):
        frame = self.frames[self.result]
        try:
            preview = preview_of(frame)
        except Exception as error:
            raise self._run_failure(error, 13, "STEP_FAILED", self.result) from error
        try:
            self.output.write(self.spark, "_schema.json", frame.schema.json().encode())
            self.output.write(self.spark, "_preview.json", preview)
        except Exception as error:
            raise failure_of(error, 15, "RESULTS_UNWRITABLE", None) from error

    def _run_failure(self, error, exit_code, code, step):
        """Spark runs steps when they are needed: it may be an earlier one's SQL that has failed."""
        for transform in self.transforms:
            if step_in(error, transform["sql"]):
                return failure_of(error, 13, "STEP_FAILED", transform["name"], transform["sql"])
        return failure_of(error, exit_code, code, step)


def json_line(row):
    cells = ("%s:%s" % (json.dumps(name), json_cell(value)) for name, value in row.items())
    return "{%s}" % ",".join(cells)


def json_cell(value):
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(text, *values):
    """A line of the job's log."""
    print("coreetl: " + text % values, flush=True)


def read_job(path):
    """JobFailure where the file is none of ours."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            # Rows keep every digit that was written.
            job = json.load(file, parse_float=Decimal)
        if job.get("format") != 1:
            raise ValueError("its format is %r, this program knows 1" % job.get("format"))
        return Job(job)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        text = "%s cannot be read as a job file: %s" % (path, error or type(error).__name__)
        raise JobFailure(2, "JOB_FILE_INVALID", text) from error


def run(path):
    """Runs a job file and answers the exit code; whatever goes wrong, it is not 0."""
    job = None
    try:
        job = read_job(path)
        job.run()
        failure = None
    except (Terminated, KeyboardInterrupt):
        failure = JobFailure(143, "TERMINATED", "The job was asked to end (SIGTERM).")
    except JobFailure as error:
        failure = error
        if error.__cause__ is not None and error.exit_code not in MISTAKES:
            print_trace(error.__cause__)
    except BaseException as error:
        print_trace(error)
        text = "%s: %s" % (type(error).__name__, error)
        failure = lost_spark(error) or JobFailure(1, "JOB_BROKEN", text)
    # Once is enough: what follows takes a moment.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if job is None:
        say("FAILED: %s: %s", failure.code, failure.message)
    elif failure is not None:
        job.fail(failure)
    exit_code = 0 if failure is None else failure.exit_code
    if job is not None and job.spark is not None:
        stop(job.spark, exit_code)
    return exit_code


def print_trace(error):
    traceback.print_exception(type(error), error, error.__traceback__)


def stop(spark, exit_code):
    """Ends Spark, or this process when that takes too long."""
    limit = threading.Timer(STOP_SECONDS, os._exit, (exit_code,))
    limit.daemon = True
    limit.start()
    try:
        spark.stop()
    except Exception as error:
        say("Spark could not be stopped: %s", error)


def main():
    parser = argparse.ArgumentParser(description="Runs one batch job.")
    parser.add_argument("--job", required=True, metavar="FILE", help="the job file, gzipped JSON")
    path = parser.parse_args().job

    def terminated(number, frame):
        raise Terminated

    signal.signal(signal.SIGTERM, terminated)
    sys.exit(run(path))


if __name__ == "__main__":
    main()
