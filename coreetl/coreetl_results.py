"""What a job leaves for its readers: small files beside its output, its last words, a preview."""

import base64
import json
import os
import re
import threading
from urllib.parse import unquote, urlsplit

from pyspark.sql import Observation
from pyspark.sql import functions as F
from pyspark.sql import types as T

PREVIEW_ROWS = 100
PREVIEW_BYTES = 256 * 1024
CELL_BYTES = 4096
STATUS_BYTES = 64 * 1024
LAST_WORDS_BYTES = 4096
CUT_MARK = "…"

# Where an object shows only when it is whole, and where to rename is to copy.
_OBJECT_STORES = frozenset("s3 s3a s3n gs oss cosn obs".split())


def local_path(url):
    """The path of a file:// URL or of an absolute path; None for what is elsewhere."""
    parts = urlsplit(url)
    if parts.scheme == "" and url.startswith("/"):
        return url
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path)
    return None


class OutputFolder:
    """The folder `output_path`. Files in it appear whole or not at all."""

    def __init__(self, url):
        self.local = local_path(url)
        self.url = url.rstrip("/") if self.local is None else "file://" + self.local.rstrip("/")

    def path(self, *names):
        return "/".join([self.url, *names])

    def write(self, spark, name, content):
        """`spark` may be None for a folder of this machine only."""
        if self.local is not None:
            self._write_here(name, content)
        elif spark is None:
            raise OSError("%s cannot be written without Spark" % self.path(name))
        else:
            self._write_there(spark, name, content)

    def _write_here(self, name, content):
        os.makedirs(self.local, exist_ok=True)
        target = os.path.join(self.local, name)
        temporary = os.path.join(self.local, ".%s.%d.tmp" % (name, os.getpid()))
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)

    def _write_there(self, spark, name, content):
        hadoop = spark.sparkContext._jvm.org.apache.hadoop.fs
        target = hadoop.Path(self.path(name))
        files = target.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
        whole = self.url.split(":", 1)[0] in _OBJECT_STORES
        made = target if whole else hadoop.Path(self.path(".%s.tmp" % name))
        stream = files.create(made, True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()
        if not whole:
            files.delete(target, False)
            if not files.rename(made, target):
                raise OSError("%s cannot be renamed to %s" % (made, target))


def write_last_words(path, report):
    """For Kubernetes' termination message, and for who has started this process: at most 4 KiB."""
    temporary = path + ".tmp"
    content = encoded(report, LAST_WORDS_BYTES)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        # In a container it is a mounted file, which cannot be replaced.
        with open(path, "wb") as file:
            file.write(content)


def encoded(report, limit):
    """JSON of a report in at most `limit` bytes: its message gives way first, its sinks then."""
    report = dict(report)
    content = _json(report)
    if len(content) > limit and report.get("message"):
        excess = len(content) - limit
        text = report["message"].encode()[: max(200, len(report["message"].encode()) - 2 * excess)]
        report["message"] = text.decode(errors="ignore") + CUT_MARK
        content = _json(report)
    if len(content) > limit:
        report["sinks"] = []
        content = _json(report)
    if len(content) > limit:
        report["message"] = (report.get("message") or "")[:200] + CUT_MARK
        content = _json(report)
    return content


def _json(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        errors="replace"
    )


class RowCount:
    """Counts the rows of a DataFrame while something else is done with them."""

    def __init__(self, frame):
        self._observation = Observation("rows")
        self.frame = frame.observe(self._observation, F.count(F.lit(1)).alias("rows"))

    def get(self, otherwise):
        """After the action. Of a plan that it found to be empty Spark tells nothing: `otherwise()`."""
        found = []

        def ask():
            try:
                found.append(self._observation.get["rows"])
            except Exception:
                return

        # It waits for ever where nothing is told.
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(10)
        return found[0] if found else otherwise()


def preview_of(frame):
    """The first rows as `_preview.json` has them: long cells are cut before they leave Spark."""
    fields = frame.schema.fields
    # By place: two columns may have one name.
    flat = frame.toDF(*["c%d" % number for number in range(len(fields))])
    cells = [_cell(F.col("c%d" % number), field.dataType) for number, field in enumerate(fields)]
    found = [tuple(row) for row in flat.select(*cells).limit(PREVIEW_ROWS + 1).collect()]
    rows = [
        [_value(value, field.dataType) for value, field in zip(row, fields)]
        for row in found[:PREVIEW_ROWS]
    ]
    return fitted([field.name for field in fields], rows, len(found) > PREVIEW_ROWS)


def fitted(columns, rows, truncated):
    """The preview as JSON of at most 256 KiB: the last rows give way, then the last columns."""
    size = len(_json({"columns": columns, "rows": [], "truncated": False}))
    kept = []
    for row in rows:
        size += len(_json(row)) + 1
        if size > PREVIEW_BYTES:
            break
        kept.append(row)
    cut = any(isinstance(value, str) and value.endswith(CUT_MARK) for row in kept for value in row)
    while columns and not kept and len(_json(columns)) > PREVIEW_BYTES - 100:
        columns = columns[: len(columns) // 2]
    return _json(
        {"columns": columns, "rows": kept, "truncated": truncated or cut or len(kept) < len(rows)}
    )


_NUMBERS = (T.BooleanType, T.ByteType, T.ShortType, T.IntegerType, T.FloatType, T.DoubleType)
_NESTED = (T.StructType, T.ArrayType, T.MapType)


def _cell(column, kind):
    """What is brought of a cell: numbers as they are, nested values as JSON, all else as text."""
    if isinstance(kind, _NUMBERS):
        return column
    if isinstance(kind, T.BinaryType):
        return F.substring(column, 1, CELL_BYTES)
    if isinstance(kind, _NESTED) or kind.typeName() == "variant":
        column = F.to_json(column, {"ignoreNullFields": "false"})
    else:
        column = column.cast("string")
    return F.substring(column, 1, CELL_BYTES + 1)


def _value(value, kind):
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), value)
    if isinstance(value, (bytes, bytearray)):
        return cut(base64.b64encode(value).decode())
    if isinstance(kind, _NESTED) and len(value.encode(errors="replace")) <= CELL_BYTES:
        return json.loads(value, parse_int=_safe_int, parse_constant=str)
    return cut(value)


def cut(text):
    """A text of at most 4 KiB, with a mark where some of it is missing."""
    content = text.encode(errors="replace")
    if len(content) <= CELL_BYTES:
        return content.decode()
    return content[: CELL_BYTES - len(CUT_MARK.encode())].decode(errors="ignore") + CUT_MARK


def _safe_int(text):
    """JavaScript, which reads this, knows integers up to 2**53 only."""
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else text
