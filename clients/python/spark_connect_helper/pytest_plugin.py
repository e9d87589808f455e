"""pytest plugin: the fixture ``spark``, a session through the gateway that is always given back.

Settings are those of ``get_spark`` (``SPARK_CONNECT_GATEWAY``, ``SPARK_CONNECT_TEAM``, ``SPARK_CONNECT_ENV``,
``SPARK_CONNECT_USER``), and the options below. Each process of pytest-xdist has sessions of its own. What a
worker that was killed held is given back by the process that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OPTIONS = {
    "spark_gateway": ("gateway", "host:port of the gateway; or SPARK_CONNECT_GATEWAY"),
    "spark_team": ("team", "whose drivers; or SPARK_CONNECT_TEAM"),
    "spark_environment": ("environment", "dev, staging, …; or SPARK_CONNECT_ENV"),
}
_SCOPES = ("function", "class", "module", "package", "session")
_FOLDER = "spark_connect_folder"
_RUN = "spark_connect_run"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("spark-connect", "Spark through the gateway")
    for name, (_, text) in _OPTIONS.items():
        group.addoption(f"--{name.replace('_', '-')}", dest=name, default=None, help=text)
        parser.addini(name, text, default=None)
    text = f"how long the fixture spark lives: {', '.join(_SCOPES)} (default: session)"
    group.addoption("--spark-scope", dest="spark_scope", choices=_SCOPES, default=None, help=text)
    parser.addini("spark_scope", text, default="session")
    text = "prefix of the schema that each session gets and that is dropped after it; empty: none"
    group.addoption("--spark-schema-prefix", dest="spark_schema_prefix", default=None, help=text)
    parser.addini("spark_schema_prefix", text, default="test")


def _option(config: pytest.Config, name: str) -> Optional[str]:
    value = config.getoption(name, default=None)
    if value is None:
        value = config.getini(name)
    return str(value) if value is not None and value != "" else None


def pytest_configure(config: pytest.Config) -> None:
    worker_input = getattr(config, "workerinput", None)
    config.pluginmanager.register(_Sessions(config, worker_input), "spark-connect-sessions")
    if config.pluginmanager.hasplugin("dsession") or config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Workers(config), "spark-connect-workers")


def _scope(fixture_name: str, config: pytest.Config) -> Any:
    scope = _option(config, "spark_scope") or "session"
    if scope not in _SCOPES:
        raise pytest.UsageError(f"spark_scope is {scope!r}; it may be {', '.join(_SCOPES)}.")
    return scope


@pytest.fixture(scope=_scope)
def spark(spark_connect: "SparkSession") -> "SparkSession":
    """``spark_connect`` by its short name; a project that has a ``spark`` of its own overrides it."""
    return spark_connect


@pytest.fixture(scope=_scope)
def spark_connect(pytestconfig: pytest.Config) -> "Iterator[SparkSession]":
    """A Spark session through the gateway; its current schema is its own, empty and dropped at the end."""
    sessions = pytestconfig.pluginmanager.get_plugin("spark-connect-sessions")
    assert isinstance(sessions, _Sessions)
    session = sessions.open()
    try:
        yield session
    finally:
        sessions.close(session)


@pytest.fixture(scope=_scope)
def spark_schema(spark_connect: "SparkSession", pytestconfig: pytest.Config) -> str:
    """The name of the schema of this session."""
    sessions = pytestconfig.pluginmanager.get_plugin("spark-connect-sessions")
    assert isinstance(sessions, _Sessions)
    schema = sessions.schema_of(spark_connect)
    if schema is None:
        raise pytest.UsageError("There is no schema: spark_schema_prefix is empty.")
    return schema


class _Sessions:
    """The sessions of this process, written down beside it for whoever cleans up after it."""

    def __init__(self, config: pytest.Config, worker_input: Optional[Dict[str, Any]]) -> None:
        self._config = config
        told = worker_input or {}
        self._worker = str(told.get("workerid", "main"))
        self._run = str(told.get(_RUN) or uuid.uuid4().hex[:8])
        folder = told.get(_FOLDER)
        self._notes = Path(folder) / f"{self._worker}.json" if folder else None
        self._open: List[_Held] = []
        self._count = 0

    def open(self) -> Any:
        from .session import get_spark

        session = get_spark(**_arguments(self._config), app_name="pytest", new=True, quiet=True)
        held = _Held(session)
        self._open.append(held)
        self._note()
        prefix = _option(self._config, "spark_schema_prefix")
        if prefix is not None:
            self._count += 1
            held.schema = f"{prefix}_{self._run}_{self._worker}_{self._count}"
            # Noted before it is made: nobody else would know its name.
            self._note()
            session.sql(f"CREATE SCHEMA {_quoted(held.schema)}").collect()
            session.sql(f"USE {_quoted(held.schema)}").collect()
        return session

    def close(self, session: Any) -> None:
        for held in [one for one in self._open if one.session is session]:
            self._open.remove(held)
            try:
                if held.schema is not None and not session.client.is_closed:
                    with contextlib.suppress(Exception):
                        session.sql(
                            f"DROP SCHEMA IF EXISTS {_quoted(held.schema)} CASCADE"
                        ).collect()
            finally:
                session.stop()
                self._note()

    def schema_of(self, session: Any) -> Optional[str]:
        return next((held.schema for held in self._open if held.session is session), None)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """After -x and Ctrl-C a fixture's own end may have been left out."""
        for held in list(self._open):
            self.close(held.session)

    def pytest_unconfigure(self) -> None:
        self.pytest_sessionfinish()

    def _note(self) -> None:
        if self._notes is None:
            return
        entries = [
            {"session_id": held.session.client._session_id, "schema": held.schema}
            for held in self._open
        ]
        temporary = self._notes.with_suffix(".new")
        temporary.write_text(json.dumps(entries))
        os.replace(temporary, self._notes)


class _Held:
    def __init__(self, session: Any) -> None:
        self.session = session
        self.schema: Optional[str] = None


class _Workers:
    """In the process that starts the workers: gives back what a dead one held."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = uuid.uuid4().hex[:8]
        self._folder: Optional[str] = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="spark-connect-")
        node.workerinput[_FOLDER] = self._folder
        node.workerinput[_RUN] = self._run

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        self._give_back(f"{node.gateway.id}.json")

    def pytest_unconfigure(self) -> None:
        """Workers have ended by now, also those that were ended in haste."""
        if self._folder is None:
            return
        for name in os.listdir(self._folder):
            self._give_back(name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _give_back(self, name: str) -> None:
        if self._folder is None or not name.endswith(".json"):
            return
        path = Path(self._folder) / name
        try:
            entries = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        path.unlink(missing_ok=True)
        for entry in entries:
            with contextlib.suppress(Exception):
                _end_session(self._config, entry["session_id"], entry.get("schema"))


def _end_session(config: pytest.Config, session_id: str, schema: Optional[str]) -> None:
    """In the dead worker's own session: another might wait for a driver."""
    from .session import get_spark

    session: Any = get_spark(
        **_arguments(config), new=True, quiet=True, timeout=30, session_id=session_id
    )
    try:
        if schema is not None:
            session.sql(f"DROP SCHEMA IF EXISTS {_quoted(schema)} CASCADE").collect()
    finally:
        session.stop()


def _arguments(config: pytest.Config) -> Dict[str, Any]:
    return {argument: _option(config, name) for name, (argument, _) in _OPTIONS.items()}


def _quoted(schema: str) -> str:
    return "`" + schema.replace("`", "``") + "`"
