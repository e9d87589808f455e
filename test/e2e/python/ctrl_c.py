"""A person at a prompt: Ctrl-C during a query that would not end, and then the next query.

Arguments: the URL, and a folder in which a file `running` says that the query runs.
"""

import os
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

url, folder = sys.argv[1:]
spark = SparkSession.builder.remote(url).create()
spark.sql("SELECT 42 AS answer").createOrReplaceTempView("mine")


def wait(row):
    open(os.path.join(folder, "running"), "w").close()
    while True:
        time.sleep(0.02)


try:
    spark.range(0, 1, 1, 1).select(udf(wait, "long")("id")).collect()
except KeyboardInterrupt:
    print("interrupted")
# A job: it needs the only task slot of the driver.
print(*spark.sql("SELECT max(answer), count(*) FROM mine JOIN range(10)").collect()[0])
print(spark.client._session_id)
