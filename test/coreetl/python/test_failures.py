"""Messages, places: what needs no Spark."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../coreetl"))

from coreetl_failures import (  # noqa: E402
    JobFailure,
    failure_of,
    lost_spark,
    message_of,
    place_in,
    place_in_manifest,
)


class PlacesTest(unittest.TestCase):
    def test_a_place_in_the_sql_is_a_place_in_the_manifest(self):
        sql = "SELECT a,\n  b\nFROM t"
        at = {"line": 10, "column": 7, "literal": True}
        found = [
            place_in_manifest(at, sql, sql.index(word))
            for word in ("SELECT", "a", "b", "FROM", "t")
        ]
        self.assertEqual(found, [(10, 7), (10, 14), (11, 9), (12, 7), (12, 12)])

    def test_where_the_text_is_not_there_word_for_word_it_is_the_step(self):
        at = {"line": 10, "column": 7, "literal": False}
        self.assertEqual(place_in_manifest(at, "SELECT\nx", 7), (10, 7))
        self.assertEqual(place_in_manifest({**at, "literal": True}, "SELECT\nx", None), (10, 7))

    def test_characters_are_counted_and_not_bytes_or_halves(self):
        sql = "SELECT 'ü😀' AS a, b"
        at = {"line": 1, "column": 1, "literal": True}
        self.assertEqual(place_in_manifest(at, sql, sql.index("b")), (1, sql.index("b") + 1))

    def test_the_position_in_a_message_is_used_where_spark_says_no_more(self):
        sql = "SELECT 1\nFORM t"
        self.assertEqual(place_in(Exception("wrong; line 2 pos 5"), sql), (14, 14))
        self.assertEqual(place_in(Exception("wrong (line 1, pos 0)\n\n== SQL =="), sql), (0, 0))
        self.assertEqual(place_in(Exception("wrong; line 7 pos 5"), sql), (None, None))
        self.assertEqual(place_in(Exception("line 2 pos 700"), sql), (None, None))
        self.assertEqual(place_in(Exception("wrong"), sql), (None, None))


class MessagesTest(unittest.TestCase):
    def test_plans_stacks_and_the_repeated_sql_are_left_out(self):
        for text in [
            "It is wrong.\n\n== SQL ==\nSELECT x\n-------^^^",
            "It is wrong.;\n'Project ['x]\n+- OneRowRelation",
            "It is wrong.\n\tat org.apache.spark.A.b(A.scala:1)",
            "It is wrong.\nDriver stacktrace:\n\tat x",
        ]:
            self.assertEqual(message_of(Exception(text)).rstrip("."), "It is wrong")

    def test_a_long_message_is_cut_and_an_empty_one_is_the_errors_name(self):
        self.assertLessEqual(len(message_of(Exception("x" * 10_000))), 2_010)
        self.assertEqual(message_of(KeyError()), "KeyError")

    def test_a_lost_jvm_is_no_failure_of_a_step(self):
        class Py4JNetworkError(Exception):
            pass

        error = ValueError("x")
        error.__cause__ = Py4JNetworkError("Answer from Java side is empty")
        self.assertEqual(failure_of(error, 13, "STEP_FAILED", "r").code, "SPARK_LOST")
        self.assertEqual(
            lost_spark(Exception("Job 3 cancelled because SparkContext was shut down")).code,
            "TERMINATED",
        )
        self.assertIsNone(lost_spark(Exception("no such column")))

    def test_what_is_a_failure_already_stays_it(self):
        failure = JobFailure(12, "SANDBOX_REFUSED", "no")
        self.assertIs(failure_of(failure, 13, "STEP_FAILED", "r"), failure)
