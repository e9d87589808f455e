"""Runs Apache Spark's own Connect tests against a server that is there already.

Arguments: modules or tests. SPARK_CONNECT_TESTING_REMOTE is the server's URL. Writes JSON lines to the file
that OUTCOMES names: a test's id, its outcome, and the last line of what went wrong. The last line of a test
counts; each has one before the first is run.
"""

import json
import os
import re
import sys
import unittest
from unittest import mock

from pyspark.sql import SparkSession
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.testing import connectutils

ReusedConnectTestCase = connectutils.ReusedConnectTestCase
ReusedMixedTestCase = connectutils.ReusedMixedTestCase


def without_classic_session():
    """The server runs elsewhere, so that there is no JVM here to look into, and none is started.

    Tests that compare with a classic session find a stand-in: they fail against any such server.
    """
    stock = ReusedConnectTestCase.setUpClass.__func__
    connectutils.is_remote_only = lambda: True

    def set_up(cls):
        SparkSession._instantiatedSession = None
        stock(cls)
        if issubclass(cls, ReusedMixedTestCase):
            SparkSession._instantiatedSession = mock.MagicMock()

    ReusedConnectTestCase.setUpClass = classmethod(set_up)


def always_this_server():
    """Tests that begin another session name the address where the server of their own runs mostly."""
    here = os.environ["SPARK_CONNECT_TESTING_REMOTE"]
    elsewhere = re.compile(r"sc://localhost(:15002)?(/;(?P<more>.*))?")

    def at_this_server(url):
        other = elsewhere.fullmatch(url)
        if not other:
            return url
        more = other["more"] or ""
        kept = here.split(";")
        if "token=" in more:
            kept = [part for part in kept if not part.startswith(("token=", "authorization="))]
            # A token is sent by TLS alone where the host is not localhost.
            more = more.replace("token=", "authorization=Bearer%20")
        return ";".join(kept + [more] if more else kept)

    for builder in (SparkSession.Builder, ConnectSession.Builder):

        def remote(self, url, stock=builder.remote):
            return stock(self, at_this_server(url))

        builder.remote = remote


class Outcomes(unittest.TestResult):
    def __init__(self, file):
        super().__init__()
        self._file = file

    def _tell(self, test, outcome, text=""):
        lines = text.strip().splitlines()
        told = {"test": test.id(), "outcome": outcome, "error": lines[-1][:300] if lines else ""}
        self._file.write(json.dumps(told) + "\n")
        self._file.flush()

    def startTest(self, test):
        super().startTest(test)
        self._tell(test, "begun")

    def addSuccess(self, test):
        self._tell(test, "passed")

    def addSkip(self, test, reason):
        self._tell(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self._tell(test, "passed")

    def addError(self, test, err):
        self._tell(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def tell_all(self, tests):
        for test in tests:
            if isinstance(test, unittest.TestSuite):
                self.tell_all(test)
            else:
                self._tell(test, "not run")


def main():
    without_classic_session()
    always_this_server()
    tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    with open(os.environ["OUTCOMES"], "w") as file:
        outcomes = Outcomes(file)
        outcomes.tell_all(tests)
        tests.run(outcomes)
    # Threads of a test that failed must not keep this alive.
    os._exit(0)


if __name__ == "__main__":
    main()
