"""The Playground's REST API as far as clients see it, on a real socket; it misbehaves as it is told."""

import json
import threading
from urllib.parse import unquote

from .support import FakeHttp

API = "/api/v1/playground"


class FakePlayground:
    """jobs: by id, {"state", "log", …}. before: fates of the next requests: (status, body, headers), or `drop`.

    log_fates: what the next log streams do: a number of events after which the connection is cut.
    """

    def __init__(self, token="T"):
        self.token = token
        self.jobs = {}
        self.by_key = {}
        self.before = []
        self.log_fates = []
        self.log_requests = []
        self.lock = threading.Lock()
        self.http = FakeHttp(self.answer)
        self.url = self.http.url

    def close(self):
        self.http.close()

    def answer(self, method, path, headers, body):
        if headers.get("authorization") != f"Bearer {self.token}":
            return problem(401, "TOKEN_EXPIRED", "Your token has expired.")
        submits = path in (f"{API}/submit", f"{API}/run")
        if self.before:
            fate = self.before.pop(0)
            if fate == "drop after":
                # It did what was asked, and the answer is lost.
                self.act(method, path, headers, body, submits)
                return lambda handler: None
            return fate
        return self.act(method, path, headers, body, submits)

    def act(self, method, path, headers, body, submits):
        if method == "POST" and submits:
            return self.submit(headers, json.loads(body))
        verb, _, job_id = path.removeprefix(f"{API}/").partition("/")
        job_id = unquote(job_id)
        job = self.jobs.get(job_id)
        if job is None:
            return problem(404, "JOB_UNKNOWN", f"There is no job {job_id} of yours.")
        if verb == "status":
            states = job["states"]
            state = states.pop(0) if len(states) > 1 else states[0]
            return 200, {
                "job_id": job_id,
                "state": state,
                "spark_ui_url": "https://ui" if state == "RUNNING" else None,
                "logs": "\n".join(job["log"]),
                "error": job.get("error") if state == "FAILED" else None,
                "reason": job.get("reason") if state == "FAILED" else None,
            }
        if verb == "cancel":
            job["states"] = ["CANCELLED"]
            return 200, {"success": True}
        if verb == "results":
            if job["states"][0] != "COMPLETED":
                return problem(400, "JOB_NOT_ENDED", "The job has not ended.")
            return 200, {
                "preview": {"columns": ["id"], "rows": [["1"], ["2"]]},
                "count": job.get("count", 2),
                "schema": {"type": "struct", "fields": []},
                "output_path": "s3://out/1",
            }
        return lambda handler: self.stream(handler, job, headers.get("last-event-id"))

    def submit(self, headers, body):
        key = headers.get("idempotency-key")
        with self.lock:
            if "kind: SparkJob" not in body["manifest"]:
                mistake = {"line": 3, "column": 7, "detail": "kind must be SparkJob"}
                return problem(400, "MANIFEST_INVALID", "The manifest is not valid.", [mistake])
            if key not in self.by_key:
                self.by_key[key] = f"job-{len(self.by_key) + 1}"
                self.jobs[self.by_key[key]] = {"states": ["COMPLETED"], "log": [], "body": body}
            return 200, {"job_id": self.by_key[key]}

    def stream(self, handler, job, last_event_id):
        self.log_requests.append(last_event_id)
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        write = handler.wfile.write
        write(b"retry: 1\r\n: heartbeat\r\n\r\n")
        start = 0 if last_event_id is None else int(last_event_id)
        fate = self.log_fates.pop(0) if self.log_fates else None
        if fate == "again":
            start = 0
        for index, line in enumerate(job["log"][start:], start + 1):
            if isinstance(fate, int) and index - start > fate:
                # In the middle of an event.
                write(f'event: log\nid: {index}\ndata: ["{line[: len(line) // 2]}'.encode())
                return
            state = f"event: state\ndata: {json.dumps({'state': 'RUNNING'})}\n\n"
            data = json.dumps([line])
            write(f"{state}: heartbeat\n\nevent: log\nid: {index}\ndata: {data}\n\n".encode())
        if job["states"][0] in ("COMPLETED", "FAILED") and fate != "no end":
            end = json.dumps({"state": job["states"][0]})
            write(f"event: end\ndata: {end}\n\n".encode())


def problem(status, code, detail, errors=()):
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    if errors:
        body["errors"] = list(errors)
    return status, body, {"content-type": "application/problem+json"}
