"""A script whose session has no driver yet: Ctrl-C during its first write, and then its end.

Arguments: the URL and the folder that the write would make.
"""

import sys

from pyspark.sql import SparkSession

url, folder = sys.argv[1:]
spark = SparkSession.builder.remote(url).create()
print(spark.client._session_id, flush=True)
try:
    spark.range(10).write.parquet(folder)
    print("written")
except KeyboardInterrupt:
    print("interrupted")
# grpcio (1.85) cancels what is still open when the interpreter ends, and may wait there for ever for a lock
# of its thread, which the interpreter has ended: grpc/grpc#20026.
spark.client.close()
