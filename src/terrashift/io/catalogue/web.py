"""Ask a server politely: wait and try again where that may help, sign and identify where asked, and tell no secrets."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import BaseModel, Field

from ...errors import CatalogueError, OptionError
from .area import INSTALL

if TYPE_CHECKING:
    import requests

TOKEN = "TERRASHIFT_TOKEN"
"""Environment variable of a bearer token; it is sent to the endpoint's own hosts only."""
SUBSCRIPTION = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable of Planetary Computer's own client; signing works without it, at a lower rate."""
LONGEST_WAIT_S = 60.0
LONGEST_ASKED_WAIT_S = 600.0
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same question may be answered."""
_SIGNED = ("sig", "x-amz-signature", "x-amz-credential", "x-amz-security-token", "signature", "token", "access_token")
_SIGNED += ("key-pair-id", "policy", "awsaccesskeyid", "googleaccessid", "x-goog-signature", "x-goog-credential")
_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")
_USER = re.compile(r"(https?://)[^\s/@'\"]+@")

Result = TypeVar("Result")


class WebOptions(BaseModel, frozen=True, extra="forbid"):
    """How patient to be with servers."""

    tries: int = Field(default=6, ge=1, le=50, description="How often a request is tried before giving up.")
    wait_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="Seconds before the second try; doubled for each further one. A server's Retry-After overrules it.",
    )
    timeout_s: float = Field(default=60.0, gt=0, description="Seconds without any answer after which a try has failed.")


class PassingError(Exception):
    """A failure after which the same may succeed; `after_s` is how long the server asks to wait."""

    def __init__(self, said: str, after_s: float | None = None) -> None:
        super().__init__(said)
        self.after_s = after_s


class Answer(NamedTuple):
    """What a server says of a file before it is read."""

    size: int | None
    """Bytes; None where it does not say."""
    etag: str
    """Changes whenever the file does; empty where the server has none."""
    ranges: bool
    """True where parts of the file can be asked for."""


@dataclass(frozen=True)
class Web:
    """A way to servers, with the user's patience and secrets; the secrets stay in memory."""

    options: WebOptions = field(default_factory=WebOptions)
    token_hosts: tuple[str, ...] = ()
    signer: str = ""
    """Address of the service that signs addresses; empty for none."""
    say: Callable[[str], None] = lambda text: None

    def keep_trying(self, what: str, action: Callable[[], Result]) -> Result:
        """Do something until it no longer raises `PassingError`, with growing pauses.

        Raises:
            CatalogueError: it failed `tries` times, or the server asks for too long a wait.
        """
        for attempt in range(1, self.options.tries + 1):
            try:
                return action()
            except PassingError as error:
                said = redact(str(error))
                if attempt == self.options.tries:
                    raise CatalogueError(
                        f"{what}: failed {attempt} times, last with: {said}. What is finished is kept: try the same "
                        "command later, or with more --tries"
                    ) from None
                self._pause(what, said, attempt, error.after_s)
        raise AssertionError("unreachable: tries is at least 1")

    def _pause(self, what: str, said: str, attempt: int, asked_s: float | None) -> None:
        if asked_s is not None and asked_s > LONGEST_ASKED_WAIT_S:
            raise CatalogueError(
                f"{what}: the server asks to wait {asked_s:.0f} s ({said}). What is finished is kept: try the same "
                "command then"
            )
        grown = min(self.options.wait_s * 2 ** (attempt - 1), LONGEST_WAIT_S)
        wait_s = asked_s if asked_s is not None else grown * random.uniform(0.75, 1.25)
        self.say(f"{what}: {said}; try {attempt + 1} of {self.options.tries} in {wait_s:.1f} s")
        time.sleep(wait_s)

    def token_for(self, address: str) -> str:
        """The user's token, where the address is one of the endpoint's own; else nothing."""
        host = urlsplit(address).hostname or ""
        own = any(host == one or (one.startswith(".") and host.endswith(one)) for one in self.token_hosts)
        return os.environ.get(TOKEN, "") if own else ""

    def headers_for(self, address: str) -> dict[str, str]:
        """What to send along."""
        token = self.token_for(address)
        return {"Authorization": f"Bearer {token}"} if token else {}

    def reach(self, address: str) -> str:
        """The address to read from: signed where a service was asked for, and only for this moment.

        Raises:
            CatalogueError: the service does not sign.
        """
        if not self.signer or not address.startswith("http"):
            return address
        return self.keep_trying("signing", lambda: self._sign(address))

    def _sign(self, address: str) -> str:
        key = os.environ.get(SUBSCRIPTION, "")
        headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
        with self.request(self.signer, headers=headers, params={"href": address}) as response:
            _refuse(response, self.signer)
            try:
                return str(response.json()["href"])
            except (ValueError, KeyError, TypeError):
                raise CatalogueError(
                    f"{redact(self.signer)} gave no signed address: it is no service that signs. See --sign"
                ) from None

    def probe(self, address: str) -> Answer:
        """Ask for a file's first byte: does it exist, may it be read, in parts?

        Raises:
            PassingError: try again.
            CatalogueError: it is not there or may not be read.
        """
        headers = {**self.headers_for(address), "Range": "bytes=0-0", "Accept-Encoding": "identity"}
        with self.request(address, headers=headers) as response:
            _refuse(response, address)
            total = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
            whole = response.headers.get("Content-Length")
            ranges = response.status_code == 206
            size = int(total[1]) if total and ranges else int(whole) if whole and not ranges else None
            etag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
            return Answer(size, etag, ranges)

    def start_of(self, address: str, count: int) -> bytes:
        """The first bytes of a file.

        Raises:
            PassingError: try again.
            CatalogueError: it is not there or may not be read.
        """
        headers = {**self.headers_for(address), "Range": f"bytes=0-{count - 1}", "Accept-Encoding": "identity"}
        with self.request(address, headers=headers) as response:
            _refuse(response, address)
            return next(response.iter_content(count), b"")

    @contextmanager
    def request(self, address: str, **more: Any) -> Iterator[requests.Response]:
        """GET an address without reading its body yet.

        Raises:
            PassingError: no answer.
        """
        requests = _requests()
        try:
            with requests.get(address, stream=True, timeout=self.options.timeout_s, **more) as response:
                yield response
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise CatalogueError(f"{redact(address)} is no address that can be read: {redact(str(error))}") from None
        except requests.RequestException as error:  # the disk's own errors pass through
            raise PassingError(f"{redact(address)}: {reason(error)}") from None


def _refuse(response: requests.Response, address: str) -> None:
    """Raise what an answer means, unless it is the file."""
    code, place = response.status_code, redact(address)
    if code in (200, 206):
        return
    if code in PASSING:
        raise PassingError(f"{place} answers {code} {response.reason}", _asked_wait(response))
    if code in (401, 403, 409):
        raise CatalogueError(
            f"{place} may not be read ({code} {response.reason}). {_credentials(address)} See docs/fetch.md, Accounts"
        )
    if code in (404, 410):
        raise CatalogueError(
            f"{place} is not there ({code} {response.reason}): the catalogue may be out of date. Search again, or try "
            "another endpoint"
        )
    raise CatalogueError(f"{place} answers {code} {response.reason}. Open it in a browser to see why")


def _credentials(address: str) -> str:
    if (urlsplit(address).hostname or "").endswith(".blob.core.windows.net"):
        return "Its addresses need a signature: pass --sign planetary-computer."
    return f"It needs an account: set {TOKEN} to its token, or the AWS_ variables for s3 addresses."


def _asked_wait(response: requests.Response) -> float | None:
    """Seconds of a Retry-After, which is a number or a date."""
    text = response.headers.get("Retry-After", "")
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def reason(error: BaseException) -> str:
    """The last words of a chain of errors, where the cause stands."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    if isinstance(inner, BaseException):
        return reason(inner)
    text = str(error)
    return redact(text.rsplit(">: ", 1)[-1].rsplit("object at 0x", 1)[-1].strip())


def unsigned(address: str) -> str:
    """An address without user, password and signature; other queries stay.

    >>> unsigned("https://a.blob.net/x.tif?st=2026&sig=abc")
    'https://a.blob.net/x.tif'
    >>> unsigned("https://h/x?collection=s2")
    'https://h/x?collection=s2'
    """
    parts = urlsplit(address)
    if "@" in parts.netloc:
        parts = parts._replace(netloc=parts.netloc.rsplit("@", 1)[1])
    if any(name.lower() in _SIGNED for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        parts = parts._replace(query="")
    return urlunsplit(parts)


def file_name(address: str) -> str:
    """The last part of an address.

    >>> file_name("https://h/a/b.tif?sig=abc")
    'b.tif'
    """
    return PurePosixPath(urlsplit(address).path).name or "the file"


def redact(text: str) -> str:
    """A message without the queries of addresses, users and the token, any of which may open a door."""
    text = _USER.sub(r"\1", _QUERY.sub(r"\1?...", text))
    for name in (TOKEN, SUBSCRIPTION):
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text


def _requests() -> Any:
    try:
        import requests
    except ImportError as error:
        raise OptionError(f"reading from servers needs requests: {INSTALL}") from error
    return requests
