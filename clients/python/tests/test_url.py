import unittest

from pyspark.sql.connect.client import ChannelBuilder

try:
    from pyspark.sql.connect.client import DefaultChannelBuilder
except ImportError:  # PySpark 3.5
    DefaultChannelBuilder = ChannelBuilder

from spark_connect_helper import SettingsError, connection_url


class ConnectionUrlTest(unittest.TestCase):
    def test_pyspark_reads_back_what_was_given(self):
        token = "head.pay/load+=;&?#%20 ü"
        url = connection_url(
            "gateway.example.com:443", token=token, team="a;b=c", environment="prod"
        )
        builder = DefaultChannelBuilder(url)
        self.assertEqual(builder.endpoint, "gateway.example.com:443")
        self.assertTrue(builder.secure)
        self.assertEqual(builder.get("token"), token)
        self.assertEqual(
            dict(builder.metadata()),
            {"x-doordash-team": "a;b=c", "x-doordash-environment": "prod"},
        )

    def test_a_token_goes_in_the_clear_to_a_loopback_address_only(self):
        for address in ("localhost", "localhost:15002", "127.1.2.3:15002"):
            builder = DefaultChannelBuilder(connection_url(address, token="T"))
            self.assertFalse(builder.secure, address)
            self.assertEqual(dict(builder.metadata()), {"authorization": "Bearer T"}, address)
        self.assertIn("token=T", connection_url("gateway", token="T"))
        self.assertIn("use_ssl=true", connection_url("gateway", token="T"))

    def test_tls_can_be_asked_for_and_refused(self):
        self.assertTrue(DefaultChannelBuilder(connection_url("localhost", tls=True)).secure)
        self.assertFalse(
            DefaultChannelBuilder(connection_url("gateway", token="T", tls=False)).secure
        )

    def test_arguments_replace_parameters_of_a_pasted_url(self):
        pasted = "sc://localhost:15002/;token=old%2B;x-doordash-team=ads;x-trace=1"
        builder = DefaultChannelBuilder(connection_url(pasted, token="new", team="maps"))
        self.assertEqual(
            dict(builder.metadata()),
            {"authorization": "Bearer new", "x-doordash-team": "maps", "x-trace": "1"},
        )

    def test_a_pasted_token_is_kept(self):
        pasted = "sc://localhost:15002/;token=old%2B;x-doordash-team=ads"
        builder = DefaultChannelBuilder(connection_url(pasted))
        self.assertEqual(dict(builder.metadata())["authorization"], "Bearer old+")

    def test_user_and_session_are_the_clients_own_parameters(self):
        session_id = "0b1c2d3e-4f50-4123-8123-0123456789ab"
        builder = DefaultChannelBuilder(
            connection_url("localhost", user_id="zoë", session_id=session_id)
        )
        self.assertEqual(builder.userId, "zoë")
        self.assertEqual(builder.session_id, session_id)

    def test_what_is_no_address_is_refused(self):
        for address in ("", "http://gateway", "sc://gateway/path", "sc://gateway/;team"):
            with self.assertRaises(SettingsError, msg=address):
                connection_url(address)
        with self.assertRaises(SettingsError):
            connection_url("gateway", headers={"X-Team": "a"})


if __name__ == "__main__":
    unittest.main()
