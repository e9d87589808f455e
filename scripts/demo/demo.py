"""Two users with stock PySpark behind one front door; what each sees, and who is refused.

Usage: demo.py <gateway host:port> <token issuer URL>
Exits with 0 when everything went as it says, with 1 and what differed otherwise.
"""

import logging
import os
import sys
import urllib.request
import warnings
from urllib.parse import quote

os.environ["GRPC_VERBOSITY"] = "NONE"
warnings.simplefilter("ignore")

from pyspark.errors import AnalysisException, PySparkException  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402

# Queries that are meant to fail would be logged with their JVM stack trace.
logging.disable(logging.CRITICAL)

# Both users' team, by config/development/policy.yaml.
TEAM = "data"
ENVIRONMENT = "dev"
ROWS = 50_000


class Surprise(Exception):
    """Something is not as this account says it is."""


class User:
    def __init__(self, name, gateway, issuer):
        self.name = name
        self.gateway = gateway
        with urllib.request.urlopen(f"{issuer}/token?user={name}", timeout=10) as response:
            self.token = response.read().decode().strip()

    def url(self, **more):
        parameters = {
            "token": self.token,
            "x-doordash-team": TEAM,
            "x-doordash-environment": ENVIRONMENT,
            "user_id": self.name,
            **more,
        }
        return f"sc://{self.gateway}/;" + ";".join(
            f"{key}={quote(value, safe='')}" for key, value in parameters.items()
        )

    def connect(self):
        self.spark = SparkSession.builder.remote(self.url()).create()
        self.session_id = self.spark.client._session_id
        self.driver = self.current_driver()

    def current_driver(self):
        conf = self.spark.conf
        return f"{conf.get('spark.driver.host')} ({conf.get('spark.app.id')})"


def say(text=""):
    print(text, flush=True)


def expect(what, actual, expected):
    if actual != expected:
        raise Surprise(f"{what}: expected {expected!r}, got {actual!r}")


def work(user):
    spark = user.spark
    spark.sql(f"SELECT '{user.name}' AS owner, 42 AS answer").createOrReplaceTempView("notes")
    row = spark.sql("SELECT owner, answer FROM notes").collect()[0]
    expect(f"{user.name}'s view", tuple(row), (user.name, 42))
    frame = spark.range(ROWS).selectExpr("id", "id % 7 AS day").toPandas()
    expect("rows of the pandas frame", (len(frame), int(frame["id"].sum())), (ROWS, ROWS * (ROWS - 1) // 2))
    expect(f"{user.name}'s driver after this work", user.current_driver(), user.driver)
    say(f"  {user.name}: made the view `notes`, read it back, fetched {ROWS:,} rows into pandas")


def show_isolation(alice, bob):
    alice.spark.sql("SELECT 'for alice only' AS secret").createOrReplaceTempView("diary")
    try:
        bob.spark.sql("SELECT * FROM diary").collect()
    except AnalysisException as error:
        expect("error class", error.getCondition(), "TABLE_OR_VIEW_NOT_FOUND")
    else:
        raise Surprise(f"{bob.name} read a temp view of {alice.name}")
    owner = bob.spark.sql("SELECT owner FROM notes").collect()[0][0]
    expect(f"owner of the view `notes` that {bob.name} sees", owner, bob.name)
    say(f"  {bob.name} does not see {alice.name}'s view `diary`: TABLE_OR_VIEW_NOT_FOUND")
    say(f"  {bob.name}'s view `notes` is still {bob.name}'s own")


def show_refusal(alice, thief):
    stolen = thief.url(session_id=alice.session_id, user_id=alice.name)
    intruder = SparkSession.builder.remote(stolen).create()
    try:
        intruder.sql("SELECT * FROM diary").collect()
    except PySparkException as error:
        message = str(error)
        status = getattr(error, "getGrpcStatusCode", lambda: None)()
        if status is None or status.name != "PERMISSION_DENIED":
            raise Surprise(f"the refusal is not PERMISSION_DENIED: {message}") from error
        say(f"  {thief.name}, with a good token and {alice.name}'s session id, is refused:")
        for line in message.strip().splitlines():
            say(f"    {line}")
    else:
        raise Surprise(f"{thief.name} used {alice.name}'s session")


def main(gateway, issuer):
    users = [User(name, gateway, issuer) for name in ("alice", "bob")]
    alice, bob = users

    say(f"Two users connect to sc://{gateway} with stock PySpark:")
    for user in users:
        user.connect()
        say(f"  {user.name} (team {TEAM}, {ENVIRONMENT}) → driver {user.driver}")
    if alice.driver == bob.driver:
        raise Surprise("both users are on one driver")

    say()
    say("Each works on a driver of their own:")
    for user in users:
        work(user)

    say()
    say("Neither reaches the other:")
    show_isolation(alice, bob)
    show_refusal(alice, bob)

    for user in users:
        expect(f"{user.name}'s driver in the end", user.current_driver(), user.driver)
        user.spark.stop()
    say()
    say("Both sessions stayed on their drivers from beginning to end, and are released.")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
        status = 0
    except Surprise as surprise:
        say(f"NOT AS EXPECTED: {surprise}")
        status = 1
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        say(f"FAILED: {type(error).__name__}: {error}")
        status = 1
    # The refused session is not released, since it is not this one's: no exit hook may try.
    sys.stdout.flush()
    os._exit(status)
