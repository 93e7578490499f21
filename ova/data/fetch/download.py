"""Download one file after another from one host, politely: a pause between requests, and no for an answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.robotparser import RobotFileParser

from ova import __version__
from ova.errors import DataError, EnvironmentFault

if TYPE_CHECKING:
    import httpx


AGENT = "ova"
TRIES = 4
LONGEST_WAIT = 120.0
LONGEST_DOWNLOAD = 600.0
MAX_REDIRECTS = 5
MAX_ROBOTS_BYTES = 512 * 1024
_BUSY = (429, 500, 502, 503, 504)


def open_client(timeout: float = 30.0) -> httpx.Client:
    """Open a client that says who it is and follows few redirects; proxies are those of the environment.

    Raises:
        EnvironmentFault: httpx is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise EnvironmentFault(
            'downloading needs httpx; install it with: pip install "ova[fetch]"'
        ) from error
    return httpx.Client(
        headers={"User-Agent": f"{AGENT}/{__version__}", "Accept": "image/png, image/jpeg;q=0.9"},
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=timeout,
    )


class _Busy(Exception):
    """The host asks to come back later, or did not answer."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Host:
    """One host, asked one thing at a time.

    Attributes:
        client: Shared by all hosts.
        pause: Seconds between two requests; the host's own robots.txt may ask for more.
        sleep: Waits for so many seconds.
    """

    client: httpx.Client
    pause: float
    sleep: Callable[[float], None] = time.sleep
    _robots: RobotFileParser | None = field(default=None, init=False)
    _next: float = field(default=0.0, init=False)

    def download(self, url: str, cap: int) -> bytes:
        """Return the content of a URL.

        Args:
            url: http or https.
            cap: Most bytes that are read, whatever the host says of the length.

        Raises:
            DataError: Refused by robots.txt or the host, too large, or unreachable after `TRIES` attempts.
        """
        robots = self._rules(url)
        if not robots.can_fetch(AGENT, url):
            raise DataError("robots.txt of the host forbids it; ask its owner")
        for attempt in range(TRIES - 1):
            try:
                return self._attempt(url, cap)
            except _Busy as busy:
                backoff = 2**attempt * (0.5 + random.random())  # noqa: S311 (spreads clients, guards nothing)
                self.sleep(min(LONGEST_WAIT, backoff if busy.wait is None else busy.wait))
        try:
            return self._attempt(url, cap)
        except _Busy as busy:
            raise DataError(f"{busy}, {TRIES} times; run the same command again later") from busy

    def _attempt(self, url: str, cap: int) -> bytes:
        import httpx

        self._wait_for_turn()
        try:
            with self.client.stream("GET", url) as response:
                if response.status_code in _BUSY:
                    raise _Busy(_answer(response), _asked_wait(response.headers.get("Retry-After")))
                if not response.is_success:
                    raise DataError(f"{_answer(response)}; correct the URL")
                return _read(response, cap)
        except httpx.TooManyRedirects as error:
            raise DataError(f"more than {MAX_REDIRECTS} redirects; correct the URL") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise DataError(f"is no http or https URL ({error}); correct it") from error
        except httpx.HTTPError as error:
            raise _Busy(f"no answer ({type(error).__name__})") from error

    def _wait_for_turn(self) -> None:
        wait = self._next - time.monotonic()
        if wait > 0:
            self.sleep(wait)
        self._next = time.monotonic() + self.pause

    def _rules(self, url: str) -> RobotFileParser:
        """Read robots.txt once; a host without a readable one forbids nothing (RFC 9309, 2.3.1.3)."""
        if self._robots is None:
            import httpx

            self._robots = RobotFileParser()
            try:
                content = self._attempt(str(httpx.URL(url).join("/robots.txt")), MAX_ROBOTS_BYTES)
            except (DataError, _Busy):
                content = b""
            self._robots.parse(content.decode("utf-8", errors="replace").splitlines())
            delay = self._robots.crawl_delay(AGENT)
            self.pause = max(self.pause, min(LONGEST_WAIT, float(delay or 0)))
        return self._robots


def _read(response: httpx.Response, cap: int) -> bytes:
    """Read a body, counted as it comes: its declared length may be missing or a lie."""
    parts: list[bytes] = []
    size, deadline = 0, time.monotonic() + LONGEST_DOWNLOAD
    for part in response.iter_bytes():
        size += len(part)
        if size > cap:
            raise DataError(f"has more than {cap:,} bytes; make it smaller, or leave it out")
        if time.monotonic() > deadline:
            raise _Busy(f"not finished after {LONGEST_DOWNLOAD:.0f} s")
        parts.append(part)
    return b"".join(parts)


def _answer(response: httpx.Response) -> str:
    return f"the host answers {response.status_code} {response.reason_phrase}".rstrip()


def _asked_wait(header: str | None) -> float | None:
    """Read Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
