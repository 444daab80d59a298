"""A strict S3 for tests: listing a bucket and reading an object, each signed for this service.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and `API_GetObject.html`.
"""

import time
from collections.abc import Callable
from xml.sax.saxutils import escape

from aiohttp import web

from tests.emulators.amazon_bedrock.signature import TEMPORARY_KEY, check_signature
from tests.emulators.emulator import Emulator, Json, Refusal

_PAGE = 2
_LISTED = {"list-type", "prefix", "continuation-token", "encoding-type"}


class S3Emulator(Emulator):
    """The service, for whoever has the temporary key.

    Attributes:
        objects: What there is, by bucket and key, as `BUCKET/KEY`.
        cut: Whether objects end before all of them was sent.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.objects: dict[str, bytes] = {}
        self.cut = False

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/{bucket}", self._answer)
        app.router.add_get("/{bucket}/{key:.*}", self._answer)

    def error_body(self, status: int) -> Json:
        raise NotImplementedError

    def error_event(self, body: Json) -> bytes:
        raise NotImplementedError

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        await self.record(request, bytes.decode)
        now: Callable[[], float] = time.time  # noqa: TID251 - clients sign with the real time
        keys, url = {TEMPORARY_KEY.key_id: TEMPORARY_KEY}, f"{self.origin}{request.raw_path}"
        try:
            check_signature(
                keys, "us-east-1", url, request.headers, b"", now(), service="s3", method="GET"
            )
        except Refusal as error:
            return error_answer(403, "InvalidAccessKeyId", str(error))
        bucket, key = request.match_info["bucket"], request.match_info.get("key", "")
        if not key:
            return self._list(bucket, dict(request.query))
        content = self.objects.get(f"{bucket}/{key}")
        if content is None:
            return error_answer(404, "NoSuchKey", "The specified key does not exist.")
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2] if self.cut else content)
        if self.cut and request.transport is not None:
            request.transport.close()
        return response

    def _list(self, bucket: str, query: dict[str, str]) -> web.Response:
        if query.get("list-type") != "2" or not query.keys() <= _LISTED:
            return error_answer(400, "InvalidArgument", f"{sorted(query)}")
        start = f"{bucket}/{query.get('prefix', '')}"
        found = sorted(key for key in self.objects if key.startswith(start))
        first = int(query.get("continuation-token", 0))
        page = found[first : first + _PAGE]
        items = "".join(
            f"<Contents><Key>{escape(key.removeprefix(f'{bucket}/'))}</Key>"
            f"<Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        more = first + _PAGE < len(found)
        token = f"<NextContinuationToken>{first + _PAGE}</NextContinuationToken>" if more else ""
        return xml_answer(
            200,
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>{str(more).lower()}"
            f"</IsTruncated>{token}{items}</ListBucketResult>",
        )


def error_answer(status: int, code: str, message: str) -> web.Response:
    """Return an error as the service tells it."""
    return xml_answer(
        status, f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )


def xml_answer(status: int, text: str) -> web.Response:
    """Return a document of the service."""
    declared = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
    return web.Response(text=declared, status=status, content_type="application/xml")
