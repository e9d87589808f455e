"""Whole job files, run by a real Spark: what they write, what they tell, and how they fail."""

import contextlib
import gzip
import io
import json
import os
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../coreetl"))

import coreetl_runner  # noqa: E402
from spark_session import session  # noqa: E402

ORDERS = {
    "name": "orders",
    "rows": [
        {"id": 9007199254740993, "price": 1.5, "day": "2026-01-01", "tags": ["a", None]},
        {"id": 2, "price": 2.5, "day": "2026-01-02", "tags": []},
        {"id": 3, "price": 4.0, "day": "2026-01-02"},
    ],
    "schema": "id BIGINT, price DOUBLE, day DATE, tags ARRAY<STRING>",
}


class JobsTest(unittest.TestCase):
    def setUp(self):
        self.spark = session()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.stop, coreetl_runner.stop = coreetl_runner.stop, lambda spark, exit_code: None
        self.last_words = os.path.join(self.folder.name, "last-words")
        os.environ["COREETL_TERMINATION_LOG"] = self.last_words
        os.environ["COREETL_SANDBOX_PATHS"] = os.path.join(self.folder.name, "data")

    def tearDown(self):
        coreetl_runner.stop = self.stop
        for key in coreetl_runner.SETTINGS:
            self.spark.conf.unset(key)
        self.spark.catalog.clearCache()
        for view in self.spark.catalog.listTables():
            if view.isTemporary:
                self.spark.catalog.dropTempView(view.name)

    def output(self, name):
        with open(os.path.join(self.folder.name, "out", name), encoding="utf-8") as file:
            return json.load(file)

    def run_job(self, transforms, sources=(ORDERS,), sinks=(), sandbox=True, sampling=None, **etl):
        job = {
            "format": 1,
            "job_id": "job-a",
            "team": "t",
            "environment": "local",
            "user": "u",
            "output_path": "file://" + os.path.join(self.folder.name, "out"),
            "sandbox": sandbox,
            "sampling": sampling,
            "manifest": {
                "metadata": {"name": "test", "team": "t"},
                "spec": {
                    "coreEtl": {
                        "sources": list(sources),
                        "transforms": transforms,
                        "sinks": list(sinks),
                        **etl,
                    }
                },
            },
        }
        path = os.path.join(self.folder.name, "job.json.gz")
        with gzip.open(path, "wt") as file:
            json.dump(job, file)
        self.log = io.StringIO()
        with contextlib.redirect_stdout(self.log), contextlib.redirect_stderr(self.log):
            exit_code = coreetl_runner.run(path)
        with open(self.last_words, "rb") as file:
            words = file.read()
        self.assertLessEqual(len(words), 4096)
        self.assertEqual(json.loads(words)["state"], self.output("_status.json")["state"])
        return exit_code, self.output("_status.json")

    def test_every_kind_of_value_is_shown_without_loss(self):
        sql = """SELECT id, id AS again, price, CAST(price AS DECIMAL(38, 2)) AS d, day, tags,
          struct(id, CAST(NULL AS INT) AS n) AS s, map('k', 1) AS m, double('NaN') AS x, -1 / double(0) AS y,
          X'00FF' AS b, true AS t, CAST(NULL AS STRING) AS nothing, timestamp'2026-01-01 00:00:00' AS at,
          interval '1' day AS i, repeat('ü', 5000) AS long, 7 AS id
          FROM orders WHERE id > :least"""
        sql = sql.replace("-1 / double(0)", "-double('Infinity')")
        exit_code, status = self.run_job(
            [{"name": "r", "sql": sql.replace(", 7 AS id", "")}], parameters={"least": 3}
        )
        self.assertEqual((exit_code, status["state"]), (0, "COMPLETED"), self.log.getvalue())
        self.assertEqual(
            (status["row_count"], status["result"], status["exit_code"]), ("1", "r", 0)
        )
        preview = self.output("_preview.json")
        row = dict(zip(preview["columns"], preview["rows"][0]))
        long = row.pop("long")
        self.assertLessEqual(len(long.encode()), 4096)
        self.assertTrue(long.endswith("…"))
        self.assertEqual(
            row,
            {
                "id": "9007199254740993",
                "again": "9007199254740993",
                "price": 1.5,
                "d": "1.50",
                "day": "2026-01-01",
                "tags": ["a", None],
                "s": {"id": "9007199254740993", "n": None},
                "m": {"k": 1},
                "x": "NaN",
                "y": "-Infinity",
                "b": "AP8=",
                "t": True,
                "nothing": None,
                "at": "2026-01-01 00:00:00",
                "i": row["i"],
            },
        )
        self.assertIn("1 00:00:00", row["i"].replace("INTERVAL '1' DAY", "1 00:00:00"))
        schema = self.output("_schema.json")
        self.assertEqual(schema["fields"][0]["type"], "long")
        self.assertEqual(os.listdir(os.path.join(self.folder.name, "out")).count("_status.json"), 1)

    def test_two_columns_of_one_name_are_two_cells(self):
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT id, price AS id FROM orders ORDER BY price"}]
        )
        if exit_code == 0:
            self.assertEqual(self.output("_preview.json")["columns"], ["id", "id"])
            self.assertEqual(self.output("_preview.json")["rows"][0], ["9007199254740993", 1.5])
        else:
            self.assertEqual(status["code"], "SQL_INVALID")

    def test_the_result_is_run_once_and_its_first_rows_are_shown_in_order(self):
        exit_code, status = self.run_job(
            [
                {"name": "many", "sql": "SELECT id, rand() AS r FROM range(0, 10000, 1, 4)"},
                {"name": "r", "sql": "SELECT * FROM many ORDER BY r DESC"},
            ],
            sources=[],
            sinks=[{"from": "r", "path": "/not/used", "format": "parquet"}],
        )
        self.assertEqual(exit_code, 0, self.log.getvalue())
        self.assertEqual(status["row_count"], "10000")
        preview = self.output("_preview.json")
        self.assertTrue(preview["truncated"])
        written = self.spark.read.parquet(status["sinks"][0]["target"])
        # rand() would have given others in another run.
        best = [
            [str(row.id), row.r]
            for row in written.orderBy("r", ascending=False).limit(100).collect()
        ]
        self.assertEqual(preview["rows"], best)

    def test_an_empty_result_has_no_rows(self):
        exit_code, status = self.run_job([{"name": "r", "sql": "SELECT 1 AS a WHERE 1 = 0"}])
        self.assertEqual((exit_code, status["row_count"]), (0, "0"), self.log.getvalue())
        self.assertEqual(
            self.output("_preview.json"), {"columns": ["a"], "rows": [], "truncated": False}
        )

    def test_in_the_sandbox_sinks_go_to_the_jobs_own_place(self):
        target = os.path.join(self.folder.name, "elsewhere")
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT * FROM orders"}],
            sinks=[
                {
                    "from": "r",
                    "path": target,
                    "format": "csv",
                    "mode": "error",
                    "options": {"header": "true"},
                },
                {"from": "r", "table": "a.b.c", "mode": "append"},
                {"from": "orders", "path": target, "format": "json", "partitionBy": ["day"]},
            ][1:],
        )
        self.assertEqual(exit_code, 0, self.log.getvalue())
        self.assertFalse(os.path.exists(target))
        self.assertEqual([sink["row_count"] for sink in status["sinks"]], ["3", "3"])
        scratch = os.path.join(self.folder.name, "out/sinks")
        self.assertEqual(sorted(os.listdir(scratch)), ["orders", "r"])
        self.assertEqual(self.spark.read.parquet(os.path.join(scratch, "r")).count(), 3)

    def test_outside_of_it_they_go_where_the_manifest_says(self):
        target = os.path.join(self.folder.name, "elsewhere")
        sinks = [
            {
                "from": "r",
                "path": target,
                "format": "parquet",
                "mode": "error",
                "partitionBy": ["day"],
            },
            {"from": "r", "table": "kept", "format": "parquet", "mode": "overwrite"},
        ]
        warehouse = self.spark.conf.get("spark.sql.warehouse.dir")
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT id, day FROM orders"}], sinks=sinks, sandbox=False
        )
        try:
            self.assertEqual(exit_code, 0, self.log.getvalue())
            self.assertEqual(self.spark.read.parquet(target).count(), 3)
            self.assertEqual(self.spark.table("kept").count(), 3, warehouse)
            exit_code, status = self.run_job(
                [{"name": "r", "sql": "SELECT id, day FROM orders"}], sinks=sinks[:1], sandbox=False
            )
            self.assertEqual(
                (exit_code, status["code"], status["step"]), (14, "SINK_FAILED", "sinks[0]")
            )
        finally:
            self.spark.sql("DROP TABLE IF EXISTS kept")

    def test_files_are_read_and_sampled_always_alike(self):
        data = os.path.join(self.folder.name, "data")
        os.mkdir(data)
        with open(os.path.join(data, "a.csv"), "w", encoding="utf-8") as file:
            file.write("n\n" + "".join("%d\n" % number for number in range(1000)))
        source = {
            "name": "numbers",
            "path": os.path.join(data, "a.csv"),
            "format": "csv",
            "options": {"header": "true"},
            "schema": "n INT",
        }
        transforms = [{"name": "r", "sql": "SELECT count(*) AS c, sum(n) AS s FROM numbers"}]
        _, whole = self.run_job(transforms, sources=[source])
        all_rows = self.output("_preview.json")["rows"]
        self.assertEqual(all_rows, [["1000", "499500"]], self.log.getvalue())
        found = []
        for _ in range(2):
            self.run_job(transforms, sources=[source], sampling=0.1)
            found.append(self.output("_preview.json")["rows"])
        self.assertEqual(found[0], found[1])
        self.assertTrue(50 < int(found[0][0][0]) < 150, found)

    def test_a_source_that_is_not_there(self):
        for source in [
            {"name": "s", "table": "no_such_table"},
            {"name": "s", "path": os.path.join(self.folder.name, "data/none"), "format": "parquet"},
            {"name": "s", "rows": [{"a": 1}], "schema": "a NO_TYPE"},
        ]:
            exit_code, status = self.run_job(
                [{"name": "r", "sql": "SELECT * FROM s"}], sources=[source]
            )
            self.assertEqual(
                (exit_code, status["code"], status["step"]), (10, "SOURCE_FAILED", "s")
            )

    def test_a_source_that_the_sandbox_does_not_let_in(self):
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT * FROM s"}],
            sources=[{"name": "s", "path": "/etc/passwd", "format": "text"}],
        )
        self.assertEqual((exit_code, status["code"]), (12, "SANDBOX_REFUSED"))

    def fails(self, sql, marked, exit_code, code, **more):
        """The failure is at `marked` of the SQL, which begins at line 20, column 9 of a manifest."""
        at = {"line": 20, "column": 9, "literal": True}
        found, status = self.run_job([{"name": "r", "sql": sql, "at": at}], **more)
        self.assertEqual(
            (found, status["code"], status["step"]), (exit_code, code, "r"), self.log.getvalue()
        )
        start = sql.index(marked)
        before = sql[:start].split("\n")
        place = (20 + len(before) - 1, 9 + len(before[-1]))
        self.assertEqual((status["line"], status["column"]), place, status["message"])
        self.assertEqual(status["sql_start"], start)
        self.assertNotIn("== SQL ==", status["message"])
        self.assertNotIn("\n\tat ", status["message"])
        return status

    def test_sql_that_is_wrong_is_told_with_its_place(self):
        status = self.fails("SELECT id,\n  pri FROM orders", "pri", 11, "SQL_INVALID")
        self.assertIn("pri", status["message"])
        self.assertNotIn("'Project", status["message"])
        self.fails("SELECT *\nFROM\n  ordres", "ordres", 12, "SANDBOX_REFUSED")
        self.fails("SELECT *\nFROM\n  ordres", "ordres", 11, "SQL_INVALID", sandbox=False)
        self.fails("SELECT id\nFORM orders x y", "orders", 11, "SQL_INVALID")
        self.fails("SELECT 'ü😀',\n upper(1, 2)", "upper(1, 2)", 11, "SQL_INVALID")
        self.fails(
            "SELECT id,\n  reflect('a', 'b') FROM orders",
            "reflect('a', 'b')",
            12,
            "SANDBOX_REFUSED",
        )

    def test_an_error_while_it_runs_is_that_of_the_step_whose_sql_it_is(self):
        self.spark.conf.set("spark.sql.ansi.enabled", "true")
        self.addCleanup(self.spark.conf.unset, "spark.sql.ansi.enabled")
        at = {"line": 5, "column": 3, "literal": True}
        exit_code, status = self.run_job(
            [
                {
                    "name": "first",
                    "sql": "SELECT id, CAST(day AS STRING) AS d\nFROM orders",
                    "at": at,
                },
                {
                    "name": "second",
                    "sql": "SELECT\n  CAST(d AS INT) AS i FROM first",
                    "at": {**at, "line": 9},
                },
                {"name": "third", "sql": "SELECT sum(i) FROM second", "at": {**at, "line": 12}},
            ],
            sinks=[{"from": "third", "table": "x"}],
        )
        found = (exit_code, status["code"], status["step"], status["line"], status["column"])
        self.assertEqual(found, (13, "STEP_FAILED", "second", 10, 5), self.log.getvalue())
        self.assertIn("2026-01-0", status["message"])

    def test_a_long_message_is_cut(self):
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT raise_error(repeat('x', 100000))"}]
        )
        self.assertEqual((exit_code, status["code"]), (13, "STEP_FAILED"))
        self.assertLess(len(status["message"]), 3000)

    def test_what_a_person_writes_in_a_parameter_stays_a_value(self):
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT :text AS t, :yes AS y, :n + 1 AS n FROM orders LIMIT 1"}],
            parameters={"text": "'; DROP TABLE x --", "yes": True, "n": 41},
        )
        self.assertEqual(exit_code, 0, self.log.getvalue())
        self.assertEqual(self.output("_preview.json")["rows"], [["'; DROP TABLE x --", True, 42]])

    def test_a_result_of_a_gigabyte_leaves_a_small_preview(self):
        exit_code, status = self.run_job(
            [
                {
                    "name": "r",
                    "sql": "SELECT id, repeat('x', 1048576) AS long FROM range(0, 1024, 1, 8)",
                }
            ],
            sources=[],
        )
        self.assertEqual((exit_code, status["row_count"]), (0, "1024"), self.log.getvalue())
        self.assertTrue(self.output("_preview.json")["truncated"])
        size = os.path.getsize(os.path.join(self.folder.name, "out/_preview.json"))
        self.assertLessEqual(size, 256 * 1024)

    def test_rows_keep_every_digit(self):
        path = os.path.join(self.folder.name, "digits.gz")
        rows = '[{"d":1.123456789012345678,"n":12345678901234567890123}]'
        source = '{"name":"s","rows":%s,"schema":"d DECIMAL(38, 18), n DECIMAL(38, 0)"}' % rows
        output = os.path.join(self.folder.name, "out")
        job = (
            '{"format":1,"job_id":"job-a","output_path":"%s","sandbox":true,"manifest":{"metadata":{"name":"n"},'
            '"spec":{"coreEtl":{"sources":[%s],"transforms":[{"name":"r","sql":"SELECT d, n, :p AS p FROM s"}],'
            '"parameters":{"p":0.5}}}}}'
        ) % (output, source)
        with gzip.open(path, "wt") as file:
            file.write(job)
        with contextlib.redirect_stdout(io.StringIO()) as log:
            self.assertEqual(coreetl_runner.run(path), 0, log.getvalue())
        row = ["1.123456789012345678", "12345678901234567890123", 0.5]
        self.assertEqual(self.output("_preview.json")["rows"], [row])

    def test_a_wide_result_is_shown_as_far_as_it_fits(self):
        columns = ", ".join("repeat('x', 4000) AS c%d" % number for number in range(40))
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT %s FROM range(200)" % columns}], sources=[]
        )
        self.assertEqual((exit_code, status["row_count"]), (0, "200"), self.log.getvalue())
        preview = self.output("_preview.json")
        self.assertEqual((len(preview["rows"]), preview["truncated"]), (1, True))
        size = os.path.getsize(os.path.join(self.folder.name, "out/_preview.json"))
        self.assertLessEqual(size, 256 * 1024)

    def test_without_room_to_keep_the_result_it_is_counted_as_it_is_written(self):
        self.spark.conf.set("spark.coreetl.keepResult", "false")
        self.addCleanup(self.spark.conf.unset, "spark.coreetl.keepResult")
        exit_code, status = self.run_job(
            [{"name": "r", "sql": "SELECT * FROM orders"}], sinks=[{"from": "r", "table": "x"}]
        )
        self.assertEqual((exit_code, status["row_count"]), (0, "3"), self.log.getvalue())

    def test_the_token_of_a_catalog_is_in_no_log_and_out_of_reach_in_the_sandbox(self):
        # As the context was started with it; here the context is there already.
        context, key = self.spark.sparkContext, "spark.sql.catalog.unity"
        configured = context.getConf().setAll(
            [(key, "io.unitycatalog.spark.UCSingleCatalog"), (key + ".uri", "https://uc.example")]
        )
        self.addCleanup(self.spark.conf.unset, key + ".token")
        with mock.patch.object(context, "getConf", lambda: configured), mock.patch.dict(
            os.environ, {"UNITY_CATALOG_TOKEN": "s3cret"}
        ):
            for sql in ("SET", "SET -v", "SET %s.token" % key):
                exit_code, status = self.run_job([{"name": "r", "sql": sql}])
                self.assertEqual((exit_code, status["code"]), (12, "SANDBOX_REFUSED"), sql)
                self.assertNotIn("s3cret", json.dumps(status) + self.log.getvalue())
            sql = "SELECT '${%s.token}' AS a, '${env:UNITY_CATALOG_TOKEN}' AS b" % key
            exit_code, status = self.run_job([{"name": "r", "sql": sql}])
            self.assertEqual(exit_code, 0, self.log.getvalue())
            self.assertNotIn("s3cret", json.dumps(self.output("_preview.json")))
            self.assertNotIn("s3cret", self.log.getvalue())
        self.assertEqual(self.spark.conf.get(key + ".token"), "s3cret", "the catalog has it")
        self.assertFalse(context.getConf().contains(key + ".token"))

    def test_what_is_no_job_file_is_told(self):
        for content in (b"", b"no gzip", gzip.compress(b"{}"), gzip.compress(b'{"format":1}')):
            path = os.path.join(self.folder.name, "bad")
            with open(path, "wb") as file:
                file.write(content)
            with contextlib.redirect_stdout(io.StringIO()) as log:
                self.assertEqual(coreetl_runner.run(path), 2)
            self.assertIn("JOB_FILE_INVALID", log.getvalue())
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(coreetl_runner.run("/no/such/file"), 2)

    def test_results_that_cannot_be_written_are_no_success(self):
        write = coreetl_runner.OutputFolder.write

        def full(folder, spark, name, content):
            if name == "_preview.json":
                raise OSError(28, "No space left on device")
            write(folder, spark, name, content)

        coreetl_runner.OutputFolder.write = full
        self.addCleanup(setattr, coreetl_runner.OutputFolder, "write", write)
        exit_code, status = self.run_job([{"name": "r", "sql": "SELECT 1"}])
        self.assertEqual(
            (exit_code, status["state"], status["code"]), (15, "FAILED", "RESULTS_UNWRITABLE")
        )

    def test_files_of_a_store_are_written_through_hadoop(self):
        folder = coreetl_runner.OutputFolder("file://" + os.path.join(self.folder.name, "store"))
        folder.local = None
        for content in (b"one", b"two"):
            folder.write(self.spark, "_status.json", content)
        with open(os.path.join(self.folder.name, "store/_status.json"), "rb") as file:
            self.assertEqual(file.read(), b"two")
