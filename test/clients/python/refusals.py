"""What people are told when something does not fit."""

from spark_connect_helper import HelperError, get_spark
from spark_connect_helper.channel import Opening  # noqa: F401  (imported: a misspelt patch below would do nothing)
from spark_connect_helper import channel

channel.UNREACHABLE_SECONDS = 0.0


def show(title, **options):
    try:
        get_spark(quiet=True, new=True, **options).stop()
        print(f"> {title}: connected")
    except HelperError as error:
        print(f"> {title}: {type(error).__name__} {error}".replace("\n", " "))


show("other team", team="ml")
show("no token", token="letmein")
show("no TLS", tls=False)
show("use_ssl as a header", headers={"use_ssl": "true"})

import os  # noqa: E402

del os.environ["SPARK_CONNECT_CA_FILE"]
show("no authority", tls=True)
