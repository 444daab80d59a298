"""Calls the public REST API of a deployment.

Before: `session`. Errors of the API and of the network become `CommandFailed`.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.tls import client_context
from modelplane.deploy.command.api.failures import CommandFailed, Refused, Status
from modelplane.deploy.command.api.places import Place

Json = dict[str, Any]

_CONNECT_SECONDS = 10.0
_SECONDS = 120.0
# A model may think for long before its first word.
_QUERY_SECONDS = 600.0
_UNAUTHENTICATED = 401


def path_of(*parts: str) -> str:
    """Return a path below the API's root, each part escaped."""
    return "/".join(("", *(quote(part, safe="") for part in parts)))


class ApiClient:
    """Calls one deployment."""

    def __init__(self, place: Place, seconds: float = _SECONDS) -> None:
        """Call the deployment at `place`, whose answers may take so long; nothing is sent yet."""
        self.place = place
        self._seconds = seconds
        self._session = requests.Session()
        # No proxy of the environment is asked for what is on this machine.
        self._session.trust_env = not place.is_local
        self._session.headers["User-Agent"] = f"modelplane-cli/{VERSION}"
        if place.url.startswith("https:"):
            self._session.mount("https://", _TrustingAdapter(place.certificate))
        self._token = place.token

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Json:
        """Return the JSON object that a call is answered with.

        Args:
            method: HTTP method.
            path: Path, from the first slash on.
            body: JSON body; None: no body.
            query: Parameters of the query string.
            seconds: How long the answer may take; None: as long as all others.

        Raises:
            CommandFailed: The deployment does not answer, or refuses.
        """
        with self._sent(method, path, body, query, seconds or self._seconds) as answer:
            return _object(answer)

    def text(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Return the text that a GET is answered with.

        Raises:
            CommandFailed: The deployment does not answer, or refuses.
        """
        with self._sent("GET", path, None, query, self._seconds) as answer:
            answer.encoding = "utf-8"
            return answer.text

    def query(self, path: str, body: Json) -> Json:
        """Return what a model answers.

        Raises:
            CommandFailed: It does not answer, or refuses.
        """
        return self.call("POST", path, body, seconds=_QUERY_SECONDS)

    def stream(self, path: str, body: Json) -> Iterator[str]:
        """Yield the data of the events that a model answers with.

        Raises:
            CommandFailed: It does not answer, or refuses.
        """
        with self._sent("POST", path, body, None, _QUERY_SECONDS, stream=True) as answer:
            for line in answer.iter_lines(chunk_size=None):
                if line.startswith(b"data:"):
                    yield line[len(b"data:") :].strip().decode(errors="replace")

    def pages(self, path: str, member: str, query: Mapping[str, str]) -> Iterator[Json]:
        """Yield the objects of a list, page after page.

        Raises:
            CommandFailed: The deployment does not answer, or refuses.
        """
        token = ""
        while True:
            page = {"page_token": token} if token else {}
            document = self.call("GET", path, query={**query, **page})
            yield from document.get(member, [])
            token = document.get("next_page_token", "")
            if not token:
                return

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        body: object,
        query: Mapping[str, str] | None,
        seconds: float,
        *,
        stream: bool = False,
    ) -> Iterator[requests.Response]:
        try:
            with self._session.request(
                method,
                self.place.url + path,
                params=query,
                json=body,
                auth=_Bearer(self._signed_in()),
                timeout=(min(_CONNECT_SECONDS, self._seconds), seconds),
                verify=self.place.certificate or True,
                allow_redirects=False,
                stream=stream,
            ) as answer:
                if not answer.ok:
                    raise _refusal(answer, self.place)
                yield answer
        except requests.RequestException as error:
            raise _no_answer(self.place, error) from None

    def _signed_in(self) -> str:
        """Return the token; a service principal logs in for one the first time."""
        if not self._token:
            answer = self._session.post(
                f"{self.place.url}/oidc/v1/token",
                data={"grant_type": "client_credentials", "scope": "all-apis"},
                auth=self.place.client,
                timeout=(min(_CONNECT_SECONDS, self._seconds), self._seconds),
                verify=self.place.certificate or True,
                allow_redirects=False,
            )
            if not answer.ok:
                raise _refusal(answer, self.place)
            self._token = str(_object(answer).get("access_token", ""))
        return self._token


class _Bearer(AuthBase):
    """Sends the token, whatever a `.netrc` says."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _TrustingAdapter(HTTPAdapter):
    """Trusts what the gateway itself trusts, or one certificate alone, under whatever name."""

    def __init__(self, certificate: str) -> None:
        self._certificate = certificate
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as its parent
        if self._certificate:
            context = client_context(self._certificate)
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            kwargs["assert_hostname"] = False
        else:
            context = client_context()
        super().init_poolmanager(*args, ssl_context=context, **kwargs)


def _object(answer: requests.Response) -> Json:
    try:
        document = answer.json()
    except requests.RequestException:
        document = None
    if not isinstance(document, dict):
        raise CommandFailed(
            f"{answer.url} answers something else than JSON: is it a modelplane deployment?",
            Status.NO_ANSWER,
        )
    return document


def _refusal(answer: requests.Response, place: Place) -> Refused:
    try:
        document = answer.json()
    except requests.RequestException:
        document = {}
    if not isinstance(document, dict):
        document = {}
    code = str(document.get("error_code", document.get("error", "")))
    told = document.get("message") or document.get("error_description")
    message = _of_provider(str(told or f"{place.url} answers {answer.status_code}"))
    if answer.status_code == _UNAUTHENTICATED:
        message += f" The credential came with {place.source}."
    if after := answer.headers.get("Retry-After"):
        message += f" Try again in {after} s."
    return Refused(message, answer.status_code, code)


def _of_provider(message: str) -> str:
    """Return what a provider said, in words where it is its JSON."""
    try:
        document = json.loads(message)
        provider, error = document["external_model_provider"], document["external_model_error"]
    except (ValueError, TypeError, KeyError):
        return message
    inner = error.get("error", error) if isinstance(error, dict) else error
    said = inner.get("message", inner) if isinstance(inner, dict) else inner
    return f"{provider} says: {said if isinstance(said, str) else json.dumps(said)}"


def _no_answer(place: Place, error: requests.RequestException) -> CommandFailed:
    reason = _reason(error)
    advice = "is it running? `modelplane doctor` looks for the cause" if place.is_local else ""
    advice = advice or "is that its address, and is it running?"
    return CommandFailed(
        f"{place.url} ({place.source}) does not answer: {reason}; {advice}", Status.NO_ANSWER
    )


def _reason(error: requests.RequestException) -> str:
    """Return the innermost cause: libraries wrap it several times."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(text).rstrip(".")
