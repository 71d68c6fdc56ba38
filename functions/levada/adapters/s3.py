"""BlobStore on S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, cast

from levada.adapters.errors import ours
from levada.core.errors import UnavailableError
from levada.ports import Blob

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

PARALLEL_PUTS = 16
"""A batch that spans many days writes one object per day; the client's pool must be as large."""
MAX_DELETE = 1000


class _Body:
    """An object's bytes as they come in; a connection that breaks half-way is our error too."""

    def __init__(self, body: StreamingBody, action: str) -> None:
        self._body, self._action = body, action

    def read(self, size: int | None = None) -> bytes:
        with ours(self._action):
            return self._body.read(size)

    def close(self) -> None:
        self._body.close()


class S3BlobStore:
    """Objects of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def _at(self, action: str, key: str) -> str:
        return f"{action} s3://{self._bucket}/{key}"

    def put(self, key: str, body: bytes) -> None:
        with ours(self._at("put", key)):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        waiting = list(objects)
        if len(waiting) < 2:
            for key, body in waiting:
                self.put(key, body)
            return
        with ThreadPoolExecutor(min(PARALLEL_PUTS, len(waiting))) as pool:
            for done in [pool.submit(self.put, key, body) for key, body in waiting]:
                done.result()

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        with ours(self._at("put", key)):
            if etag is None:
                answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
            else:
                answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfMatch=etag)
        return answer["ETag"]

    def get(self, key: str) -> tuple[bytes, str]:
        with ours(self._at("get", key)):
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        waiting = iter(keys)
        with ThreadPoolExecutor(PARALLEL_PUTS) as pool:
            while chunk := list(islice(waiting, 4 * PARALLEL_PUTS)):  # no more than these in memory at once
                yield from (body for body, _ in pool.map(self.get, chunk))

    def open(self, key: str, *, offset: int = 0) -> BinaryIO:
        with ours(self._at("open", key)):
            if offset:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={offset}-")
            else:  # a range of an empty object is an error
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
        return cast(BinaryIO, _Body(answer["Body"], self._at("read", key)))

    def list(self, prefix: str) -> Iterator[Blob]:
        with ours(self._at("list", prefix)):
            pager = self._client.get_paginator("list_objects_v2")
            for page in pager.paginate(Bucket=self._bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    modified_s = int(item["LastModified"].timestamp())
                    yield Blob(item["Key"], item["Size"], item["ETag"], modified_s)

    def delete(self, keys: Iterable[str]) -> None:
        waiting = iter(keys)
        while chunk := list(islice(waiting, MAX_DELETE)):
            with ours(self._at("delete", chunk[0])):
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                raise UnavailableError(f"delete s3://{self._bucket}/{errors[0].get('Key')}: {errors[0].get('Code')}")


class S3UploadUrls:
    """URLs that take one object of one bucket; signed here, without a call."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put_url(self, key: str, *, expires_s: int) -> str:
        place = {"Bucket": self._bucket, "Key": key}
        return self._client.generate_presigned_url("put_object", Params=place, ExpiresIn=expires_s, HttpMethod="PUT")
