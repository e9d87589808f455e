"""A script whose session has no driver yet: Ctrl-C during its first write, and then its end.

Arguments: the URL, the folder that the write would make, and `asks` for a client that first asks how
it may compress its plans (as 4.2 and later do) or `writes` for one that does not.
"""

import sys

from pyspark.sql import SparkSession

url, folder, first = sys.argv[1:]
spark = SparkSession.builder.remote(url).create()
if first == "writes":
    spark.client._plan_compression_threshold = -1
    spark.client._plan_compression_algorithm = "NONE"
print(spark.client._session_id, flush=True)
try:
    spark.range(10).write.parquet(folder)
    print("written")
except KeyboardInterrupt:
    print("interrupted")
