"""A job's log as it grows: server-sent events that survive cut connections.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, List, Optional

from .errors import BatchError

if TYPE_CHECKING:
    from .batch import JobOrId, Playground

#: Answers of something in between, or of a Playground that is restarting or busy.
TRY_AGAIN = frozenset({429, 502, 503, 504})
LONGEST_PAUSE_SECONDS = 15.0
#: Events that were seen, so that none is told twice after a reconnect.
REMEMBERED_EVENTS = 10_000
MAX_LINE_BYTES = 1 << 20


@dataclass
class _Event:
    name: str = "message"
    data: List[str] = field(default_factory=list)
    id: Optional[str] = None


class LogStream:
    """The lines of a job's log, each once.

    Events: ``log``, a JSON array of lines whose id is the position of the last one; ``end``, the last one; ``state``
    and ``gap`` (lines are lost), which are passed over.
    """

    def __init__(self, playground: Playground, job: JobOrId) -> None:
        self._playground = playground
        self._job = job
        self._last_id: Optional[str] = None
        self._seen: "OrderedDict[str, None]" = OrderedDict()
        self._pause = 1.0
        self._broken = False

    def __iter__(self) -> Iterator[str]:
        playground = self._playground
        failing_since: Optional[float] = None
        renewed = False
        job_ended = False
        while True:
            told = False
            failure: Optional[BatchError] = None
            try:
                response = playground.open_logs(self._job, self._last_id)
                if response is None:
                    return
                renewed = False
                with response:
                    for event in self._events(response):
                        if event.name == "end":
                            return
                        if event.name == "log":
                            told = True
                            yield from _lines(event)
                if self._broken:
                    failure = BatchError("The Playground's log stream breaks again and again.")
            except BatchError as error:
                if error.status == 401 and not renewed:
                    renewed = True
                    if playground.tokens.expired(playground.tokens.get()):
                        continue
                if error.status != 0 and error.status not in TRY_AGAIN:
                    raise
                failure = error
            if told:
                failing_since = None
            elif failure is not None:
                now = playground.now()
                failing_since = now if failing_since is None else failing_since
                if now - failing_since > playground.patience:
                    raise failure
            elif job_ended:
                return
            if failure is None:
                # It was closed in peace. What came before the job's end may still be on its way: once more.
                job_ended = playground.get(self._job).ended
            playground.sleep(self._pause)

    def _events(self, response: Any) -> Iterator[_Event]:
        """Whole events until the stream ends or breaks; one that is cut off comes again later."""
        event = _Event()
        self._broken = True
        while True:
            try:
                raw = response.readline(MAX_LINE_BYTES)
            except (OSError, http.client.HTTPException, ValueError):
                return
            if raw == b"":
                self._broken = event != _Event()
                return
            if not raw.endswith((b"\n", b"\r")) and len(raw) < MAX_LINE_BYTES:
                return
            line = raw.decode("utf-8", errors="replace").rstrip("\r\n")
            if line == "":
                if event.id is not None:
                    if self._is_known(event.id):
                        event = _Event()
                        continue
                    self._last_id = event.id
                whole, event = event, _Event()
                yield whole
                continue
            name, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if name == "data":
                event.data.append(value)
            elif name == "event":
                event.name = value
            elif name == "id" and "\0" not in value:
                event.id = value
            elif name == "retry" and value.isdigit():
                self._pause = min(int(value) / 1000, LONGEST_PAUSE_SECONDS)

    def _is_known(self, event_id: str) -> bool:
        if event_id in self._seen:
            return True
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        return False


def _lines(event: _Event) -> List[str]:
    """A JSON array of lines. What is none is a Playground of another release: its text is better than nothing."""
    text = "\n".join(event.data)
    with contextlib.suppress(ValueError):
        lines = json.loads(text)
        if isinstance(lines, list):
            return [str(line) for line in lines]
    return text.split("\n")
