"""A strict S3 that is written, too: conditional writes, uploads in parts, deletion of many.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html (`If-None-Match`),
`API_CreateMultipartUpload.html`, `API_DeleteObjects.html`, `API_ListObjectsV2.html`.
"""

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from aiohttp import web

from tests.emulators.amazon_bedrock.signature import TEMPORARY_KEY, check_signature
from tests.emulators.amazon_s3 import S3Emulator, error_answer, xml_answer
from tests.emulators.emulator import Refusal

_PAGE = 3
_QUERIES = {
    "list-type",
    "prefix",
    "continuation-token",
    "encoding-type",
    "delimiter",
    "start-after",
    "max-keys",
}
_WRITTEN = datetime(2026, 11, 29, tzinfo=UTC)


class S3Store(S3Emulator):
    """The service, for whoever has the temporary key.

    Attributes:
        conflicts: Number of conditional writes that came too late.
        is_away: Whether every request fails, as while the service is down.
        awaits_rival: Whether the next conditional write waits for another one of the same name.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.conflicts = 0
        self.is_away = False
        self.awaits_rival = False
        self._waiting: dict[str, asyncio.Event] = {}
        self._parts: dict[str, dict[int, bytes]] = {}

    def add_routes(self, app: web.Application) -> None:
        for path in ("/{bucket}", "/{bucket}/{key:.*}"):
            app.router.add_route("*", path, self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.is_away:
            return error_answer(503, "SlowDown", "Please reduce your request rate.")
        now: Callable[[], float] = time.time  # noqa: TID251 - clients sign with the real time
        keys, url = {TEMPORARY_KEY.key_id: TEMPORARY_KEY}, f"{self.origin}{request.raw_path}"
        try:
            check_signature(
                keys, "us-east-1", url, request.headers, body, now(), "s3", method=request.method
            )
        except Refusal as error:
            return error_answer(403, "SignatureDoesNotMatch", str(error))
        told = request.headers.get("x-amz-content-sha256", "")
        if told not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
            return error_answer(400, "XAmzContentSHA256Mismatch", "The hash is another one.")
        bucket, key = request.match_info["bucket"], request.match_info.get("key", "")
        if self.awaits_rival and "if-none-match" in request.headers:
            await self._meet_rival(key)
        answer = self._bucket if not key else self._object
        return answer(request, f"{bucket}/{key}", body)

    async def _meet_rival(self, key: str) -> None:
        first = self._waiting.pop(key, None)
        if first is None:
            self._waiting[key] = first = asyncio.Event()
            await first.wait()
        else:
            self.awaits_rival = False
            first.set()

    def _bucket(self, request: web.Request, name: str, body: bytes) -> web.Response:
        if request.method == "GET":
            return self._list_all(name, dict(request.query))
        if request.method == "POST" and "delete" in request.query:
            return self._delete_many(request, name, body)
        return error_answer(405, "MethodNotAllowed", request.method)

    def _object(self, request: web.Request, name: str, body: bytes) -> web.Response:
        if "uploads" in request.query or "uploadId" in request.query:
            return self._upload(request, name, body)
        if request.method == "PUT":
            return self._put(request, name, body)
        if request.method == "DELETE":
            self.objects.pop(name, None)
            return web.Response(status=204)
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, "MethodNotAllowed", request.method)
        content = self.objects.get(name)
        if content is None:
            return error_answer(404, "NoSuchKey", "The specified key does not exist.")
        return _part(request, content)

    def _put(self, request: web.Request, name: str, body: bytes) -> web.Response:
        """Write an object; where the request says so, only where there is none."""
        condition = request.headers.get("if-none-match")
        if condition not in (None, "*") or "if-match" in request.headers:
            return error_answer(501, "NotImplemented", "A header implies what is not implemented.")
        if condition == "*" and name in self.objects:
            self.conflicts += 1
            return error_answer(412, "PreconditionFailed", "At least one did not hold.")
        self.objects[name] = body
        return web.Response(headers={"ETag": _etag(body)})

    def _upload(self, request: web.Request, name: str, body: bytes) -> web.Response:
        if request.method == "POST" and "uploads" in request.query:
            self._parts[name] = {}
            return xml_answer(
                200,
                "<InitiateMultipartUploadResult>"
                f"<UploadId>{escape(name)}</UploadId></InitiateMultipartUploadResult>",
            )
        parts = self._parts.get(request.query["uploadId"])
        if parts is None:
            return error_answer(404, "NoSuchUpload", "The specified upload does not exist.")
        if request.method == "PUT":
            parts[int(request.query["partNumber"])] = body
            return web.Response(headers={"ETag": _etag(body)})
        del self._parts[name]
        if request.method == "DELETE":
            return web.Response(status=204)
        self.objects[name] = b"".join(parts[number] for number in sorted(parts))
        etag = escape(_etag(self.objects[name]))
        return xml_answer(
            200,
            f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>",
        )

    def _delete_many(self, request: web.Request, bucket: str, body: bytes) -> web.Response:
        checksums = {
            "content-md5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
            "x-amz-checksum-sha256": b64encode(hashlib.sha256(body).digest()).decode(),
        }
        if not any(request.headers.get(name) == value for name, value in checksums.items()):
            return error_answer(400, "InvalidRequest", "Missing required header: Content-MD5.")
        keys = [one.text or "" for one in ET.fromstring(body).iter() if _is_key(one.tag)]
        for key in keys:
            self.objects.pop(f"{bucket}{key}", None)
        gone = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return xml_answer(200, f"<DeleteResult>{gone}</DeleteResult>")

    def _list_all(self, bucket: str, query: dict[str, str]) -> web.Response:
        if query.get("list-type") != "2" or not query.keys() <= _QUERIES:
            return error_answer(400, "InvalidArgument", f"{sorted(query)}")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found: dict[str, str] = {}
        for name in sorted(self.objects):
            key = name.removeprefix(bucket)
            if key == name or not key.startswith(prefix):
                continue
            rest = key.removeprefix(prefix)
            cut = rest.find(delimiter) if delimiter else -1
            shown = key if cut < 0 else prefix + rest[: cut + len(delimiter)]
            if shown > after:
                found[shown] = _listed(shown, self.objects[name]) if cut < 0 else _common(shown)
        page = list(found)[:_PAGE]
        more = len(found) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return xml_answer(
            200,
            f"<ListBucketResult><Name>{bucket.rstrip('/')}</Name><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"{''.join(found[key] for key in page)}</ListBucketResult>",
        )


def _listed(key: str, content: bytes) -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_WRITTEN.isoformat()}</LastModified>"
        f"<ETag>{escape(_etag(content))}</ETag><Size>{len(content)}</Size></Contents>"
    )


def _common(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{escape(prefix)}</Prefix></CommonPrefixes>"


def _is_key(tag: str) -> bool:
    return tag.rpartition("}")[2] == "Key"


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _part(request: web.Request, content: bytes) -> web.Response:
    """Return an object, or the range of it that is asked for."""
    headers = {"ETag": _etag(content), "Last-Modified": format_datetime(_WRITTEN, usegmt=True)}
    asked = request.http_range
    if asked.start is None and asked.stop is None:
        return web.Response(body=content, headers=headers)
    start, stop, _ = asked.indices(len(content))
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return web.Response(body=content[start:stop], status=206, headers=headers)
