"""Why a job has failed, with the place in its manifest: what Spark says, brought into one form."""

import re

LONGEST_MESSAGE = 2000

_CONNECTION_LOST = frozenset(
    "Py4JNetworkError ConnectionRefusedError ConnectionResetError BrokenPipeError".split()
)
# Where, in what Spark says, its plans, its stack or the repeated SQL begin.
_REST = re.compile(
    r"\n\s*== (?:SQL|JVM)|;\n'?[A-Z]\w+ |\n\s*at |\nDriver stacktrace|\n\nJVM stacktrace"
)


class JobFailure(Exception):
    """`start` and `stop`: first and last character of the place in the step's SQL, from 0."""

    def __init__(self, exit_code, code, message, step=None, start=None, stop=None):
        super().__init__(message)
        self.exit_code = exit_code
        self.code = code
        self.message = message
        self.step = step
        self.start = start
        self.stop = stop


class Terminated(BaseException):
    """SIGTERM has come."""


def failure_of(error, exit_code, code, step, sql=None):
    """The JobFailure for what Spark has thrown in a step; `sql` where the step has one."""
    if isinstance(error, JobFailure):
        return error
    lost = lost_spark(error)
    if lost is not None:
        return lost
    start, stop = place_in(error, sql) if sql is not None else (None, None)
    return JobFailure(exit_code, code, message_of(error), step, start, stop)


def lost_spark(error):
    """The JobFailure when it is Spark that has ended, and not a step that has failed; else None."""
    names = {type(cause).__name__ for cause in _chain(error)}
    if names & _CONNECTION_LOST:
        message = "Spark's JVM has ended while the job ran: its log may say why; perhaps memory."
        return JobFailure(1, "SPARK_LOST", message)
    if re.search(r"SparkContext was shut ?down|stopped SparkContext", str(error)):
        return JobFailure(143, "TERMINATED", "Spark was asked to end while the job ran.")
    return None


def message_of(error):
    """What Spark says in a line or some: without its plans, its stack and the repeated SQL."""
    java = _java_exception(error)
    text = None
    if java is not None:
        for cause in _java_causes(java):
            if _error_class(cause) is not None:
                java = cause
                break
        texts = (_call(java, method) for method in ("getSimpleMessage", "getMessage", "toString"))
        text = next((found for found in texts if found), None)
    if not text:
        text = str(error) or type(error).__name__
    text = _REST.split(text, maxsplit=1)[0].strip()
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " …"


def place_in(error, sql):
    """First and last character of `sql` that the error is about; Nones where it does not say."""
    return _context_in(error, sql) or _position_in(error, sql) or (None, None)


def step_in(error, sql):
    """Whether it is this SQL that failed while it ran, as Spark says of some errors."""
    return _context_in(error, sql) is not None


def _context_in(error, sql):
    java = _java_exception(error)
    for cause in _java_causes(java) if java is not None else ():
        for context in _call(cause, "getQueryContext") or ():
            start, stop = _call(context, "startIndex"), _call(context, "stopIndex")
            if start is None or stop is None or not 0 <= start <= stop < len(sql):
                continue
            # It may be about another text: of an earlier step, or of a view in the catalog.
            if sql[start : stop + 1] == _call(context, "fragment"):
                return start, stop
    return None


def _position_in(error, sql):
    found = re.search(r"\bline (\d+),? pos (\d+)", str(error))
    if not found:
        return None
    line, column = int(found.group(1)) - 1, int(found.group(2))
    lines = sql.split("\n")
    if line >= len(lines) or column > len(lines[line]):
        return None
    start = sum(len(text) + 1 for text in lines[:line]) + column
    return start, start


def place_in_manifest(at, sql, start):
    """Line and column in the manifest, from 1, of a character of the SQL that begins at `at`."""
    line, column = at["line"], at["column"]
    if start is None or not at.get("literal"):
        return line, column
    before = sql[:start]
    return line + before.count("\n"), column + len(before) - (before.rfind("\n") + 1)


def _chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _java_exception(error):
    """The exception of the JVM behind one of PySpark; None where there is none."""
    for cause in _chain(error):
        for name in ("_origin", "java_exception"):
            found = getattr(cause, name, None)
            if found is not None:
                return found
    return None


def _java_causes(java):
    seen = 0
    while java is not None and seen < 20:
        yield java
        java = _call(java, "getCause")
        seen += 1


def _error_class(java):
    return _call(java, "getErrorClass") or _call(java, "getCondition")


def _call(value, method):
    """A method's answer; None where there is no such method, or no Spark any more."""
    try:
        return getattr(value, method)()
    except Exception:
        return None
