"""Small files and previews: what needs PySpark, and no Spark."""

import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../coreetl"))

import coreetl_results as results  # noqa: E402


class ReportsTest(unittest.TestCase):
    def test_a_report_fits_whatever_it_says(self):
        for letter in ("x", "ü", "😀", '"', "\x01"):
            report = {
                "state": "FAILED",
                "message": letter * 100_000,
                "sinks": [{"from": "r", "target": "t" * 100, "row_count": "1"}] * 1_000,
            }
            for limit in (results.LAST_WORDS_BYTES, results.STATUS_BYTES):
                content = results.encoded(report, limit)
                self.assertLessEqual(len(content), limit)
                self.assertEqual(json.loads(content)["state"], "FAILED")
                self.assertTrue(json.loads(content)["message"].endswith("…"))

    def test_a_short_report_is_whole(self):
        report = {"state": "COMPLETED", "message": None, "sinks": [{"from": "r"}]}
        self.assertEqual(json.loads(results.encoded(report, 4096)), report)

    def test_last_words_go_to_a_file_that_cannot_be_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "words")
            os.mkdir(path + ".tmp")
            results.write_last_words(path, {"state": "RUNNING", "message": None})
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file)["state"], "RUNNING")


class FolderTest(unittest.TestCase):
    def test_a_url_of_this_machine_is_a_path(self):
        self.assertEqual(results.local_path("file:///a/b%20c"), "/a/b c")
        self.assertEqual(results.local_path("/a/b"), "/a/b")
        self.assertIsNone(results.local_path("s3://bucket/a"))
        self.assertIsNone(results.local_path("file://elsewhere/a"))
        self.assertEqual(
            results.OutputFolder("file:///a%20b/").path("sinks", "r"), "file:///a b/sinks/r"
        )
        self.assertEqual(
            results.OutputFolder("s3://b/x/").path("_status.json"), "s3://b/x/_status.json"
        )

    def test_files_appear_whole_and_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            output = results.OutputFolder("file://" + folder + "/new/out")
            output.write(None, "_status.json", b"1")
            output.write(None, "_status.json", b"2")
            self.assertEqual(os.listdir(folder + "/new/out"), ["_status.json"])
            with self.assertRaises(OSError):
                results.OutputFolder("s3://b/x").write(None, "_status.json", b"1")


class PreviewTest(unittest.TestCase):
    def test_cells_are_cut_between_characters(self):
        for text in ("x" * 5000, "ü" * 5000, "😀" * 5000, "a" + "😀" * 5000):
            found = results.cut(text)
            self.assertLessEqual(len(found.encode()), results.CELL_BYTES)
            self.assertTrue(found.endswith("…") and text.startswith(found[:-1]))
        self.assertEqual(results.cut("ü" * 2048), "ü" * 2048)

    def test_a_preview_fits(self):
        rows = [["x" * 4000] for _ in range(100)]
        preview = json.loads(results.fitted(["a"], rows, False))
        self.assertTrue(preview["truncated"])
        self.assertTrue(50 < len(preview["rows"]) < 100)
        wide = results.fitted(["c" * 1000 + str(n) for n in range(2000)], [], False)
        self.assertLessEqual(len(wide), results.PREVIEW_BYTES)
        whole = json.loads(results.fitted(["a"], [[1], [None]], False))
        self.assertEqual(whole, {"columns": ["a"], "rows": [[1], [None]], "truncated": False})
