"""Which catalogs get the token: what needs no Spark."""

import os
import sys
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../../coreetl"))

from coreetl_catalogs import give_token  # noqa: E402
from coreetl_failures import JobFailure  # noqa: E402

UNITY = "io.unitycatalog.spark.UCSingleCatalog"
CONFIGURED = {
    "spark.app.name": "job-a",
    "spark.sql.catalog.unity": UNITY,
    "spark.sql.catalog.unity.uri": "https://catalog.example.com",
}


class Session:
    """As much of a session as configuration is: `set` has what was set while it ran."""

    def __init__(self, configured):
        self.configured = configured
        self.set = {}
        self.sparkContext = self.conf = mock.Mock()
        self.sparkContext.getConf().getAll.return_value = list(configured.items())
        self.conf.set = self.set.__setitem__


def given(token, configured):
    session = Session(configured)
    environment = {} if token is None else {"UNITY_CATALOG_TOKEN": token}
    with mock.patch.dict(os.environ, environment, clear=True):
        give_token(session)
    return session.set


class CatalogsTest(unittest.TestCase):
    def test_each_unity_catalog_of_the_configuration_gets_it_and_nobody_else(self):
        others = {
            "spark.sql.catalog.lake": UNITY,
            "spark.sql.catalog.lake.uri": "https://lake.example.com",
            "spark.sql.catalog.own": UNITY,
            "spark.sql.catalog.own.uri": "https://own.example.com",
            "spark.sql.catalog.own.token": "its own",
            "spark.sql.catalog.nowhere": UNITY,
            "spark.sql.catalog.ice": "org.apache.iceberg.spark.SparkCatalog",
            "spark.sql.catalog.ice.uri": "https://elsewhere.example.com",
            "spark.sql.catalog.ice.warehouse": "io.unitycatalog.x",
            "spark.sql.catalog.ice.warehouse.uri": "https://elsewhere.example.com",
        }
        self.assertEqual(
            given("t0ken\n", {**CONFIGURED, **others}),
            {"spark.sql.catalog.unity.token": "t0ken", "spark.sql.catalog.lake.token": "t0ken"},
        )

    def test_without_a_token_or_a_catalog_nothing_is_set(self):
        for token in (None, "", " \n"):
            self.assertEqual(given(token, CONFIGURED), {})
        self.assertEqual(given("t0ken", {}), {})

    def test_what_cannot_be_sent_is_refused_and_not_repeated(self):
        for token in ("s3cret\ns3cret", "s3cret s3cret", "s3cret\u00fc"):
            with self.assertRaises(JobFailure) as failed:
                given(token, CONFIGURED)
            self.assertEqual(failed.exception.code, "SOURCE_FAILED")
            self.assertIn("UNITY_CATALOG_TOKEN", failed.exception.message)
            self.assertNotIn("s3cret", failed.exception.message)
            self.assertEqual(given(token, {}), {}, "nobody wants it")
