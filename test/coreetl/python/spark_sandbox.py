"""The sandbox, by a real Spark: statements that it lets through, and those that it must not."""

import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../coreetl"))

from coreetl_failures import JobFailure  # noqa: E402
from coreetl_sandbox import SETTINGS, Sandbox  # noqa: E402
from spark_session import session  # noqa: E402

#: Whatever Spark parses of these is a plain query of t, u or v.
ALLOWED = """
SELECT a, b AS c, t.x, t.*, * FROM t WHERE a > 1 AND b LIKE 'x%' OR NOT c IN (1, 2) AND d BETWEEN 1 AND 2;
SELECT count(*), sum(DISTINCT a), first(a) IGNORE NULLS, sum(a) FILTER (WHERE b > 1) FROM t GROUP BY b
  HAVING count(*) > 1 ORDER BY 1 DESC NULLS LAST LIMIT 10 OFFSET 2;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), percentile_disc(0.5) WITHIN GROUP (ORDER BY a) FROM t;
SELECT a, row_number() OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t;
SELECT a, sum(b) OVER w, rank() OVER (w) FROM t
  WINDOW w AS (PARTITION BY a ORDER BY c RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);
SELECT * FROM t JOIN u ON t.x = u.x LEFT JOIN v USING (y) CROSS JOIN t AS d NATURAL JOIN u AS e
  LEFT SEMI JOIN v AS f ON true LEFT ANTI JOIN t AS g ON true FULL OUTER JOIN u AS h ON true RIGHT JOIN v AS i ON true;
SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.a = t.a);
SELECT * FROM t LEFT JOIN LATERAL (SELECT * FROM u WHERE u.a = t.a) ON true;
WITH x AS (SELECT 1), y (a) AS (SELECT * FROM x) SELECT * FROM y UNION ALL SELECT * FROM x UNION SELECT 1
  EXCEPT SELECT 2 INTERSECT SELECT 3;
WITH x AS (SELECT * FROM t), t AS (SELECT * FROM u) SELECT * FROM x, t;
WITH x AS (WITH y AS (SELECT 1) SELECT * FROM y) SELECT (SELECT max(a) FROM x), EXISTS (SELECT 1 FROM X) FROM t;
SELECT (SELECT max(a) FROM u), EXISTS (SELECT 1 FROM u), a IN (SELECT b FROM u), (a, b) IN (SELECT 1, 2) FROM t;
SELECT 1 WHERE EXISTS (WITH q AS (SELECT 1) SELECT * FROM q);
SELECT * FROM t TABLESAMPLE (10 PERCENT) REPEATABLE (1);
SELECT * FROM t TABLESAMPLE (10 ROWS);
SELECT * FROM t PIVOT (sum(a) AS s FOR b IN ('x' AS xx, 'y'));
SELECT * FROM t UNPIVOT (v FOR n IN (a, b AS c));
SELECT * FROM t UNPIVOT INCLUDE NULLS ((v, w) FOR n IN ((a, b) AS c));
SELECT /*+ BROADCAST(u), REPARTITION(3, a), NO_SUCH_HINT */ * FROM t JOIN u;
SELECT * FROM t LATERAL VIEW OUTER explode(a) x AS y LATERAL VIEW posexplode(b) z;
SELECT * FROM VALUES (1, 'a'), (2, 'b') AS v(x, y);
VALUES (1, current_date()), (2, upper('x'));
SELECT * FROM range(10), explode(array(1, 2)) AS e(x);
TABLE t;
FROM t SELECT a WHERE b GROUP BY a;
SELECT a FROM t GROUP BY GROUPING SETS ((a), (b), ());
SELECT a, grouping(a) FROM t GROUP BY a, b WITH ROLLUP;
SELECT a FROM t GROUP BY ROLLUP (a), CUBE (b), c;
SELECT a FROM t GROUP BY ALL;
SELECT CASE WHEN a THEN b ELSE c END, CASE a WHEN 1 THEN 2 END, CAST(a AS DECIMAL(10, 2)), a.b.c, a[1], a['k'] FROM t;
SELECT TRY_CAST(a AS STRUCT<x: INT>), cast(a AS array<map<string, struct<x: timestamp>>>) FROM t;
SELECT -a, +a, ~a, a + b, a - b, a * b, a / b, a % b, a DIV b, a & b, a | b, a ^ b, a || b, a <=> b, a = b, a != b,
  a < b, a <= b, a >= b, !a FROM t;
SELECT a RLIKE 'x', a ILIKE 'z', a LIKE ANY ('x', 'y'), a LIKE ALL ('x'), a NOT LIKE ALL ('x'), a NOT LIKE ANY ('y'),
  a LIKE 'x' ESCAPE '!', a IS NULL, a IS NOT NULL, a IS TRUE, a IS NOT FALSE, a IS UNKNOWN, a IS NOT UNKNOWN,
  a IS DISTINCT FROM b FROM t;
SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', TIMESTAMP_NTZ '2020-01-01 00:00:00', INTERVAL '1' DAY,
  INTERVAL 1 YEAR 2 MONTHS, X'1F', 1.5BD, 1L, 1S, 1Y, 1e3, NULL, true, r'a\\d';
SELECT EXTRACT(YEAR FROM a), trim(BOTH 'x' FROM a), trim(LEADING FROM a), substring(a FROM 1 FOR 2),
  position('a' IN b), overlay(a PLACING 'x' FROM 1), current_date, current_timestamp, current_user,
  timestampadd(DAY, 1, a), timestampdiff(DAY, a, b) FROM t;
SELECT transform(a, x -> x + 1), aggregate(a, 0, (acc, x) -> acc + x), filter(m, (x, i) -> i > 0) FROM t;
SELECT struct(a, b), (a, b), named_struct('x', 1), any_value(a), first(a), last(a), any(a), some(b) FROM t;
SELECT * EXCEPT (a) FROM t;
SELECT DISTINCT a FROM t DISTRIBUTE BY a SORT BY b;
SELECT a FROM t CLUSTER BY a;
SELECT :p FROM T;
SELECT mask(a, lowerChar => 'q') FROM `t`;
SELECT a FROM (SELECT * FROM t) AS s (x, y);
SELECT inline(a) AS (x, y) FROM t;
SELECT window(ts, '1 hour'), session_window(ts, '5 min') FROM t GROUP BY 1, 2;
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r;
FROM t |> SELECT a, b |> WHERE a > 1 |> EXTEND a + 1 AS c |> SET a = 2 |> DROP b |> AS s
  |> AGGREGATE sum(a) GROUP BY c |> ORDER BY c |> LIMIT 10 |> TABLESAMPLE (10 PERCENT);
FROM t |> JOIN u ON t.a = u.a |> UNION ALL (SELECT 1) |> PIVOT (sum(a) FOR b IN (1)) |> UNPIVOT (v FOR n IN (a));
SELECT a COLLATE UTF8_LCASE, collation(a) FROM t;
SELECT a:b.c, parse_json('{}') FROM t;
SELECT * FROM explode(TABLE(t) PARTITION BY a ORDER BY b);
SELECT listagg(a, ',') WITHIN GROUP (ORDER BY a) FROM t;
SELECT TIME '10:00:00', cast(a AS TIME), cast(a AS VARIANT) FROM t;
SELECT a FROM t QUALIFY row_number() OVER (ORDER BY a) = 1;
SELECT sum(a) FILTER (WHERE b) OVER (), nth_value(a, 2) RESPECT NULLS OVER (ORDER BY b) FROM t;
SELECT from_json(a, 'x INT'), to_json(b), date '2020-01-01' + INTERVAL 1 DAY FROM t LIMIT ALL
"""

#: Each does something else than to read t, u or v.
REFUSED = """
INSERT INTO t SELECT 1;
INSERT INTO TABLE x.t (a) VALUES (1);
INSERT OVERWRITE t SELECT 1;
INSERT OVERWRITE TABLE t PARTITION (a = 1) SELECT 1;
INSERT INTO t REPLACE WHERE a = 1 SELECT 1;
INSERT INTO t BY NAME SELECT 1 AS a;
INSERT OVERWRITE DIRECTORY '/tmp/p' USING parquet SELECT 1;
INSERT OVERWRITE LOCAL DIRECTORY '/tmp/p' USING csv SELECT 1;
INSERT OVERWRITE DIRECTORY '/tmp/p' STORED AS PARQUET SELECT 1;
WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q;
WITH t AS (SELECT 1) INSERT OVERWRITE DIRECTORY '/tmp/p' USING parquet SELECT * FROM t;
FROM t INSERT INTO x SELECT a INSERT INTO y SELECT b;
SELECT TRANSFORM(a) USING 'cat' FROM t;
SELECT TRANSFORM(a) USING 'cat' AS (b STRING) FROM t;
FROM t MAP a USING 'cat' AS b;
FROM t REDUCE a USING 'cat' AS b;
SELECT 1 WHERE EXISTS (SELECT TRANSFORM(a) USING 'cat' FROM t);
WITH q AS (SELECT TRANSFORM(a) USING 'cat' FROM t) SELECT * FROM q;
SELECT reflect('java.lang.System', 'exit', 1);
SELECT Reflect('java.lang.System', 'getenv', 'HOME');
SELECT `reflect`('java.lang.System', 'exit', 1);
SELECT builtin.reflect('java.lang.System', 'exit', 1);
SELECT system.builtin.reflect('java.lang.System', 'exit', 1);
SELECT java_method('java.lang.System', 'exit', 1);
SELECT try_reflect('java.lang.System', 'exit', 1);
SELECT reflect('java.lang.System', 'exit', 1) OVER ();
SELECT * FROM VALUES (reflect('java.lang.System', 'setProperty', 'pwned', 'by values')) AS v(x);
SELECT a FROM t ORDER BY reflect('java.lang.System', 'exit', 1);
SELECT a FROM t GROUP BY reflect('java.lang.System', 'exit', 1);
SELECT a FROM t LIMIT reflect('java.lang.System', 'exit', 1);
SELECT a FROM t HAVING reflect('java.lang.System', 'exit', 1);
SELECT a FROM t JOIN u ON reflect('java.lang.System', 'exit', 1);
SELECT sum(a) FILTER (WHERE reflect('java.lang.System', 'exit', 1)) FROM t;
SELECT sum(a) OVER (PARTITION BY reflect('java.lang.System', 'exit', 1)) FROM t;
SELECT a, rank() OVER w FROM t WINDOW w AS (ORDER BY reflect('java.lang.System', 'exit', 1));
SELECT transform(a, x -> reflect('java.lang.System', 'exit', x)) FROM t;
SELECT CASE WHEN a THEN reflect('java.lang.System', 'exit', 1) END FROM t;
SELECT * FROM t PIVOT (sum(reflect('java.lang.System', 'exit', 1)) FOR b IN (1));
SELECT * FROM t LATERAL VIEW explode(array(reflect('java.lang.System', 'exit', 1))) x;
SELECT * FROM explode(array(reflect('java.lang.System', 'exit', 1)));
SELECT * FROM range(reflect('java.lang.System', 'exit', 1));
SELECT /*+ REPARTITION(reflect('java.lang.System', 'exit', 1)) */ * FROM t;
SELECT mask(a, lowerChar => reflect('java.lang.System', 'exit', 1)) FROM t;
SELECT a[reflect('java.lang.System', 'exit', 1)] FROM t;
SELECT listagg(a, ',') WITHIN GROUP (ORDER BY reflect('java.lang.System', 'exit', 1)) FROM t;
FROM t |> EXTEND reflect('java.lang.System', 'exit', 1) AS x;
FROM t |> SET a = reflect('java.lang.System', 'exit', 1);
FROM t |> WHERE reflect('java.lang.System', 'exit', 1);
SELECT IDENTIFIER('reflect')('java.lang.System', 'exit', 1);
SELECT IDENTIFIER(:f)('java.lang.System', 'exit', 1);
SELECT a FROM t QUALIFY reflect('java.lang.System', 'exit', 1);
SELECT default.my_function(a) FROM t;
SELECT my_function(a) FROM t;
SELECT * FROM my_table_function(1);
SELECT * FROM t LATERAL VIEW default.my_function(a) x;
SELECT * FROM t LATERAL VIEW my_function(a) x;
SELECT * FROM read_files('/etc/passwd');
SELECT * FROM python_worker_logs();
SELECT from_avro(a, 'x', map('avroSchemaUrl', '/etc/passwd')) FROM t;
SELECT from_protobuf(a, 'x', '/etc/passwd') FROM t;
SELECT from_xml(a, 'x INT', map('rowValidationXSDPath', '/etc/passwd')) FROM t;
SELECT xpath_string('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', 'a');
SELECT * FROM text.`/etc/passwd`;
SELECT * FROM `text`.`file:///etc/passwd`;
SELECT * FROM csv.`s3a://bucket/other`;
SELECT * FROM binaryFile.`/etc/passwd`;
SELECT * FROM delta.`/tmp/x`;
SELECT * FROM `org.apache.spark.sql.execution.datasources.text`.`/etc/passwd`;
SELECT (SELECT max(value) FROM text.`/etc/passwd`);
SELECT * FROM t WHERE a IN (SELECT value FROM text.`/etc/passwd`);
SELECT * FROM explode(TABLE(text.`/etc/passwd`));
TABLE text.`/etc/passwd`;
SELECT * FROM secrets;
SELECT * FROM default.t;
SELECT * FROM spark_catalog.default.t;
SELECT * FROM global_temp.t;
SELECT * FROM session.t;
SELECT * FROM system.session.t;
SELECT * FROM `default.t`;
SELECT * FROM information_schema.tables;
WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets;
WITH q AS (SELECT * FROM secrets), secrets AS (SELECT 1) SELECT * FROM q;
SELECT * FROM (WITH secrets AS (SELECT 1) SELECT * FROM secrets), secrets;
SELECT (WITH secrets AS (SELECT 1) SELECT * FROM secrets), (SELECT max(a) FROM secrets);
WITH RECURSIVE q AS (SELECT * FROM secrets), secrets AS (SELECT 1) SELECT * FROM q;
SELECT * FROM ſecrets;
SELECT * FROM t VERSION AS OF 1;
SELECT * FROM t TIMESTAMP AS OF '2020-01-01';
SELECT * FROM t FOR SYSTEM_VERSION AS OF 1;
SELECT * FROM IDENTIFIER('text.`/etc/passwd`');
SELECT * FROM IDENTIFIER('secr' || 'ets');
SELECT * FROM IDENTIFIER(:p);
SELECT IDENTIFIER(:p) FROM t;
SELECT * FROM STREAM t;
SELECT * FROM STREAM(t);
SELECT * FROM t WITH (`fs.s3a.endpoint` = 'http://elsewhere');
CALL cat.sys.p();
EXECUTE IMMEDIATE 'INSERT INTO t SELECT 1';
BEGIN INSERT INTO t SELECT 1; END;
BEGIN SELECT 1; END;
BEGIN DECLARE x INT DEFAULT 1; SET x = 2; SELECT x; END;
DECLARE VARIABLE x INT DEFAULT 1;
SET VAR x = 1;
SET spark.sql.runSQLOnFiles = true;
SET;
SET -v;
RESET;
SET TIME ZONE 'UTC';
CREATE TABLE x AS SELECT 1;
CREATE TABLE x (a INT) USING parquet LOCATION '/tmp/x';
CREATE OR REPLACE TABLE x AS SELECT 1;
REPLACE TABLE x AS SELECT 1;
CREATE VIEW x AS SELECT 1;
CREATE TEMPORARY VIEW x AS SELECT 1;
CREATE TEMPORARY VIEW x USING text OPTIONS (path '/etc/passwd');
CREATE GLOBAL TEMPORARY VIEW x AS SELECT 1;
CREATE FUNCTION f AS 'com.example.F' USING JAR '/tmp/x.jar';
CREATE TEMPORARY FUNCTION f AS 'com.example.F';
CREATE TEMPORARY FUNCTION f() RETURNS INT RETURN 1;
CREATE DATABASE x;
CREATE NAMESPACE x;
DROP TABLE t;
DROP VIEW t;
DROP TEMPORARY FUNCTION f;
ALTER TABLE t ADD COLUMNS (z INT);
ALTER TABLE t SET LOCATION '/tmp/x';
ALTER VIEW t AS SELECT 1;
TRUNCATE TABLE t;
DELETE FROM t;
UPDATE t SET a = 1;
MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE;
COPY INTO t FROM '/tmp/x';
LOAD DATA LOCAL INPATH '/etc/passwd' INTO TABLE t;
ADD JAR '/tmp/x.jar';
ADD FILE '/etc/passwd';
ADD ARCHIVE '/tmp/x.zip';
LIST FILES;
CACHE TABLE t;
CACHE LAZY TABLE x AS SELECT 1;
UNCACHE TABLE t;
CLEAR CACHE;
REFRESH TABLE t;
REFRESH '/tmp/x';
REFRESH FUNCTION f;
USE default;
USE CATALOG spark_catalog;
SET CATALOG spark_catalog;
ANALYZE TABLE t COMPUTE STATISTICS;
DESCRIBE TABLE t;
DESCRIBE QUERY SELECT 1;
DESCRIBE FUNCTION upper;
EXPLAIN SELECT 1;
EXPLAIN EXTENDED INSERT INTO t SELECT 1;
SHOW TABLES;
SHOW CREATE TABLE t;
SHOW FUNCTIONS;
SHOW CATALOGS;
MSCK REPAIR TABLE t;
COMMENT ON TABLE t IS 'x';
SELECT * FROM t WHERE a = (TABLE text.`/etc/passwd`);
SELECT * FROM t JOIN LATERAL (SELECT * FROM text.`/etc/passwd`);
SELECT * FROM t, LATERAL my_table_function(t.a);
SELECT * FROM t TABLESAMPLE (reflect('java.lang.System', 'exit', 1) ROWS);
SELECT * FROM t ORDER BY a LIMIT 1 OFFSET reflect('java.lang.System', 'exit', 1);
SELECT count(*) FILTER (WHERE EXISTS (SELECT TRANSFORM(a) USING 'cat' FROM t)) FROM t;
SELECT a FROM t GROUP BY GROUPING SETS ((a, reflect('java.lang.System', 'exit', 1)));
SELECT a LIKE ANY (reflect('java.lang.System', 'exit', 1)) FROM t;
SELECT CAST(reflect('java.lang.System', 'exit', 1) AS INT);
SELECT INTERVAL (reflect('java.lang.System', 'exit', 1)) DAY;
SELECT EXTRACT(YEAR FROM reflect('java.lang.System', 'exit', 1));
SELECT trim(BOTH reflect('java.lang.System', 'exit', 1) FROM 'x');
SELECT struct(reflect('java.lang.System', 'exit', 1)).col1;
SELECT t.* EXCEPT (a), reflect('java.lang.System', 'exit', 1) FROM t;
SELECT a COLLATE my_catalog.my_schema.my_collation, my_function(1) FROM t;
FROM t |> AGGREGATE reflect('java.lang.System', 'exit', 1) GROUP BY a;
FROM t |> ORDER BY reflect('java.lang.System', 'exit', 1);
FROM t |> JOIN text.`/etc/passwd`;
FROM t |> UNION ALL TABLE secrets;
FROM text.`/etc/passwd` |> SELECT *;
FROM t |> INSERT INTO x;
lbl: BEGIN INSERT INTO t SELECT 1; END lbl;
BEGIN IF 1 = 1 THEN INSERT INTO t SELECT 1; END IF; END;
BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION INSERT INTO t SELECT 1; SELECT 1 / 0; END;
INSERT WITH SCHEMA EVOLUTION INTO t SELECT 1;
CREATE FLOW f AS INSERT INTO t BY NAME SELECT 1;
CREATE STREAMING TABLE x AS SELECT 1;
CREATE MATERIALIZED VIEW x AS SELECT 1;
SET PATH = system.session;
EXECUTE IMMEDIATE 'SELECT * FROM text.`/etc/passwd`';
EXECUTE IMMEDIATE :p USING 1;
SELECT * FROM TABLE(my_table_function(1));
SELECT * FROM my_table_function(TABLE(t));
SELECT * FROM t LATERAL VIEW reflect('java.lang.System', 'exit', 1) x;
WITH q (a) AS (TABLE text.`/etc/passwd`) TABLE q;
SELECT * FROM `t` `t`, `t `;
SELECT * FROM t AS a JOIN a.b AS c;
DFS -ls /;
EXPORT TABLE t TO '/tmp/x'
"""


#: Ways to say "secrets" where it could mean the common table expression, and means the table.
AMBIGUOUS = """
WITH secrets AS (SELECT v FROM secrets) SELECT * FROM secrets;
WITH RECURSIVE secrets AS (SELECT v FROM secrets) SELECT * FROM secrets;
WITH RECURSIVE secrets AS (SELECT (SELECT max(v) FROM secrets) AS v) SELECT * FROM secrets;
WITH RECURSIVE secrets (v) AS (SELECT 'x' UNION ALL SELECT v FROM secrets WHERE v <> 'x') SELECT * FROM secrets;
WITH RECURSIVE secrets (v) AS (SELECT 'x' UNION ALL SELECT v FROM (WITH q AS (SELECT v FROM secrets)
  SELECT * FROM q) WHERE v <> 'x') SELECT * FROM secrets;
WITH RECURSIVE secrets (v) AS (SELECT 'x' UNION ALL SELECT 'y' WHERE EXISTS (SELECT 1 FROM secrets)) SELECT * FROM secrets;
WITH RECURSIVE secrets (v) AS (SELECT 'x' UNION ALL SELECT s.v FROM (SELECT 1), LATERAL (SELECT v FROM secrets) s)
  SELECT * FROM secrets;
WITH RECURSIVE q AS (SELECT 1 AS n), secrets AS (SELECT v FROM secrets) SELECT * FROM secrets;
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) OVER w FROM range(2)
  WINDOW w AS (PARTITION BY (SELECT max(v) FROM secrets));
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) OVER w FROM range(2)
  WINDOW w AS (ORDER BY CASE WHEN (SELECT max(v) FROM secrets) LIKE 'l%' THEN 1 ELSE id END);
WITH secrets AS (SELECT 'x' AS v) SELECT CASE WHEN (SELECT max(v) FROM secrets) LIKE 'l%' THEN 1 ELSE 2 END AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT CASE (SELECT max(v) FROM secrets) WHEN 'l' THEN 1 END AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM VALUES ((SELECT max(v) FROM secrets)) AS s(v);
WITH secrets AS (SELECT 'x' AS v) VALUES ((SELECT max(v) FROM secrets));
WITH secrets AS (SELECT 'x' AS v) SELECT v FROM range(2) LATERAL VIEW explode(array((SELECT max(v) FROM secrets))) s AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM explode(array((SELECT max(v) FROM secrets)));
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM range(length((SELECT max(v) FROM secrets)));
WITH secrets AS (SELECT 'x' AS v) SELECT id FROM range(9) LIMIT length((SELECT max(v) FROM secrets));
WITH secrets AS (SELECT 'x' AS v) SELECT id FROM range(9) ORDER BY (SELECT max(v) FROM secrets);
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) FROM range(9) GROUP BY (SELECT max(v) FROM secrets);
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) FROM range(9) GROUP BY GROUPING SETS ((id, (SELECT max(v) FROM secrets)));
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) FILTER (WHERE (SELECT max(v) FROM secrets) = 'x') FROM range(9);
WITH secrets AS (SELECT 'x' AS v) SELECT count(*) FROM range(9) HAVING (SELECT max(v) FROM secrets) = 'x';
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM range(9) a JOIN range(9) b ON (SELECT max(v) FROM secrets) = 'x';
WITH secrets AS (SELECT 'x' AS v) SELECT transform(array(1), e -> (SELECT max(v) FROM secrets)) AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT /*+ REPARTITION((SELECT max(v) FROM secrets)) */ 1 AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT /*+ BROADCAST(secrets) */ v FROM secrets;
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM (SELECT 'x' AS v) PIVOT (max((SELECT max(v) FROM secrets)) FOR v IN ('x'));
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM (WITH q AS (SELECT v FROM secrets) SELECT v FROM q);
WITH q AS (WITH secrets AS (SELECT 'x' AS v) SELECT v FROM secrets) SELECT * FROM q;
WITH q AS (WITH secrets AS (SELECT 'x' AS v) SELECT v FROM secrets) SELECT * FROM secrets;
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM (WITH secrets AS (SELECT v FROM secrets) SELECT v FROM secrets);
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM SECRETS, `Secrets`;
WITH Secrets AS (SELECT 'x' AS v) SELECT * FROM secrets;
WITH secrets AS (SELECT 'x' AS v) (SELECT v FROM secrets) UNION ALL (SELECT v FROM secrets) ORDER BY v;
WITH secrets AS (SELECT 'x' AS v) FROM secrets |> WHERE v IN (SELECT v FROM secrets) |> EXTEND (SELECT max(v) FROM secrets) AS w;
WITH secrets AS (SELECT 'x' AS v) FROM range(1) |> UNION ALL (SELECT length(v) FROM secrets) |> AGGREGATE count(*);
WITH secrets AS (SELECT 'x' AS v) SELECT id FROM range(3) QUALIFY row_number() OVER (ORDER BY (SELECT max(v) FROM secrets)) = 1;
WITH secrets AS (SELECT 'x' AS v) SELECT INTERVAL (SELECT 1 FROM secrets) DAY AS v;
WITH secrets AS (SELECT 'x' AS v) SELECT struct((SELECT max(v) FROM secrets)).col1 AS v, array((SELECT max(v) FROM secrets))[0];
WITH secrets AS (SELECT 'x' AS v) SELECT * FROM range(9) TABLESAMPLE (length((SELECT max(v) FROM secrets)) ROWS)
"""


def statements(text):
    """Those of a text; a script's own semicolons are followed by a space."""
    return [statement.strip() for statement in text.strip().split(";\n")]


class SandboxTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.spark = session()
        for key, value in SETTINGS.items():
            cls.spark.conf.set(key, value)
        cls.folder = tempfile.TemporaryDirectory()
        cls.sandbox = Sandbox(cls.spark, [cls.folder.name])
        cls.system = cls.spark.sparkContext._jvm.java.lang.System

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def check(self, sql):
        """refused, allowed, or unparsed where this Spark has no such syntax."""
        try:
            self.sandbox.check_sql("step", sql, ["t", "u", "v"])
            return "allowed"
        except JobFailure as failure:
            self.assertEqual((failure.exit_code, failure.code), (12, "SANDBOX_REFUSED"), sql)
            return "refused"
        except Exception as error:
            self.assertEqual(type(error).__name__, "ParseException", sql)
            return "unparsed"

    def test_plain_queries_are_allowed(self):
        found = {sql: self.check(sql) for sql in statements(ALLOWED)}
        self.assertEqual([sql for sql, what in found.items() if what == "refused"], [])
        unparsed = [sql for sql, what in found.items() if what == "unparsed"]
        newer = {"3.5": 14, "4.1": 1}.get(self.spark.version[:3], 0)
        self.assertLessEqual(len(unparsed), newer, unparsed)

    def test_all_else_is_refused(self):
        found = {sql: self.check(sql) for sql in statements(REFUSED)}
        self.assertGreater(len(found), 180)
        self.assertEqual([sql for sql, what in found.items() if what == "allowed"], [])
        unparsed = [sql for sql, what in found.items() if what == "unparsed"]
        self.assertLessEqual(len(unparsed), 75 if self.spark.version < "4" else 25, unparsed)

    def test_the_known_ways_around_a_naive_check_are_refused_and_not_unparsed(self):
        for sql in [
            "INSERT INTO t SELECT 1",
            "WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q",
            "FROM t INSERT INTO x SELECT a INSERT INTO y SELECT b",
            "INSERT OVERWRITE DIRECTORY '/tmp/p' USING parquet SELECT 1",
            "SELECT TRANSFORM(a) USING 'cat' FROM t",
            "SELECT reflect('java.lang.System', 'exit', 1)",
            "SELECT * FROM text.`/etc/passwd`",
        ] + (
            ["CALL a.b.c()", "EXECUTE IMMEDIATE 'x'", "BEGIN INSERT INTO t SELECT 1; END"]
            if self.spark.version > "4"
            else []
        ):
            self.assertEqual(self.check(sql), "refused", sql)

    def test_a_name_that_is_let_through_never_means_a_table_of_the_catalog(self):
        self.spark.sql("DROP TABLE IF EXISTS secrets")
        self.spark.sql("CREATE TABLE secrets USING parquet AS SELECT 'leaked' AS v")
        self.addCleanup(self.spark.sql, "DROP TABLE IF EXISTS secrets")
        run = 0
        for sql in statements(AMBIGUOUS):
            if self.check(sql) != "allowed":
                continue
            try:
                plan = self.spark.sql(sql)._jdf.queryExecution().analyzed().toString()
            except Exception as error:
                self.assertNotIn("leaked", str(error))
                plan = str(error)
            else:
                run += 1
            self.assertNotIn("default.secrets", plan, sql)
            self.assertNotIn("parquet", plan, sql)
        self.assertGreater(run, 15)

    def test_nothing_runs_and_no_class_is_loaded_while_a_statement_is_checked(self):
        for sql in [
            "VALUES (reflect('java.lang.System', 'setProperty', 'pwned', '1'))",
            "SELECT * FROM VALUES (1, reflect('java.lang.System', 'setProperty', 'pwned', '1'))",
            "SELECT * FROM range(reflect('java.lang.System', 'setProperty', 'pwned', '1'))",
            "CREATE TEMPORARY FUNCTION f AS 'com.sun.net.httpserver.HttpServer'",
            "CREATE TEMPORARY VIEW x USING com.sun.net.httpserver.HttpServer",
        ]:
            self.assertEqual(self.check(sql), "refused", sql)
        self.assertIsNone(self.system.getProperty("pwned"))

    def test_a_refusal_says_where(self):
        sql = "SELECT a,\n  reflect('x', 'y') FROM t"
        with self.assertRaises(JobFailure) as caught:
            self.sandbox.check_sql("step", sql, ["t"])
        failure = caught.exception
        self.assertEqual(sql[failure.start : failure.stop + 1], "reflect('x', 'y')")
        self.assertEqual(failure.step, "step")
        self.assertIn('The function "reflect" is refused', failure.message)
        with self.assertRaisesRegex(JobFailure, "INSERT is refused"):
            self.sandbox.check_sql("step", "INSERT INTO t SELECT 1", ["t"])
        with self.assertRaisesRegex(JobFailure, "declare it in spec.coreEtl.sources"):
            self.sandbox.check_sql("step", "SELECT * FROM secrets", ["t"])

    def test_the_environment_stays_the_drivers(self):
        self.assertEqual(self.spark.conf.get("spark.sql.variable.substitute"), "false")
        text = self.spark.sql("SELECT '${env:PATH}' AS x").first()[0]
        self.assertEqual(text, "${env:PATH}")

    def test_a_schema_in_a_function_loads_no_class(self):
        """from_json takes JSON for a schema, too, in which a type may be a class."""
        udt = (
            '{"type":"struct","fields":[{"name":"a","nullable":true,"metadata":{},"type":'
            '{"type":"udt","class":"com.example.Absent","pyClass":null,"sqlType":"string"}}]}'
        )
        for function in ("from_json", "from_csv"):
            with self.assertRaises(Exception) as caught:
                self.spark.sql("SELECT %s('{}', '%s')" % (function, udt)).collect()
            self.assertNotIn("ClassNotFound", str(caught.exception))

    def test_a_source_is_a_table_or_files_in_a_store(self):
        allowed = [
            {"table": "t"},
            {"table": "cat.schema.some_table"},
            {"path": "s3://bucket/a", "format": "parquet"},
            {"path": "abfss://c@account.dfs.core.windows.net/x", "format": "parquet"},
            {"path": "S3A://bucket/{a,b}/*", "format": "csv", "options": {"Header": "true"}},
            {"path": self.folder.name + "/a.csv", "format": "csv"},
            {"path": "file://" + self.folder.name, "format": "json"},
            {"rows": [{"a": 1}]},
        ]
        refused = [
            {"table": "text.`/etc/passwd`"},
            {"table": "delta.`s3a://bucket/x`"},
            {"path": "/etc/passwd", "format": "text"},
            {"path": "etc/passwd", "format": "text"},
            {"path": "file:/etc/passwd", "format": "text"},
            {"path": "file:///etc/passwd", "format": "text"},
            {"path": "FILE:///etc/passwd", "format": "text"},
            {"path": "local:///etc/passwd", "format": "text"},
            {"path": self.folder.name + "/../../etc/passwd", "format": "text"},
            {"path": self.folder.name + "-other/x", "format": "text"},
            {"path": self.folder.name + "/{a,../../etc/passwd}", "format": "text"},
            {"path": "http://169.254.169.254/latest/meta-data", "format": "text"},
            {"path": "hdfs://elsewhere/x", "format": "text"},
            {"path": "jar:file:///x.jar!/y", "format": "text"},
            {"path": "s3a:/etc", "format": "text"},
            {"path": "abfss://c@elsewhere.example/x", "format": "text"},
            {"path": "abfss://c@a.dfs.core.windows.net.elsewhere.example/x", "format": "text"},
            {"path": "wasbs://elsewhere.example/x", "format": "text"},
            {"path": "s3a://b/x", "format": "binaryFile"},
            {"path": "s3a://b/x", "format": "jdbc"},
            {"path": "s3a://b/x", "format": "com.example.Source"},
            {"path": "s3a://b/x", "format": "text", "options": {"path": "/etc/passwd"}},
            {"path": "s3a://b/x", "format": "text", "options": {"paths": '["/etc/passwd"]'}},
            {"path": "s3a://b/x", "format": "text", "options": {"fs.s3a.impl": "com.example.Evil"}},
            {"path": "s3a://b/x", "format": "avro", "options": {"avroSchemaUrl": "/etc/passwd"}},
        ]
        os.symlink("/etc", os.path.join(self.folder.name, "link"))
        refused.append({"path": self.folder.name + "/link/passwd", "format": "text"})
        for source in allowed:
            self.sandbox.check_source("s", source)
        for source in refused:
            with self.assertRaises(JobFailure, msg=source):
                self.sandbox.check_source("s", source)

    def test_a_schema_says_names_and_types(self):
        self.sandbox.check_schema("s", "a INT COMMENT 'x', b STRUCT<c: ARRAY<STRING>>")
        try:
            self.sandbox.check_schema("s", "a INT DEFAULT reflect('java.lang.System', 'exit', 1)")
            self.fail("a default value was allowed")
        except JobFailure:
            pass
        except Exception as error:
            self.assertEqual(type(error).__name__, "ParseException")

    def test_a_large_statement_is_checked_in_reasonable_time(self):
        numbers = ", ".join(str(number) for number in range(2_000))
        self.assertEqual(self.check("SELECT * FROM t WHERE a IN (%s)" % numbers), "allowed")
