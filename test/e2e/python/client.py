"""A PySpark program that does what it is told: the client of the end-to-end tests.

Reads one JSON command per line on standard input and writes JSON lines on standard output:

    {"id": 7, "op": "sql", "session": "a", "sql": "SELECT 1"}
    {"id": 7, "result": {...}}  or  {"id": 7, "error": {...}}, and before it {"id": 7, "event": {...}}

Every command runs in a thread of its own, so a slow one holds up nobody; the caller orders commands
by waiting for their replies. Ends at the end of standard input, without releasing its sessions.
"""

import json
import os
import sys
import threading
import warnings

warnings.simplefilter("ignore")

# What PySpark or a query prints must not mix with the replies.
replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

from errors import describe  # noqa: E402
from raw import call  # noqa: E402
from sessions import Sessions  # noqa: E402
from streaming import Streaming  # noqa: E402

write_lock = threading.Lock()


def write(message):
    with write_lock:
        replies.write(json.dumps(message, default=str) + "\n")


def run(operations, command):
    command_id = command.pop("id")
    operation = operations[command.pop("op")]
    try:
        result = operation(lambda event: write({"id": command_id, "event": event}), **command)
        write({"id": command_id, "result": result})
    except BaseException as error:
        write({"id": command_id, "error": describe(error)})


def main():
    import pyspark

    sessions = Sessions()
    streaming = Streaming(sessions._sessions)
    operations = {"raw": call, **sessions.operations(), **streaming.operations()}
    write({"id": 0, "result": {"pyspark": pyspark.__version__, "pid": os.getpid()}})
    for line in sys.stdin:
        threading.Thread(target=run, args=(operations, json.loads(line)), daemon=True).start()
    # PySpark's own exit hooks release sessions and wait for it; a test that wants that says stop.
    os._exit(0)


if __name__ == "__main__":
    main()
