import os
import stat
import threading
import time
import unittest

from spark_connect_helper import HelperError, Token, TokenUnavailable
from spark_connect_helper.settings import load_settings
from spark_connect_helper.tokens import FreshToken, find_source, fresh_token
from spark_connect_helper.tokens.sources import FileToken

from .support import ManualClock, TestCase, jwt


class Scripted:
    """A source that gives what it is told, or fails."""

    name = "a script"

    def __init__(self, clock, life=3600.0):
        self.clock = clock
        self.life = life
        self.count = 0
        self.failing = False

    def token(self):
        self.count += 1
        if self.failing:
            raise TokenUnavailable("The provider does not answer.")
        return Token(f"T{self.count}", self.clock() + self.life, self.clock())


class FreshTokenTest(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()

    def fresh(self, life=3600.0):
        source = Scripted(self.clock, life)
        return source, FreshToken(source, now=self.clock)

    def test_one_token_is_used_until_shortly_before_its_end(self):
        source, fresh = self.fresh()
        self.assertEqual(fresh.get(), "T1")
        self.clock.now += 3539
        self.assertEqual(fresh.get(), "T1")
        self.clock.now += 2
        self.assertEqual(fresh.get(), "T2")
        self.assertEqual(source.count, 2)

    def test_a_short_token_is_renewed_a_fifth_before_its_end(self):
        _, fresh = self.fresh(life=20)
        fresh.get()
        self.clock.now += 15
        self.assertEqual(fresh.get(), "T1")
        self.clock.now += 2
        self.assertEqual(fresh.get(), "T2")

    def test_a_source_that_fails_for_a_while_hurts_nobody_while_the_token_is_good(self):
        source, fresh = self.fresh()
        fresh.get()
        self.clock.now += 3545
        source.failing = True
        for _ in range(10):
            self.assertEqual(fresh.get(), "T1")
        self.assertEqual(source.count, 2, "it is left alone for a while")
        self.clock.now += 56
        with self.assertRaises(TokenUnavailable):
            fresh.get()
        source.failing = False
        self.assertEqual(fresh.get(), "T4")

    def test_a_token_that_the_gateway_calls_expired_is_renewed_whatever_our_clock_says(self):
        source, fresh = self.fresh()
        self.assertTrue(fresh.expired(fresh.get()))
        self.assertEqual(fresh.get(), "T2")
        self.assertTrue(fresh.expired("T1"), "somebody else has renewed it meanwhile")
        self.assertEqual(source.count, 2)

    def test_threads_that_ask_at_once_renew_once(self):
        release = threading.Event()
        entered = threading.Event()
        source = Scripted(self.clock)
        stock = source.token

        def slow():
            entered.set()
            release.wait(30)
            return stock()

        source.token = slow
        fresh = FreshToken(source, now=self.clock)
        got = []
        threads = [threading.Thread(target=lambda: got.append(fresh.get())) for _ in range(8)]
        for thread in threads:
            thread.start()
        entered.wait(30)
        release.set()
        for thread in threads:
            thread.join()
        self.assertEqual(got, ["T1"] * 8)
        self.assertEqual(source.count, 1)

    def test_nobody_waits_for_a_slow_source_while_the_token_is_good(self):
        source, fresh = self.fresh()
        fresh.get()
        self.clock.now += 3550
        release = threading.Event()
        entered = threading.Event()
        stock = source.token

        def slow():
            entered.set()
            release.wait(30)
            return stock()

        source.token = slow
        renewing = threading.Thread(target=fresh.get)
        renewing.start()
        entered.wait(30)
        self.assertEqual(fresh.get(), "T1")
        release.set()
        renewing.join()
        self.assertEqual(fresh.get(), "T2")

    def test_a_token_is_not_in_what_is_printed_of_it(self):
        self.assertNotIn("secret", repr(Token("secret", 1.0)))

    def test_what_is_no_token_is_refused(self):
        for text in ("", "  ", "Bearer abc", "ü", "a\nb"):
            with self.assertRaises(TokenUnavailable, msg=repr(text)):
                Token.of(text, now=0)


class SourcesTest(TestCase):
    def found(self, **options):
        settings = options.pop("settings", None) or load_settings(env=os.environ)
        return find_source(settings, may_ask=False, **options)

    def test_the_first_that_fits_is_used_and_the_others_say_why_not(self):
        os.environ["SPARK_CONNECT_TOKEN"] = "T"
        found = self.found()
        self.assertEqual(found.token.value, "T")
        self.assertEqual(
            [(one.name, one.outcome) for one in found.tried],
            [("the argument token=", "skipped"), ("SPARK_CONNECT_TOKEN", "used")],
        )
        self.assertEqual(self.found(argument="A").token.value, "A")
        self.assertEqual(self.found(argument=lambda: "F").token.value, "F")

    def test_with_nothing_it_says_what_was_tried(self):
        found = self.found()
        self.assertIsNone(found.source)
        self.assertEqual(len(found.tried), 10)
        self.assertTrue(all(one.outcome == "skipped" and one.why for one in found.tried))
        with self.assertRaisesRegex(TokenUnavailable, "doctor"):
            fresh_token(load_settings(), may_ask=False)

    def test_a_file_is_read_again(self):
        path = self.path("token", jwt(exp=1000) + "\n")
        clock = ManualClock(now=990)
        os.environ["SPARK_CONNECT_TOKEN_FILE"] = path
        fresh = FreshToken(FileToken(path, "file", clock), now=clock)
        first = fresh.get()
        clock.now = 995
        self.path("token", jwt(exp=2000))
        self.assertEqual(fresh.get(), first)
        clock.now = 999
        self.assertEqual(fresh.get(), jwt(exp=2000))

    def test_a_file_that_was_set_and_is_not_there_is_no_reason_to_be_somebody_else(self):
        os.environ["SPARK_CONNECT_TOKEN_FILE"] = self.path("missing")
        os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] = "http://127.0.0.1:1/"
        os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "x"
        found = self.found()
        self.assertIsNone(found.source)
        self.assertEqual(found.tried[-1].outcome, "failed")
        self.assertIn("missing", found.tried[-1].why)

    def test_the_hub_is_asked_and_renews(self):
        tokens = iter([jwt(n=1, exp=time.time() + 30), jwt(n=2, exp=time.time() + 3600)])

        def answer(method, path, headers, body):
            if headers.get("authorization") != "token hub-secret":
                return 403, {}
            return 200, {"name": "ann", "auth_state": {"access_token": next(tokens)}}

        hub = self.http(answer)
        os.environ["JUPYTERHUB_API_URL"] = f"{hub.url}/hub/api"
        os.environ["JUPYTERHUB_API_TOKEN"] = "hub-secret"
        fresh = fresh_token(load_settings(), may_ask=False)
        first = fresh.get()
        self.assertEqual(hub.requests[0][1], "/hub/api/user")
        self.assertTrue(fresh.expired(first))
        self.assertNotEqual(fresh.get(), first)

    def test_a_hub_that_keeps_no_tokens_is_passed_over(self):
        hub = self.http(lambda *request: (200, {"name": "ann", "auth_state": None}))
        os.environ["JUPYTERHUB_API_URL"] = hub.url
        os.environ["JUPYTERHUB_API_TOKEN"] = "x"
        (hubs,) = [one for one in self.found().tried if one.name.startswith("JupyterHub")]
        self.assertEqual(hubs.outcome, "skipped")
        self.assertIn("enable_auth_state", hubs.why)

    def test_a_hub_that_is_down_is_an_error(self):
        hub = self.http(lambda *request: (503, b"<html>"))
        os.environ["JUPYTERHUB_API_URL"] = hub.url
        os.environ["JUPYTERHUB_API_TOKEN"] = "x"
        self.assertEqual(self.found().tried[-1].outcome, "failed")

    def test_github_mints_a_token_for_our_audience_each_time(self):
        count = iter(range(1, 100))

        def answer(method, path, headers, body):
            self.assertEqual(headers["authorization"], "Bearer request-secret")
            return 200, {"value": jwt(n=next(count), exp=time.time() + 300, path=path)}

        github = self.http(answer)
        os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{github.url}/token?api-version=2.0"
        os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "request-secret"
        os.environ["SPARK_CONNECT_AUDIENCE"] = "api://spark gateway"
        fresh = fresh_token(load_settings(), may_ask=False)
        first = fresh.get()
        self.assertEqual(
            github.requests[0][1], "/token?api-version=2.0&audience=api%3A%2F%2Fspark%20gateway"
        )
        self.assertTrue(fresh.expired(first))
        self.assertEqual(len(github.requests), 2)

    def test_a_github_job_without_the_permission_is_told_so(self):
        os.environ["GITHUB_ACTIONS"] = "true"
        (github,) = [one for one in self.found().tried if one.name.startswith("GitHub")]
        self.assertIn("id-token: write", github.why)

    def test_buildkites_agent_is_run(self):
        folder = self.path("bin")
        os.mkdir(folder)
        agent = os.path.join(folder, "buildkite-agent")
        self.path("bin/buildkite-agent", '#!/bin/sh\necho "$@" > "$HOME/asked"\necho T-of-agent\n')
        os.chmod(agent, 0o755)
        os.environ.update(BUILDKITE="true", PATH=f"{folder}:{os.environ['PATH']}")
        self.assertEqual(self.found().token.value, "T-of-agent")
        with open(self.path("asked")) as asked:
            self.assertEqual(
                asked.read().strip(),
                "oidc request-token --audience api://spark-gateway --lifetime 600",
            )
        self.path("bin/buildkite-agent", "#!/bin/sh\necho no such audience >&2\nexit 1\n")
        self.assertIn("no such audience", self.found().tried[-1].why)

    def test_a_projected_service_account_token_is_used(self):
        path = self.path("sa-token", jwt(exp=time.time() + 600))
        settings = load_settings(env={"SPARK_CONNECT_SERVICE_ACCOUNT_TOKEN_FILE": path})
        self.assertIn("service-account", self.found(settings=settings).source.name)

    def test_a_function_that_fails_is_named(self):
        def broken():
            raise RuntimeError("vault is sealed")

        self.assertIn("vault is sealed", self.found(argument=broken).tried[-1].why)

    def test_a_redirect_takes_no_credentials_elsewhere(self):
        other = self.http(lambda *request: (200, {"value": "stolen"}))
        hub = self.http(lambda *request: (302, b"", {"location": other.url}))
        os.environ["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{hub.url}/"
        os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "x"
        self.assertEqual(self.found().tried[-1].outcome, "failed")
        self.assertEqual(other.requests, [])


class StoreTest(TestCase):
    def store(self):
        from spark_connect_helper.tokens.store import LoginStore

        return LoginStore(os.environ)

    def test_a_login_is_kept_in_a_file_that_only_its_owner_reads(self):
        store = self.store()
        store.put("k", {"token": "T"})
        self.assertEqual(self.store().get("k"), {"token": "T"})
        file = os.path.join(self.home, ".local/state/spark-connect/logins.json")
        self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode), 0o700)
        self.assertTrue(store.remove("k"))
        self.assertIsNone(store.get("k"))
        self.assertFalse(store.remove("k"))

    def test_a_file_that_others_can_read_is_not_believed(self):
        self.store().put("k", {"token": "T"})
        os.chmod(os.path.join(self.home, ".local/state/spark-connect/logins.json"), 0o644)
        self.assertIsNone(self.store().get("k"))

    def test_a_file_that_is_cut_off_is_as_none(self):
        self.store().put("k", {"token": "T"})
        path = os.path.join(self.home, ".local/state/spark-connect/logins.json")
        with open(path, "w") as stream:
            stream.write('{"k": {"tok')
        self.assertIsNone(self.store().get("k"))
        self.store().put("k", {"token": "U"})
        self.assertEqual(self.store().get("k"), {"token": "U"})

    def test_a_keyring_without_a_backend_is_no_error(self):
        import sys
        import types

        class NoKeyringError(RuntimeError):
            pass

        def fail(*args):
            raise NoKeyringError("No recommended backend was available.")

        module = types.ModuleType("keyring")
        module.get_password = module.set_password = module.delete_password = fail
        sys.modules["keyring"] = module
        self.addCleanup(sys.modules.pop, "keyring", None)
        self.store().put("k", {"token": "T"})
        self.assertEqual(self.store().get("k"), {"token": "T"})

    def test_a_keyring_is_used_and_the_file_is_not(self):
        import sys
        import types

        kept = {}
        module = types.ModuleType("keyring")
        module.get_password = lambda service, key: kept.get((service, key))
        module.set_password = lambda service, key, value: kept.__setitem__((service, key), value)
        module.delete_password = lambda service, key: kept.pop((service, key))
        sys.modules["keyring"] = module
        self.addCleanup(sys.modules.pop, "keyring", None)
        store = self.store()
        store.put("k", {"token": "T"})
        self.assertEqual(store.where, "the system's keyring")
        self.assertFalse(
            os.path.exists(os.path.join(self.home, ".local/state/spark-connect/logins.json"))
        )
        self.assertEqual(store.get("k"), {"token": "T"})
        self.assertTrue(store.remove("k"))
        self.assertEqual(kept, {})


class SettingsTest(TestCase):
    def test_arguments_then_variables_then_the_file(self):
        path = self.path(
            "settings.ini",
            "[default]\nteam = from-file\n[staging]\ngateway = s:1\n[prod]\ngateway = p:2\nteam = ops\n",
        )
        env = {"SPARK_CONNECT_SETTINGS": path, "USER": "ann"}
        staging = load_settings(env=env)
        self.assertEqual((staging.environment, staging.gateway), ("staging", "s:1"))
        self.assertEqual((staging.team, staging.user), ("from-file", "ann"))
        self.assertEqual(load_settings("prod", env=env).team, "ops")
        more = {**env, "SPARK_CONNECT_TEAM": "v", "SPARK_CONNECT_GATEWAY_PROD": "one:3"}
        self.assertEqual(load_settings("prod", env=more).gateway, "one:3")
        self.assertEqual(load_settings("staging", env=more).gateway, "s:1")
        self.assertEqual(load_settings(env=more, team="a").team, "a")
        self.assertEqual(load_settings(env={**env, "SPARK_CONNECT_ENV": "prod"}).gateway, "p:2")
        self.assertEqual(load_settings(env={**env, "JUPYTERHUB_USER": "zoe"}).user, "zoe")

    def test_a_mistake_is_named_with_what_was_meant(self):
        for text, message in (
            ("[staging]\ngatway = s:1\n", "Did you mean gateway"),
            ("[staging]\ntls = maybe\n", "true or false"),
            ("[staging]\nlogin = carrier-pigeon\n", "device"),
            ("gateway = s:1\n", "INI form"),
        ):
            env = {"SPARK_CONNECT_SETTINGS": self.path("settings.ini", text)}
            with self.assertRaisesRegex(HelperError, message):
                load_settings(env=env)
        with self.assertRaisesRegex(HelperError, "no settings file"):
            load_settings(env={"SPARK_CONNECT_SETTINGS": self.path("nothing.ini")})


if __name__ == "__main__":
    unittest.main()
