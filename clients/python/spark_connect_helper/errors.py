"""What this package raises. Every message says what is wrong and what to do; none holds a secret."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional


class HelperError(Exception):
    """Base of all errors of this package. A notebook shows one line of it, without a traceback."""

    def _render_traceback_(self) -> List[str]:
        """IPython shows what this returns in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class SettingsError(HelperError):
    """Something that the user set, or should have set, is not usable."""


class MissingPackage(HelperError):
    """A package that PySpark's Spark Connect client needs is not installed."""


class TokenUnavailable(HelperError):
    """No token can be had now. The message says what was tried."""


class GatewayRefused(HelperError):
    """The gateway refused to open a session.

    reason: the gateway's stable code, such as ``NAMESPACE_REFUSED``; None when something in between refused.
    status: name of the gRPC status, such as ``PERMISSION_DENIED``.
    """

    def __init__(self, message: str, *, reason: Optional[str] = None, status: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class NotConnected(HelperError):
    """The gateway could not be reached, or no driver came up, in the time that there was."""


class BatchError(HelperError):
    """The Playground refused a request, or cannot be reached.

    status: HTTP status, 0 without an answer. code: the stable code of the problem. errors: each mistake
    of a manifest, as the Playground names it (with its place).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: Optional[str] = None,
        errors: Optional[List[object]] = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.errors = errors or []


class JobFailed(BatchError):
    """A job has ended, and not well.

    state: FAILED or CANCELLED. reason: as in ``Job.reason``.
    """

    def __init__(
        self,
        message: str,
        *,
        job_id: str,
        state: str,
        reason: Optional[Mapping[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.state = state
        self.reason = reason
