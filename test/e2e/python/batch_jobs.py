"""clients/python's batch functions as a person calls them: `batch_jobs.py WHAT ...` prints a line of JSON.

The Playground and the token come from the environment, as the client reads them.
"""

import contextlib
import json
import sys
from pathlib import Path

from spark_connect_helper import BatchError, JobFailed
from spark_connect_helper.batch import (
    cancel_job,
    get_job,
    job_logs,
    job_results,
    submit_job,
    wait_for_job,
)

ENVIRONMENT = "dev"


def submit(manifest, key=None):
    text = Path(manifest).read_text()
    return submit_job(text, ENVIRONMENT, idempotency_key=key).job_id


def complete(job):
    """Its log is followed to its end, and its state is asked for at the first line and after the last one."""
    states = []
    lines = []
    at_first_line = None
    for line in job_logs(job):
        at_first_line = at_first_line or get_job(job).state
        lines.append(line)
    done = wait_for_job(job, on_change=lambda seen: states.append(seen.state))
    results = job_results(job)
    return {
        "atFirstLine": at_first_line,
        "states": states,
        "state": done.state,
        "lines": lines,
        "again": list(job_logs(job)),
        "now": list(job_logs(job, follow=False)),
        "columns": results.columns,
        "rows": results.rows,
        "count": results.count,
        "schema": results.schema,
        "path": results.output_path,
    }


def fail(job):
    try:
        wait_for_job(job)
    except JobFailed as error:
        return {"text": str(error), "state": error.state, "reason": error.reason}
    return None


def refused(what, *args):
    try:
        what(*args)
    except BatchError as error:
        return {
            "text": str(error),
            "status": error.status,
            "code": error.code,
            "errors": error.errors,
        }
    return None


def stop(job):
    """Waits until it runs, stops it, and follows its log to the end."""

    class Runs(Exception):
        pass

    def seen(now):
        if now.state == "RUNNING":
            raise Runs

    with contextlib.suppress(Runs):
        wait_for_job(job, on_change=seen)
    early = refused(job_results, job)
    stopped = cancel_job(job)
    for _ in job_logs(job):
        pass
    return {
        "early": early,
        "stopped": stopped,
        "failure": fail(job),
        "state": get_job(job).state,
        "again": cancel_job(job),
    }


def strangers(job):
    """Whatever is asked of a job of somebody else."""
    asked = {
        "get": get_job,
        "wait": wait_for_job,
        "logs": lambda job: list(job_logs(job)),
        "results": job_results,
        "cancel": cancel_job,
    }
    return {name: refused(what, job) for name, what in asked.items()}


def mistakes(manifest):
    return refused(submit, manifest)


WHATS = {what.__name__: what for what in (submit, complete, fail, stop, strangers, mistakes)}

if __name__ == "__main__":
    print(json.dumps(WHATS[sys.argv[1]](*sys.argv[2:])))
