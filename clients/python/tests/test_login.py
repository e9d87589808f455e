import contextlib
import io
import os
import threading
import time
import unittest
import urllib.error
import urllib.request
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from spark_connect_helper import TokenUnavailable
from spark_connect_helper.__main__ import main
from spark_connect_helper.settings import load_settings
from spark_connect_helper.tokens import fresh_token, login
from spark_connect_helper.tokens.chain import log_in
from spark_connect_helper.tokens.store import LoginStore

from .support import ManualClock, TestCase, jwt


class FakeProvider:
    """An OpenID provider. answers: what the token endpoint says next, as (status, body)."""

    def __init__(self, test):
        self.answers = []
        self.device = {
            "device_code": "dev",
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://login.example.com/device",
            "expires_in": 600,
        }
        self.forms = []
        self.http = test.http(self.answer)
        self.issuer = self.http.url
        self.claimed = self.issuer
        os.environ["SPARK_CONNECT_OIDC_ISSUER"] = self.issuer
        os.environ["SPARK_CONNECT_OIDC_CLIENT_ID"] = "spark-notebooks"

    def answer(self, method, path, headers, body):
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.claimed,
                "token_endpoint": f"{self.issuer}/token",
                "device_authorization_endpoint": f"{self.issuer}/device",
                "authorization_endpoint": f"{self.issuer}/authorize",
            }
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        self.forms.append((path, form))
        if path == "/device":
            return 200, self.device
        answer = self.answers.pop(0)
        return answer() if callable(answer) else answer

    def settings(self):
        return load_settings()


def tokens(n=1, life=3600, **more):
    return 200, {
        "access_token": jwt(sub="ann", n=n, exp=time.time() + life),
        "token_type": "Bearer",
        **more,
    }


PENDING = (400, {"error": "authorization_pending"})
SLOW_DOWN = (400, {"error": "slow_down"})


class DeviceLoginTest(TestCase):
    def setUp(self):
        super().setUp()
        self.provider = FakeProvider(self)
        self.clock = ManualClock()
        self.said = []

    def log_in(self):
        provider = login.discover(load_settings())
        return login.device_login(
            provider, self.said.append, now=self.clock, sleep=self.clock.sleep
        )

    def test_slow_down_a_proxys_page_and_a_token(self):
        self.provider.answers = [
            PENDING,
            SLOW_DOWN,
            SLOW_DOWN,
            (502, b"<html>Bad gateway"),
            tokens(),
        ]
        said = self.log_in()
        self.assertIn("access_token", said)
        self.assertEqual(self.clock.slept, [5, 5, 10, 15, 30])
        self.assertEqual(
            self.said,
            ["To sign in, open https://login.example.com/device and enter the code WDJB-MJHT"],
        )
        _, form = self.provider.forms[-1]
        self.assertEqual(form["grant_type"], login.DEVICE_GRANT)
        self.assertEqual(form["device_code"], "dev")
        self.assertIn("offline_access", self.provider.forms[0][1]["scope"])

    def test_the_providers_interval_counts(self):
        self.provider.device["interval"] = 2
        self.provider.answers = [PENDING, tokens()]
        self.log_in()
        self.assertEqual(self.clock.slept, [2, 2])

    def test_a_refusal_ends_it(self):
        self.provider.answers = [
            PENDING,
            (400, {"error": "access_denied", "error_description": "The user said no."}),
        ]
        with self.assertRaisesRegex(TokenUnavailable, "The user said no"):
            self.log_in()

    def test_nobody_comes(self):
        self.provider.device["expires_in"] = 30
        self.provider.answers = [PENDING] * 100
        with self.assertRaisesRegex(TokenUnavailable, "in time"):
            self.log_in()
        self.assertLessEqual(sum(self.clock.slept), 30)

    def test_a_provider_that_describes_another_is_not_believed(self):
        self.provider.claimed = "https://evil.example.com"
        with self.assertRaisesRegex(TokenUnavailable, "another issuer"):
            self.log_in()


class BrowserLoginTest(TestCase):
    def browser(self, url, *, state=None):
        """Does what a person's browser does, after somebody else has tried."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.query = query
        redirect = query["redirect_uri"]
        for forged in ("code=evil&state=guess", "code=evil"):
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(f"{redirect}?{forged}", timeout=10)
        urllib.request.urlopen(f"{redirect}?code=good&state={query['state']}", timeout=10).close()

    def test_pkce_on_loopback(self):
        provider = FakeProvider(self)
        provider.answers = [tokens(refresh_token="R")]
        said = login.browser_login(
            login.discover(load_settings()),
            lambda text: None,
            open_browser=lambda url: threading.Thread(target=self.browser, args=(url,)).start(),
            patience=60,
        )
        self.assertIn("access_token", said)
        path, form = provider.forms[-1]
        self.assertEqual((path, form["grant_type"]), ("/token", "authorization_code"))
        self.assertEqual(form["code"], "good")
        self.assertEqual(form["redirect_uri"], self.query["redirect_uri"])
        self.assertEqual(self.query["code_challenge_method"], "S256")
        import base64
        import hashlib

        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        self.assertEqual(
            base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), self.query["code_challenge"]
        )

    def test_nobody_comes(self):
        FakeProvider(self)
        with self.assertRaisesRegex(TokenUnavailable, "in time"):
            login.browser_login(
                login.discover(load_settings()),
                lambda t: None,
                open_browser=lambda u: None,
                patience=0,
            )


class CachedLoginTest(TestCase):
    def setUp(self):
        super().setUp()
        self.provider = FakeProvider(self)
        self.store = LoginStore(os.environ)

    def log_in(self, life, **more):
        self.provider.answers = [tokens(life=life, **more)]
        with mock.patch("time.sleep"):
            provider = login.discover(load_settings())
            said = login.device_login(provider, lambda t: None, sleep=lambda s: None)
            login.keep(provider, self.store, said)

    def test_a_login_outlives_its_token_and_the_process(self):
        self.log_in(life=-10, refresh_token="R1")
        self.provider.answers = [tokens(n=2, refresh_token="R2")]
        fresh = fresh_token(load_settings(), may_ask=False)
        second = fresh.get()
        self.assertEqual(self.provider.forms[-1][1]["refresh_token"], "R1")
        # Another process finds the new token, and asks nobody.
        self.assertEqual(fresh_token(load_settings(), may_ask=False).get(), second)
        self.assertEqual(
            self.store.get(login.login_key(self.provider.issuer, "spark-notebooks"))[
                "refresh_token"
            ],
            "R2",
        )

    def test_a_provider_that_does_not_rotate_keeps_its_refresh_token(self):
        self.log_in(life=-10, refresh_token="R1")
        self.provider.answers = [tokens(n=2), tokens(n=3)]
        fresh = fresh_token(load_settings(), may_ask=False)
        self.assertTrue(fresh.expired(fresh.get()))
        self.assertEqual(self.provider.forms[-1][1]["refresh_token"], "R1")

    def test_a_login_that_was_ended_says_so_and_is_forgotten(self):
        self.log_in(life=-10, refresh_token="R1")
        self.provider.answers = [(400, {"error": "invalid_grant"})]
        with self.assertRaisesRegex(TokenUnavailable, "has ended.*spark_connect_helper login"):
            fresh_token(load_settings(), may_ask=False)
        with self.assertRaisesRegex(TokenUnavailable, "No token found"):
            fresh_token(load_settings(), may_ask=False)

    def test_a_provider_that_is_down_ends_no_login(self):
        self.log_in(life=-10, refresh_token="R1")
        self.provider.answers = [(503, b"<html>"), tokens(n=2)]
        with self.assertRaisesRegex(TokenUnavailable, "HTTP 503"):
            fresh_token(load_settings(), may_ask=False)
        self.assertTrue(fresh_token(load_settings(), may_ask=False).get())

    def test_two_that_renew_at_once_use_the_refresh_token_once(self):
        self.log_in(life=-10, refresh_token="R1")
        both = threading.Barrier(2)

        def slow():
            time.sleep(0)
            return tokens(n=2, refresh_token="R2")

        self.provider.answers = [slow, lambda: (400, {"error": "invalid_grant"})]
        got = []

        def renew():
            source = login.CachedLogin(load_settings(), LoginStore(os.environ))
            both.wait(30)
            got.append(source.token().value)

        threads = [threading.Thread(target=renew) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(got), 2)
        self.assertEqual(got[0], got[1])


class CommandsTest(TestCase):
    def run_main(self, *arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
        return code, out.getvalue(), err.getvalue()

    def test_doctor_says_what_was_tried_and_holds_no_token(self):
        token = jwt(sub="ann@example.com", iss="https://idp", exp=time.time() + 600)
        os.environ["SPARK_CONNECT_TOKEN"] = token
        os.environ["SPARK_CONNECT_GATEWAY"] = f"sc://localhost:15002/;token={token}"
        code, out, err = self.run_main("doctor", "--no-connect")
        self.assertEqual(code, 0)
        self.assertIn("✓ SPARK_CONNECT_TOKEN", out)
        self.assertIn("- the argument token=: not given", out)
        self.assertIn("ann@example.com of https://idp", out)
        self.assertIn("sc://localhost:15002", out)
        self.assertNotIn(token, out + err)

    def test_doctor_without_a_token_says_why_of_each(self):
        code, out, err = self.run_main("doctor")
        self.assertEqual(code, 1)
        self.assertIn("- JupyterHub's API: JUPYTERHUB_API_URL", out)
        self.assertIn("No token", err)

    def test_login_whoami_logout(self):
        provider = FakeProvider(self)
        provider.device["interval"] = 0.01
        provider.answers = [tokens(refresh_token="R")]
        code, out, err = self.run_main("login", "--device")
        self.assertEqual(code, 0, err)
        self.assertIn("WDJB-MJHT", err)
        self.assertIn("logins.json", out)
        code, out, err = self.run_main("whoami")
        self.assertEqual(code, 0)
        self.assertRegex(out, "^ann from the login at .* good for")
        code, out, _ = self.run_main("logout")
        self.assertEqual((code, out), (0, "The login is forgotten.\n"))
        self.assertEqual(self.run_main("whoami")[0], 1)

    def test_login_without_a_provider_says_what_to_set(self):
        code, _, err = self.run_main("login")
        self.assertEqual(code, 1)
        self.assertIn("oidc_issuer", err)

    def test_somebody_who_can_be_asked_is_asked(self):
        provider = FakeProvider(self)
        provider.device["interval"] = 0.01
        provider.answers = [tokens(refresh_token="R")]
        said = []
        os.environ["SPARK_CONNECT_LOGIN"] = "device"
        fresh = fresh_token(load_settings(), may_ask=True, say=said.append)
        self.assertTrue(fresh.get())
        self.assertIn("WDJB-MJHT", said[0])

    def test_where_no_browser_is_it_is_the_device_login(self):
        provider = FakeProvider(self)
        provider.device["interval"] = 0.01
        provider.answers = [tokens()]
        log_in(
            load_settings(),
            LoginStore(os.environ),
            env={"SSH_CONNECTION": "1"},
            say=lambda text: None,
        )
        self.assertEqual(provider.forms[0][0], "/device")


if __name__ == "__main__":
    unittest.main()
