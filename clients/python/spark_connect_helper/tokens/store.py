"""Where logins are kept: the system's keyring if there is one, else a file that only its owner reads."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional

SERVICE = "spark-connect-helper"
PRIVATE = 0o600


def login_folder(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_STATE_HOME") or os.path.join(
        env.get("HOME") or os.path.expanduser("~"), ".local", "state"
    )
    return Path(base) / "spark-connect"


class LoginStore:
    """Logins by key. What cannot be read is as if it were not there.

    ``where``, after the first use, says where they are, for people.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._folder = login_folder(env)
        self._file = self._folder / "logins.json"
        self.where = str(self._file)

    def get(self, key: str) -> Optional[Dict[str, Any]]:
        text = self._keyring("get_password", key)
        if isinstance(text, str):
            with contextlib.suppress(ValueError):
                value = json.loads(text)
                if isinstance(value, dict):
                    self.where = "the system's keyring"
                    return value
        found = self._read().get(key)
        return found if isinstance(found, dict) else None

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        if self._keyring("set_password", key, json.dumps(value)) is not False:
            self.where = "the system's keyring"
            self._change(key, None)
            return
        self.where = str(self._file)
        self._change(key, value)

    def remove(self, key: str) -> bool:
        """Whether there was one."""
        there = self.get(key) is not None
        self._keyring("delete_password", key)
        self._change(key, None)
        return there

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: a refresh token that is used twice ends the login at many providers."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _keyring(self, method: str, *arguments: str) -> Any:
        """False when there is no keyring: none is installed, or it has no backend (a container without D-Bus)."""
        try:
            import keyring
        except Exception:
            return False
        try:
            return getattr(keyring, method)(SERVICE, *arguments)
        except Exception:
            return False

    def _read(self) -> Dict[str, Any]:
        try:
            with open(self._file, encoding="utf-8") as stream:
                if hasattr(os, "getuid"):
                    about = os.fstat(stream.fileno())
                    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
                        return {}
                value = json.load(stream)
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _change(self, key: str, value: Optional[Mapping[str, Any]]) -> None:
        kept = self._read()
        if value is None and key not in kept:
            return
        if value is None:
            del kept[key]
        else:
            kept[key] = dict(value)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # mkstemp makes the file 0600 from the start.
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".logins-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(kept, stream)
            os.replace(temporary, self._file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
