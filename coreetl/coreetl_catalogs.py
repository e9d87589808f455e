"""The token of Unity Catalog, from the driver's environment to the catalogs that Spark has."""

import os
import re

from coreetl_failures import JobFailure

TOKEN_VARIABLE = "UNITY_CATALOG_TOKEN"
_CATALOG = re.compile(r"spark\.sql\.catalog\.([^.]+)")
#: Another kind of catalog would send the token to somebody else.
_UNITY_CLASSES = "io.unitycatalog."


def give_token(spark):
    """
    Sets `spark.sql.catalog.NAME.token` of the session for each Unity Catalog that Spark was started
    with (class and `.uri` in its configuration) and that has no token of its own. It is the session's
    alone: what Spark was started with is shown on its page, and written to event logs.

    JobFailure where it is no token: a client of HTTP would repeat it in its error.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return
    configured = dict(spark.sparkContext.getConf().getAll())
    for key, value in configured.items():
        catalog = _CATALOG.fullmatch(key)
        if (
            catalog is None
            or not value.startswith(_UNITY_CLASSES)
            or key + ".uri" not in configured
        ):
            continue
        if key + ".token" in configured:
            continue
        if re.fullmatch(r"[\x21-\x7e]+", token) is None:
            text = (
                "%s holds no token for the catalog %s: spaces, line ends and letters outside of ASCII"
                " cannot be sent. Correct the Secret that it comes from."
            )
            raise JobFailure(10, "SOURCE_FAILED", text % (TOKEN_VARIABLE, catalog.group(1)))
        spark.conf.set(key + ".token", token)
