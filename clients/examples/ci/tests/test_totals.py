"""Tests of a job's SQL. `spark` is a session through the gateway; its current schema is empty, and dropped."""


def test_totals_by_day(spark):
    spark.sql("CREATE TABLE clicks USING parquet AS SELECT id, id % 7 AS day FROM range(70)")
    rows = spark.sql("SELECT day, count(*) AS n FROM clicks GROUP BY day").collect()
    assert {row.day: row.n for row in rows} == {day: 10 for day in range(7)}


def test_runs_do_not_see_each_others_tables(spark, spark_schema):
    assert spark.sql("SELECT current_schema()").collect()[0][0] == spark_schema
