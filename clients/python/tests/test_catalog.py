import contextlib
import io
import unittest

from spark_connect_helper import SettingsError, show_tables
from spark_connect_helper.catalog import Listing, describe_table, quoted, show_catalogs


class FakeSpark:
    def __init__(self, columns=(), rows=()):
        self.columns = list(columns)
        self.rows = list(rows)

    def sql(self, text):
        self.asked = text
        return self

    def collect(self):
        return self.rows


class CatalogTest(unittest.TestCase):
    def asked(self, function, *args, **options):
        spark = FakeSpark(["a"], [("1",)])
        with contextlib.redirect_stdout(io.StringIO()):
            function(spark, *args, **options)
        return spark.asked

    def test_names_are_names_whatever_is_in_them(self):
        for name, text in (
            ("t", "`t`"),
            ("db.t", "`db`.`t`"),
            ("`a.b`.t", "`a.b`.`t`"),
            ("`a``b`", "`a``b`"),
            ("t; DROP TABLE x", "`t; DROP TABLE x`"),
            (["we`ird", "a.b"], "`we``ird`.`a.b`"),
        ):
            self.assertEqual(quoted(name), text)
        for name in ("", "a..b", ".a", "a.", "`a", "`a`b", []):
            with self.assertRaises(SettingsError, msg=repr(name)):
                quoted(name)

    def test_patterns_are_text(self):
        self.assertEqual(
            self.asked(show_catalogs, like="a'b\\c*"), "SHOW CATALOGS LIKE 'a\\'b\\\\c*'"
        )
        self.assertEqual(self.asked(show_tables, "db"), "SHOW TABLES IN `db`")
        self.assertEqual(
            self.asked(describe_table, "db.t", extended=True), "DESCRIBE TABLE EXTENDED `db`.`t`"
        )

    def test_it_returns_what_it_shows(self):
        spark = FakeSpark(["namespace", "tableName"], [("default", "clicks"), ("", None)])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            listing = show_tables(spark)
        self.assertEqual(listing, [("default", "clicks"), ("", None)])
        self.assertEqual(listing.column("tableName"), ["clicks", None])
        self.assertEqual(
            out.getvalue(),
            "namespace  tableName\n---------  ---------\ndefault    clicks\n\n",
        )

    def test_html_is_escaped(self):
        page = Listing(["<i>"], [["<script>alert(1)</script>"]])._repr_html_()
        self.assertNotIn("<script>", page)
        self.assertNotIn("<i>", page)


if __name__ == "__main__":
    unittest.main()
