"""A small S3 server on a free loopback port: the calls that an object store client makes, kept in memory.

Each call is one step under one lock, so that conditional puts are as exact as the real thing's. Signatures (version 4)
are checked. Every request is noted with the bytes that it brought, so that tests can count them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from http_servers import ManyServer, QuietHandler

ACCESS_KEY, SECRET_KEY = "tests", "a-secret-that-no-message-may-tell"
_MOST_KEYS = 1000


@dataclass(frozen=True)
class Object:
    content: bytes
    etag: str
    modified: str


@dataclass(frozen=True)
class Asked:
    """A request that was answered, and how many bytes of an object the answer had."""

    method: str
    key: str
    query: str
    status: int
    sent: int
    content_type: str = ""


@dataclass
class _Upload:
    key: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class S3Server:
    """Serves `buckets` until it is closed."""

    def __init__(self, *buckets: str) -> None:
        self.buckets: dict[str, dict[str, Object]] = {bucket: {} for bucket in buckets}
        self.uploads: dict[str, _Upload] = {}
        self.asked: list[Asked] = []
        self.refuses = False
        """Whether no credentials are good any more."""
        self.lock = threading.RLock()
        self.port, self.is_gone = 0, True
        self.comes_back()

    def comes_back(self) -> None:
        """Serves what it has, where it was before."""
        server = self

        class Handler(_Handler):
            s3 = server

        self._http = ManyServer(("127.0.0.1", self.port), Handler)
        self.port, self.is_gone = int(self._http.server_address[1]), False
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a client needs to know."""
        return {"AWS_ENDPOINT_URL": endpoint or self.url, "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}  # fmt: skip

    def keys(self, bucket: str) -> list[str]:
        with self.lock:
            return sorted(self.buckets[bucket])

    def content(self, bucket: str, key: str) -> bytes:
        with self.lock:
            return self.buckets[bucket][key].content

    def put(self, bucket: str, key: str, content: bytes) -> Object:
        made = Object(content, f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"', formatdate(usegmt=True))
        with self.lock:
            self.buckets[bucket][key] = made
        return made

    def goes(self) -> None:
        """Refuses connections, and answers on none of those there are."""
        self.is_gone = True
        self.close()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> S3Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(QuietHandler):
    s3: S3Server

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.s3.is_gone:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers: dict[str, str] = {}
        try:
            if self.s3.refuses:
                raise Refusal(403, "ExpiredToken")
            _check_signature(self.command, parts.path, parts.query, dict(self.headers.items()), body)
            with self.s3.lock:
                if bucket not in self.s3.buckets:
                    raise Refusal(404, "NoSuchBucket")
                status, headers, answer = self._answer(self.s3.buckets[bucket], key, query, body)
        except Refusal as refusal:
            status, answer = refusal.status, _xml("Error", f"<Code>{refusal.code}</Code><Message>no</Message>")
        sent = len(answer) if self.command == "GET" and key and status < 300 else 0
        with self.s3.lock:
            kind = self.headers.get("Content-Type") or ""
            self.s3.asked.append(Asked(self.command, key, parts.query, status, sent, kind))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

    def _answer(
        self, objects: dict[str, Object], key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if not key:
            return self._on_bucket(objects, query, body)
        if self.command in {"GET", "HEAD"}:
            return self._read(objects, key)
        if "uploads" in query or "uploadId" in query:
            return self._multipart(objects, key, query, body)
        if self.command == "DELETE":
            objects.pop(key, None)
            return 204, {}, b""
        self._check_conditions(objects.get(key))
        made = self._kept(objects, key, body, "")
        return 200, {"ETag": made.etag}, b""

    def _on_bucket(
        self, objects: dict[str, Object], query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if self.command == "POST" and "delete" in query:
            keys = [_unescaped(each) for each in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for each in keys:
                objects.pop(each, None)
            told = "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in keys)
            return 200, {}, _xml("DeleteResult", told)
        if self.command != "GET" or query.get("list-type") != "2":
            raise Refusal(501, "NotImplemented")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        found: dict[str, Object | None] = {}
        for name in sorted(objects):
            if not name.startswith(prefix):
                continue
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                found[prefix + rest.partition(delimiter)[0] + delimiter] = None
            else:
                found[name] = objects[name]
        names = [name for name in sorted(found) if name > after]
        page, more = names[:_MOST_KEYS], len(names) > _MOST_KEYS
        told = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated><KeyCount>{len(page)}</KeyCount>"
        told += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        for name in page:
            each = found[name]
            told += f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" if each is None else (
                f"<Contents><Key>{escape(name)}</Key><Size>{len(each.content)}</Size><ETag>{escape(each.etag)}</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>")  # fmt: skip
        return 200, {"Content-Type": "application/xml"}, _xml("ListBucketResult", told)

    def _read(self, objects: dict[str, Object], key: str) -> tuple[int, dict[str, str], bytes]:
        found = objects.get(key)
        if found is None:
            raise Refusal(404, "NoSuchKey")
        self._check_conditions(found)
        content, total, status = found.content, len(found.content), 200
        headers = {"ETag": found.etag, "Last-Modified": found.modified, "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1]) if wanted[1] else max(0, total - int(wanted[2]))
            stop = min(total, int(wanted[2]) + 1) if wanted[1] and wanted[2] else total
            if start >= total:
                raise Refusal(416, "InvalidRange")
            content, status = content[start:stop], 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        headers["Content-Length"] = str(len(content))
        return status, headers, b"" if self.command == "HEAD" else content

    def _check_conditions(self, found: Object | None) -> None:
        wanted = self.headers.get("If-Match")
        if wanted is not None and (found is None or found.etag != wanted):
            raise Refusal(404 if found is None else 412, "NoSuchKey" if found is None else "PreconditionFailed")
        if self.headers.get("If-None-Match") == "*" and found is not None:
            raise Refusal(412, "PreconditionFailed")

    def _kept(self, objects: dict[str, Object], key: str, content: bytes, suffix: str) -> Object:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        made = objects[key] = Object(content, f'"{digest}{suffix}"', formatdate(usegmt=True))
        return made

    def _multipart(
        self, objects: dict[str, Object], key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if "uploads" in query:
            number = uuid.uuid4().hex
            self.s3.uploads[number] = _Upload(key)
            told = f"<Key>{escape(key)}</Key><UploadId>{number}</UploadId>"
            return 200, {}, _xml("InitiateMultipartUploadResult", told)
        upload = self.s3.uploads.get(query["uploadId"])
        if upload is None or upload.key != key:
            raise Refusal(404, "NoSuchUpload")
        if self.command == "PUT":
            upload.parts[int(query["partNumber"])] = body
            return 200, {"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'}, b""
        if self.command == "POST":
            numbers = [int(each) for each in re.findall(r"<PartNumber>(\d+)</PartNumber>", body.decode())]
            if sorted(numbers) != sorted(upload.parts):
                raise Refusal(400, "InvalidPart")
            if any(len(upload.parts[number]) < 5 * 2**20 for number in numbers[:-1]):
                raise Refusal(400, "EntityTooSmall")
            self._check_conditions(objects.get(key))
            content = b"".join(upload.parts[number] for number in numbers)
            made = self._kept(objects, key, content, f"-{len(numbers)}")
            del self.s3.uploads[query["uploadId"]]
            return 200, {}, _xml("CompleteMultipartUploadResult", f"<ETag>{escape(made.etag)}</ETag>")
        del self.s3.uploads[query["uploadId"]]
        return 204, {}, b""


def _check_signature(method: str, path: str, query: str, headers: dict[str, Any], body: bytes) -> None:
    """Raises `Refusal` unless the request is signed with the one key that this server knows."""
    lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    found = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request, ?"
                     r"SignedHeaders=([^,]+), ?Signature=(\w+)", lower.get("authorization", ""))  # fmt: skip
    if found is None:
        raise Refusal(403, "AccessDenied")
    key, day, region, names, signature = found.groups()
    if key != ACCESS_KEY:
        raise Refusal(403, "InvalidAccessKeyId")
    told = lower.get("x-amz-content-sha256", "")
    if len(told) == 64 and told != hashlib.sha256(body).hexdigest():
        raise Refusal(400, "XAmzContentSHA256Mismatch")
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([
        method, quote(unquote(path), safe="/-_.~"), "&".join(f"{k}={v}" for k, v in pairs),
        *(f"{name}:{lower[name]}" for name in names.split(";")), "", names, told,
    ])  # fmt: skip
    scope = f"{day}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    secret = f"AWS4{SECRET_KEY}".encode()
    for each in (day, region, "s3", "aws4_request"):
        secret = hmac.digest(secret, each.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{lower['x-amz-date']}\n{scope}\n{hashed}"
    if not hmac.compare_digest(hmac.digest(secret, text.encode(), "sha256").hex(), signature):
        raise Refusal(403, "SignatureDoesNotMatch")


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><{name}>{inner}</{name}>'.encode()


def _unescaped(text: str) -> str:
    from xml.sax.saxutils import unescape

    return unescape(text, {"&quot;": '"', "&apos;": "'"})
