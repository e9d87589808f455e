"""The driver is killed while nobody looks; a notebook's next get_spark() goes on."""

from spark_connect_helper import get_spark

spark = get_spark()
spark.sql("SELECT 42 AS answer").createOrReplaceTempView("mine")
print(f"session {spark.client._session_id}", flush=True)
first = spark
while spark is first:
    spark = get_spark()
try:
    spark.table("mine").collect()
except Exception as error:
    assert "TABLE_OR_VIEW_NOT_FOUND" in str(error), error
    print("the view is gone")
assert spark.range(3).count() == 3
spark.stop()
