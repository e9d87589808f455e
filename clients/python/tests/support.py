"""What several tests need."""

import base64
import contextlib
import http.server
import json
import os
import tempfile
import threading
import unittest


class ManualClock:
    """Unix seconds that move when a test says so, or when somebody sleeps."""

    def __init__(self, now=1_000_000.0):
        self.now = now
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def jwt(**claims):
    """An unsigned token with these claims."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.sig"


class FakeHttp:
    """An HTTP server; `answer(method, path, headers, body)` returns (status, body) or (status, body, headers)."""

    def __init__(self, answer):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append((self.command, self.path, headers, body))
                got = answer(self.command, self.path, headers, body)
                if callable(got):
                    # It writes what it wants, however broken; the connection ends with it.
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        got(self)
                    return
                status, content, more = (*got, {})[:3]
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class TestCase(unittest.TestCase):
    """With a home of its own, and an environment in which nothing is set."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name
        before = dict(os.environ)

        def restore():
            os.environ.clear()
            os.environ.update(before)

        self.addCleanup(restore)
        for name in list(os.environ):
            if name.startswith(
                ("SPARK_", "JUPYTERHUB_", "ACTIONS_", "BUILDKITE", "GITHUB_", "XDG_")
            ):
                del os.environ[name]
        os.environ["HOME"] = self.home
        os.environ["USER"] = "ann"

    def http(self, answer):
        server = FakeHttp(answer)
        self.addCleanup(server.close)
        return server

    def path(self, name, text=None):
        path = os.path.join(self.home, name)
        if text is not None:
            with open(path, "w") as stream:
                stream.write(text)
        return path
