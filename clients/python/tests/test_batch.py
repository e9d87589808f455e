import os
import unittest
from email.utils import formatdate

from spark_connect_helper import BatchError, JobFailed, SettingsError, batch
from spark_connect_helper.batch import Playground, read_retry_after

from .fake_playground import FakePlayground
from .support import ManualClock, TestCase

MANIFEST = "apiVersion: dcp.pedregal.doordash.com/v1\nkind: SparkJob\n"


class BatchTest(TestCase):
    def setUp(self):
        super().setUp()
        self.server = FakePlayground()
        self.addCleanup(self.server.close)
        self.clock = ManualClock()
        self.client = self.playground("T")

    def playground(self, token):
        return Playground(self.server.url, token=token, now=self.clock, sleep=self.clock.sleep)

    def job(self, *states, log=(), **more):
        self.server.jobs["j"] = {"states": list(states), "log": list(log), **more}
        return "j"

    def test_submit_sends_what_was_given(self):
        job = self.client.submit(
            MANIFEST, "staging", team="ads", job_name="n", options={"sandbox_mode": "true"}
        )
        self.assertEqual(
            self.server.jobs[job.job_id]["body"],
            {
                "manifest": MANIFEST,
                "environment": "staging",
                "team": "ads",
                "job_name": "n",
                "options": {"sandbox_mode": "true"},
            },
        )

    def test_a_submission_whose_answer_is_lost_is_one_job(self):
        self.server.before = ["drop after", (503, b"<html>", {"retry-after": "7"}), (502, b"")]
        job = self.client.submit(MANIFEST, "staging")
        self.assertEqual(list(self.server.jobs), [job.job_id])
        self.assertIn(7.0, self.clock.slept)

    def test_two_submissions_are_two_jobs_unless_they_have_one_key(self):
        ids = {self.client.submit(MANIFEST, "staging").job_id for _ in range(2)}
        self.assertEqual(len(ids), 2)
        same = {
            self.client.submit(MANIFEST, "staging", idempotency_key="k").job_id for _ in range(2)
        }
        self.assertEqual(len(same), 1)

    def test_a_manifests_mistakes_are_shown_with_their_places(self):
        with self.assertRaises(BatchError) as raised:
            self.client.submit("kind: Other", "staging")
        error = raised.exception
        self.assertEqual((error.status, error.code), (400, "MANIFEST_INVALID"))
        self.assertIn("line 3, column 7: kind must be SparkJob", str(error))
        self.assertEqual(len(self.server.http.requests), 1, "it is not tried again")

    def test_patience_has_an_end(self):
        self.server.before = [(503, b"", {})] * 1000
        with self.assertRaises(BatchError) as raised:
            self.client.get("j")
        self.assertEqual(raised.exception.status, 503)
        self.assertLess(sum(self.clock.slept), 121)

    def test_an_expired_token_is_renewed_once(self):
        self.job("RUNNING")
        given = iter(["old", "T", "x", "y"])
        client = self.playground(lambda: next(given))
        self.assertEqual(client.get("j").state, "RUNNING")
        self.server.token = "nobody's"
        with self.assertRaises(BatchError) as raised:
            client.get("j")
        self.assertEqual(raised.exception.code, "TOKEN_EXPIRED")

    def test_wait_tells_of_each_state_and_raises_when_it_failed(self):
        self.job("PENDING", "PENDING", "UNKNOWN", "RUNNING", "FAILED", error="SQL at line 3")
        seen = []
        with self.assertRaises(JobFailed) as raised:
            self.client.wait("j", on_change=lambda job: seen.append(job.state))
        self.assertEqual(seen, ["PENDING", "UNKNOWN", "RUNNING", "FAILED"])
        self.assertIn("SQL at line 3", str(raised.exception))
        self.assertEqual(self.client.wait("j", check=False).state, "FAILED")

    def test_a_mistake_that_spark_found_is_told_with_its_place(self):
        reason = {"code": "SQL_INVALID", "message": "no column", "line": 7, "column": 9}
        for known, place in ((reason, " (line 7, column 9)"), ({"code": "SQL_INVALID"}, "")):
            self.job("FAILED", error="SQL_INVALID: no column", reason=known)
            with self.assertRaises(JobFailed) as raised:
                self.client.wait("j")
            said = f"Job j is FAILED: SQL_INVALID: no column{place}"
            self.assertEqual((str(raised.exception), raised.exception.reason), (said, known))

    def test_wait_gives_up_in_time_and_leaves_the_job(self):
        self.job("RUNNING")
        with self.assertRaises(TimeoutError):
            self.client.wait("j", timeout=30)
        self.assertEqual(sum(self.clock.slept), 30)
        self.assertTrue(self.client.cancel("j"))
        self.assertEqual(self.client.get("j").state, "CANCELLED")

    def test_each_line_of_a_log_comes_once_whatever_is_cut_and_sent_twice(self):
        lines = [f"line {i} ü" for i in range(20)]
        self.job("COMPLETED", log=lines)
        self.server.log_fates = [3, 0, "again", 4, "no end", "no end"]
        self.assertEqual(list(self.client.logs("j")), lines)
        self.assertEqual(self.server.log_requests[:3], [None, "3", "3"])

    def test_a_log_is_followed_over_an_expired_token_and_a_restart(self):
        self.job("COMPLETED", log=["a", "b"])
        given = iter(["old", "T"])
        self.server.before = []
        client = self.playground(lambda: next(given))
        stream = client.logs("j")
        self.assertEqual(next(stream), "a")
        self.server.before = [(503, b"", {}), (502, b"", {})]
        self.assertEqual(list(stream), ["b"])

    def test_a_log_without_an_end_mark_ends_with_the_job(self):
        self.job("RUNNING", "RUNNING", "COMPLETED", log=["a"])
        self.server.log_fates = ["no end"] * 10
        self.assertEqual(list(self.client.logs("j")), ["a"])

    def test_lines_are_what_they_are_whatever_they_look_like(self):
        lines = ['{"line": "json"}', "", "data: x", "two\rparts", "\u2028", "event: end"]
        self.job("COMPLETED", log=lines)
        self.assertEqual(list(self.client.logs("j")), lines)

    def test_a_count_that_is_not_known_is_none_and_a_large_one_is_exact(self):
        self.job("COMPLETED", count=None)
        self.assertIsNone(self.client.results("j").count)
        self.job("COMPLETED", count="9007199254740993")
        self.assertEqual(self.client.results("j").count, 9007199254740993)

    def test_a_log_of_a_job_that_is_unknown_is_an_error(self):
        with self.assertRaises(BatchError) as raised:
            list(self.client.logs("nothing/../here"))
        self.assertEqual(raised.exception.status, 404)
        self.assertIn("nothing%2F..%2Fhere", self.server.http.requests[-1][1])

    def test_the_log_so_far(self):
        self.job("RUNNING", log=["a", "b"])
        self.assertEqual(list(self.client.logs("j", follow=False)), ["a", "b"])

    def test_results(self):
        self.job("RUNNING")
        with self.assertRaises(BatchError) as raised:
            self.client.results("j")
        self.assertEqual(raised.exception.status, 400)
        self.job("COMPLETED")
        results = self.client.results("j")
        self.assertEqual((results.count, results.output_path), (2, "s3://out/1"))
        self.assertEqual((results.columns, results.rows), (["id"], [["1"], ["2"]]))
        self.assertEqual(results.to_pandas()["id"].tolist(), ["1", "2"])

    def test_a_token_is_never_sent_in_the_clear_to_another_machine(self):
        with self.assertRaises(SettingsError):
            Playground("http://playground.example.com", token="T")

    def test_the_functions_use_the_settings(self):
        os.environ["SPARK_CONNECT_PLAYGROUND_STAGING"] = self.server.url
        os.environ["SPARK_CONNECT_TOKEN"] = "T"
        os.environ["SPARK_CONNECT_ENV"] = "staging"
        job = batch.submit_job(MANIFEST, "staging", team="ads", job_name="x")
        self.assertEqual(batch.wait_for_job(job).state, "COMPLETED")
        self.assertEqual(batch.get_job(job.job_id).state, "COMPLETED")
        self.assertEqual(list(batch.job_logs(job)), [])
        self.assertEqual(batch.job_results(job).count, 2)
        self.assertTrue(batch.cancel_job(job))
        with self.assertRaisesRegex(SettingsError, "SPARK_CONNECT_PLAYGROUND"):
            batch.submit_job(MANIFEST, "prod")

    def test_retry_after_is_seconds_or_a_date(self):
        self.assertEqual(read_retry_after("7"), 7.0)
        self.assertIsNone(read_retry_after("soon"))
        self.assertIsNone(read_retry_after(None))
        self.assertEqual(read_retry_after(formatdate(0, usegmt=True)), 0.0)


if __name__ == "__main__":
    unittest.main()
