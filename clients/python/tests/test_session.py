import io
import os
import subprocess
import sys
import threading
import time
import unittest
from unittest import mock

import grpc

from spark_connect_helper import (
    GatewayRefused,
    NotConnected,
    SettingsError,
    get_spark,
    release,
)
from spark_connect_helper import channel as channel_module
from spark_connect_helper import session as session_module
from spark_connect_helper.progress import Progress

from .fake_driver import CUT, GONE, REMOVED, STARTING, FakeDriver, Refusal, execute
from .support import TestCase, jwt


class SessionTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.driver = FakeDriver()
        self.addCleanup(self.driver.stop)
        self.addCleanup(session_module._sessions.clear)
        self.said = io.StringIO()
        patcher = mock.patch.object(
            session_module, "Progress", lambda quiet: Progress(quiet, stream=self.said)
        )
        patcher.start()
        self.addCleanup(patcher.stop)

    def open(self, team="ads", environment="staging", **options):
        options.setdefault("gateway", self.driver.address)
        options.setdefault("token", "T")
        spark = get_spark(team, environment, **options)
        self.addCleanup(spark.stop)
        return spark


class GetSparkTest(SessionTestCase):
    def test_headers_and_token_are_on_the_wire(self):
        self.open(app_name="report")
        for method in ("AnalyzePlan", "Config"):
            for headers in self.driver.headers(method):
                self.assertEqual(headers["x-doordash-team"], "ads")
                self.assertEqual(headers["x-doordash-environment"], "staging")
                self.assertEqual(headers["x-doordash-user"], "ann")
                self.assertEqual(headers["authorization"], "Bearer T")
        self.assertIn("Config", self.driver.methods())

    def test_it_says_what_it_is_connected_to(self):
        self.open()
        self.assertRegex(self.said.getvalue(), r"^Connected to Spark 4\.1\.1 \(team ads, staging")

    def test_the_same_target_is_the_same_session_and_another_is_not(self):
        one = self.open()
        self.assertIs(self.open(), one)
        self.assertIsNot(self.open(environment="dev"), one)
        self.assertIsNot(self.open(team="ml"), one)
        self.assertIsNot(self.open(new=True), one)

    def test_a_newer_token_of_the_same_person_keeps_the_session(self):
        one = self.open(token=jwt(iss="i", sub="ann", n=1))
        newer = jwt(iss="i", sub="ann", n=2)
        self.assertIs(self.open(token=newer), one)
        execute(one)
        self.assertEqual(self.driver.tokens("ExecutePlan"), [newer])
        self.assertIsNot(self.open(token=jwt(iss="i", sub="bob")), one)

    def test_a_pasted_url_is_understood_and_its_session_id_is_not_taken(self):
        stale = "0b1c2d3e-4f50-4123-8123-0123456789ab"
        url = f"sc://{self.driver.address}/;token=old%2B;x-doordash-team=ads;session_id={stale}"
        spark = get_spark(gateway=url)
        self.addCleanup(spark.stop)
        self.assertNotEqual(spark.client._session_id, stale)
        headers = self.driver.headers("AnalyzePlan")[0]
        self.assertEqual(headers["authorization"], "Bearer old+")
        self.assertEqual(headers["x-doordash-team"], "ads")

    def test_after_stop_there_is_a_new_session_with_a_new_id(self):
        one = self.open()
        first = one.client._session_id
        one.stop()
        self.assertEqual(self.driver.released, [first])
        two = self.open()
        self.assertNotEqual(two.client._session_id, first)
        release(two)
        self.assertEqual(len(self.driver.released), 2)

    def test_a_session_that_was_stopped_is_not_called_lost(self):
        spark = self.open()
        execute(spark)
        spark.stop()
        self.said.truncate(0)
        self.open()
        self.assertNotIn("lost", self.said.getvalue())

    def test_stop_returns_when_nobody_answers(self):
        spark = self.open()
        self.driver.stop()
        spark.stop()
        self.assertTrue(spark.is_stopped)

    def test_two_threads_that_ask_at_once_get_one_session(self):
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.open())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len({spark.client._session_id for spark in got}), 1)

    def test_stock_pyspark_finds_the_session(self):
        from pyspark.sql import SparkSession

        spark = self.open()
        self.assertIs(SparkSession.builder.remote("sc://elsewhere").getOrCreate(), spark)

    def test_a_user_that_no_header_can_hold_is_sent_encoded(self):
        self.open(user="zoë@example.com")
        headers = self.driver.headers("AnalyzePlan")[0]
        self.assertEqual(headers["x-doordash-user"], "zo%C3%AB@example.com")

    def test_what_no_header_can_hold_is_refused_before_anything_is_sent(self):
        for team in ("a\nb", "ä"):
            with self.assertRaises(SettingsError):
                self.open(team=team)
        self.assertEqual(self.driver.calls, [])

    def test_without_a_gateway_it_says_what_to_set(self):
        with self.assertRaisesRegex(SettingsError, "SPARK_CONNECT_GATEWAY_STAGING"):
            get_spark("ads", "staging", token="T")


class LostSessionTest(SessionTestCase):
    def test_a_lost_driver_is_replaced_and_one_line_says_what_is_lost(self):
        one = self.open()
        self.driver.ended.add(one.client._session_id)
        self.said.truncate(0)
        two = self.open()
        self.assertIsNot(two, one)
        self.assertTrue(one.is_stopped)
        self.assertFalse(two.is_stopped)
        lines = self.said.getvalue().strip("\0").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], "driver is gone: temporary views, cached data")
        self.assertRegex(lines[1], "^Connected to Spark")

    def test_the_default_session_is_the_new_one(self):
        from pyspark.sql import SparkSession

        one = self.open()
        self.driver.ended.add(one.client._session_id)
        two = self.open()
        self.assertIs(SparkSession.builder.remote("sc://elsewhere").getOrCreate(), two)

    def test_a_query_that_meets_the_end_is_enough_to_know_it(self):
        one = self.open()
        self.driver.plan["ExecutePlan"] = [GONE]
        with self.assertRaises(Exception) as raised:
            execute(one)
        self.assertIn("SESSION_CHANGED", str(raised.exception))
        self.assertIsNot(self.open(), one)
        self.assertEqual(self.driver.released, [], "nobody is told of a session that has ended")

    def test_a_driver_that_dies_under_the_question_is_asked_after(self):
        one = self.open()
        session_id = one.client._session_id

        def die(request, context):
            self.driver.ended.add(session_id)
            context.abort(*CUT)

        unreachable = (grpc.StatusCode.UNAVAILABLE, "upstream connect error")
        self.driver.plan["AnalyzePlan"] = [unreachable, die]
        self.assertIsNot(self.open(), one)

    def test_doubt_is_not_the_end(self):
        one = self.open()
        self.driver.plan["AnalyzePlan"] = [STARTING, STARTING]
        self.assertIs(self.open(), one)


class RefusalTest(SessionTestCase):
    def test_a_refusal_is_one_line_with_the_gateways_reason(self):
        self.driver.plan["AnalyzePlan"] = [
            Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "You may not use team ml. Your team is ads.",
                "NAMESPACE_REFUSED",
            )
        ]
        with self.assertRaises(GatewayRefused) as raised:
            self.open(app_name="x")
        error = raised.exception
        self.assertEqual(error.reason, "NAMESPACE_REFUSED")
        self.assertEqual(error.status, "PERMISSION_DENIED")
        self.assertEqual(
            error._render_traceback_(),
            ["GatewayRefused: You may not use team ml. Your team is ads. [NAMESPACE_REFUSED]"],
        )
        self.assertEqual(len(self.driver.released), 1, "what was begun is given back")

    def test_a_driver_that_starts_is_waited_for_and_talked_about(self):
        self.driver.plan["AnalyzePlan"] = [STARTING] * 5
        self.open()
        text = self.said.getvalue()
        self.assertRegex(text, "A Spark driver is starting in sjns-ads-staging")
        self.assertNotIn("The client", text)

    def test_a_driver_that_does_not_come_is_not_waited_for_for_ever(self):
        self.driver.plan["AnalyzePlan"] = [STARTING] * 1000
        with self.assertRaisesRegex(NotConnected, "A Spark driver is starting"):
            self.open(timeout=0.3)

    def test_a_token_that_has_expired_for_good_is_refused_once(self):
        self.driver.accept = lambda token: False
        with self.assertRaises(GatewayRefused) as raised:
            self.open()
        self.assertEqual(raised.exception.reason, "TOKEN_EXPIRED")
        self.assertIn("doctor", str(raised.exception))
        self.assertEqual(self.driver.methods().count("AnalyzePlan"), 1)

    def test_nobody_at_the_address(self):
        self.driver.stop()
        with (
            mock.patch.object(channel_module, "UNREACHABLE_SECONDS", 0.0),
            self.assertRaisesRegex(NotConnected, "cannot be reached.*tls=True"),
        ):
            self.open()

    def test_tls_where_there_is_none(self):
        with self.assertRaisesRegex(NotConnected, "speaks no TLS on this port"):
            self.open(tls=True)


class TokenInSessionTest(SessionTestCase):
    def test_each_rpc_asks_for_the_token_also_the_reattach(self):
        tokens = iter(f"T{i}" for i in range(1000))

        class Source:
            name = "a source"

            def token(self):
                from spark_connect_helper import Token

                return Token(next(tokens), time.time())

        spark = self.open(token=Source())
        self.driver.plan["after the first response"] = [CUT]
        execute(spark)
        used = [dict(metadata)["authorization"] for _, metadata in self.driver.calls]
        self.assertEqual(len(set(used)), len(used))
        self.assertIn("ReattachExecute after first", self.driver.methods())

    def test_an_expired_token_is_renewed_once_and_the_query_goes_on(self):
        current = ["old"]
        spark = self.open(token=lambda: current[0])
        current[0] = "new"
        self.driver.accept = lambda token: token == "new"
        before = len(self.driver.calls)
        execute(spark)
        self.assertEqual(self.driver.tokens("ExecutePlan")[-1], "new")
        used = [dict(metadata)["authorization"] for _, metadata in self.driver.calls[before:]]
        self.assertEqual(used[0], "Bearer old")
        self.assertNotIn("Bearer old", used[1:])

    def test_a_token_that_expires_in_the_middle_is_renewed_at_the_reattach(self):
        current = ["old"]
        spark = self.open(token=lambda: current[0])

        def expire(request, context):
            current[0] = "new"
            self.driver.accept = lambda token: token == "new"

        self.driver.plan["ExecutePlan"] = [expire]
        self.driver.plan["after the first response"] = [CUT]
        execute(spark)
        method = "ReattachExecute after first"
        self.assertEqual(self.driver.tokens(method)[-1], "new")
        self.assertEqual(self.driver.methods().count("ExecutePlan"), 1)

    def test_a_gateway_that_refuses_every_token_is_not_asked_in_a_loop(self):
        count = iter(range(1000))
        spark = self.open(token=lambda: f"T{next(count)}")
        self.driver.accept = lambda token: False
        with self.assertRaises(Exception) as raised:
            execute(spark)
        self.assertIn("expired", str(raised.exception))
        self.assertEqual(self.driver.methods().count("ExecutePlan"), 2)
        self.driver.accept = lambda token: True

    def test_a_refusal_for_another_reason_renews_nothing(self):
        asked = []
        spark = self.open(token=lambda: asked.append(1) or "T")
        before = len(asked)
        self.driver.plan["ExecutePlan"] = [
            Refusal(grpc.StatusCode.UNAUTHENTICATED, "Bad signature.", "TOKEN_SIGNATURE_INVALID")
        ]
        with self.assertRaisesRegex(Exception, "Bad signature"):
            execute(spark)
        self.assertEqual(len(asked), before)

    def test_the_upload_of_an_artifact_has_the_token_and_the_headers(self):
        spark = self.open()
        path = self.path("data.txt", "x")
        spark.addArtifacts(path, file=True)
        (headers,) = self.driver.headers("AddArtifacts")
        self.assertEqual(headers["authorization"], "Bearer T")
        self.assertEqual(headers["x-doordash-team"], "ads")


class CutStreamTest(SessionTestCase):
    def test_a_cut_stream_is_resumed_where_it_stopped(self):
        for cut in (CUT, REMOVED):
            spark = self.open(new=True)
            self.driver.calls.clear()
            self.driver.plan["after the first response"] = [cut]
            execute(spark)
            methods = [m for m in self.driver.methods() if m != "ReleaseExecute"]
            self.assertEqual(methods.count("ExecutePlan"), 1)
            self.assertIn("ReattachExecute after first", methods)

    def test_an_error_of_the_query_is_not_retried(self):
        spark = self.open()
        self.driver.plan["after the first response"] = [
            (grpc.StatusCode.INTERNAL, "[DIVIDE_BY_ZERO] Division by zero.")
        ]
        with self.assertRaises(Exception) as raised:
            execute(spark)
        self.assertIn("DIVIDE_BY_ZERO", str(raised.exception))
        self.assertEqual(self.driver.methods().count("ExecutePlan"), 1)

    def test_an_execution_that_cannot_be_reattached_is_never_run_twice(self):
        spark = self.open()
        spark.client.disable_reattachable_execute()
        self.driver.plan["after the first response"] = [CUT]
        with self.assertRaises(Exception) as raised:
            execute(spark)
        self.assertIn("RST_STREAM", str(raised.exception))
        self.assertEqual(self.driver.methods().count("ExecutePlan"), 1)

    def test_a_stock_session_beside_ours_is_as_it_was(self):
        from pyspark.sql.connect.session import SparkSession

        self.open()
        stock = SparkSession.builder.remote(f"sc://{self.driver.address}/;user_id=ann").create()
        self.addCleanup(stock.stop)
        self.driver.plan["after the first response"] = [CUT]
        with self.assertRaises(Exception) as raised:
            execute(stock)
        self.assertIn("RST_STREAM", str(raised.exception))


class CloneTest(SessionTestCase):
    def test_a_copied_builder_keeps_the_token_source_and_has_parameters_of_its_own(self):
        import copy

        builder = self.open().client._builder
        twin = copy.deepcopy(builder)
        # PySpark 4 clones a session by a copy of its builder.
        getattr(twin, "_params", getattr(twin, "params", None))["session_id"] = "x"
        self.assertIs(twin.tokens, builder.tokens)
        self.assertIsNot(twin.watch, builder.watch)
        self.assertIsNone(builder.session_id)


class ProcessTest(TestCase):
    def run_python(self, program, **env):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env={**os.environ, "PYTHONPATH": os.getcwd(), **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def test_the_import_changes_nothing_and_needs_no_pyspark(self):
        done = self.run_python(
            "import os, sys; before = dict(os.environ); import spark_connect_helper\n"
            "assert 'pyspark' not in sys.modules and 'grpc' not in sys.modules\n"
            "assert dict(os.environ) == before"
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_session_leaves_no_mark_on_pysparks_classes(self):
        driver = FakeDriver()
        self.addCleanup(driver.stop)
        program = (
            "import pyspark.sql.connect.client.core as core, pyspark.sql.connect.session as s\n"
            "from pyspark.sql import SparkSession\n"
            "def marks(): return [dict(vars(c)) for c in (core.SparkConnectClient, core.ChannelBuilder)]\n"
            "before = marks(), [k for k in vars(s.SparkSession) if k[0] != '_']\n"
            "from spark_connect_helper import get_spark\n"
            f"spark = get_spark('ads', gateway='{driver.address}', token='T')\n"
            "assert (marks(), [k for k in vars(s.SparkSession) if k[0] != '_']) == before\n"
        )
        done = self.run_python(program)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(driver.released), 1, "a program that ends gives its session back")

    def test_a_program_without_a_file_is_no_doctest(self):
        driver = FakeDriver()
        self.addCleanup(driver.stop)
        program = (
            "import multiprocessing, sys\n"
            "from spark_connect_helper import get_spark\n"
            f"get_spark('ads', gateway='{driver.address}', token='T')\n"
            "assert 'pyspark.testing.connectutils' not in sys.modules\n"
            "from multiprocessing.spawn import get_preparation_data\n"
            "assert not {'init_main_from_name', 'init_main_from_path'} & set(get_preparation_data('p'))"
        )
        done = self.run_python(program)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_missing_package_is_named(self):
        program = (
            "import sys; sys.modules['grpc_status'] = None\n"
            "from spark_connect_helper import get_spark, MissingPackage\n"
            "try: get_spark('ads', gateway='localhost', token='T')\n"
            "except MissingPackage as error: print(error)"
        )
        done = self.run_python(program)
        self.assertIn("grpcio-status", done.stdout, done.stderr)
        self.assertIn("pip install", done.stdout)

    def test_ctrl_c_while_a_driver_starts_ends_at_once(self):
        driver = FakeDriver()
        self.addCleanup(driver.stop)
        asked = threading.Event()

        def slow(request, context):
            asked.set()
            Refusal(
                grpc.StatusCode.UNAVAILABLE, "Starting.", "DRIVER_STARTING", retry_after=500
            ).abort(context)

        driver.plan["AnalyzePlan"] = [slow]
        child = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                "from spark_connect_helper import get_spark\n"
                f"get_spark('ads', gateway='{driver.address}', token='T')",
            ],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.kill)
        self.assertTrue(asked.wait(60))
        for line in child.stderr:
            if "Starting." in line:
                break
        child.send_signal(2)
        # Far less than the 500 s of the gateway's advice.
        _, errors = child.communicate(timeout=60)
        self.assertIn("KeyboardInterrupt", errors)


if __name__ == "__main__":
    unittest.main()
