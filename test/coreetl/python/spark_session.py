"""One Spark for all tests of a process: it takes seconds to start."""

import os

from pyspark.sql import SparkSession

_java = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
if "CLASS_ARCHIVE" in os.environ:
    _java += ["-Xshare:auto", f"-XX:SharedArchiveFile={os.environ['CLASS_ARCHIVE']}"]


def session():
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.extraJavaOptions", " ".join(_java))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.variable.substitute", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark
