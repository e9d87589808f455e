"""A service or a script of your own: it opens a session, asks, and gives the session back."""

from spark_connect_helper import get_spark

spark = get_spark(app_name="daily-report")
try:
    totals = spark.sql("SELECT id % 7 AS day, count(*) AS clicks FROM range(1000) GROUP BY 1 ORDER BY 1")
    for row in totals.collect():
        print(row.day, row.clicks)
finally:
    spark.stop()
