"""A query of more than two minutes, after which Spark ends its stream, with tokens that live for 20 s."""

import json
import os
import time
import urllib.request

from spark_connect_helper import Token, get_spark
from spark_connect_helper.tokens.token import claims

SECONDS = 125
counts = {"tokens": 0}


class Issuer:
    name = "the development issuer"

    def token(self):
        counts["tokens"] += 1
        url = f"{os.environ['ISSUER']}/token?user=bob&ttl=20s"
        with urllib.request.urlopen(url, timeout=30) as response:
            value = response.read().decode().strip()
        return Token(value, float(claims(value)["exp"]), time.time())


spark = get_spark(token=Issuer())
spark.sql("SELECT 42 AS answer").createOrReplaceTempView("mine")
print("The query runs.", flush=True)
rows = spark.sql(
    f"SELECT reflect('java.lang.Thread', 'sleep', {SECONDS * 1000}L), answer FROM mine"
).collect()
assert [row.answer for row in rows] == [42], rows
# Another query in the same session, whose view is still there.
assert spark.table("mine").collect()[0].answer == 42
session = spark.client._session_id
spark.stop()
print(json.dumps({"session": session, "tokens": counts["tokens"]}))
