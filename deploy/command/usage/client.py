"""Asks the API of a deployment for the usage ledger.

Before: `__main__`. Plain `http.client`: the commands start fast and follow no proxy setting.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

PATH = "/api/2.0/usage"
_SECONDS = 60.0

Row = Mapping[str, Any]


class UsageError(Exception):
    """The ledger cannot be read; the text is for the one who asked."""


class UsageClient:
    """Reads the ledger of one deployment."""

    def __init__(self, url: str, token: str) -> None:
        """Read from `url`, with a bearer token.

        Raises:
            UsageError: The URL is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is no http or https URL")
        self._is_tls = parts.scheme == "https"
        self._address = parts.netloc
        self._token = token

    def text(self, query: Mapping[str, str]) -> str:
        """Return an answer as it is.

        Raises:
            UsageError: The deployment does not answer, or refuses.
        """
        connect = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = connect(self._address, timeout=_SECONDS)
        try:
            headers = {"authorization": f"Bearer {self._token}"}
            connection.request("GET", f"{PATH}?{urlencode(query)}", headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise UsageError(f"{self._address} does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise UsageError(_message(text) or f"{self._address} answers {answer.status}")
        return text

    def rows(self, query: Mapping[str, str]) -> list[Row]:
        """Return the rows of one page, or the totals.

        Raises:
            UsageError: The deployment does not answer, or refuses.
        """
        document = json.loads(self.text(query))
        found: list[Row] = document.get("usage", document.get("totals", []))
        return found

    def pages(self, query: Mapping[str, str]) -> Iterator[list[Row]]:
        """Yield the rows of one page after the other.

        Raises:
            UsageError: The deployment does not answer, or refuses.
        """
        token = ""
        while True:
            page = {"page_token": token} if token else {}
            document = json.loads(self.text({**query, **page}))
            yield document["usage"]
            token = document.get("next_page_token", "")
            if not token:
                return


def _message(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return ""
    return str(document.get("message", "")) if isinstance(document, dict) else ""
