"""Files over HTTP on the embedded stack: forms, raw bytes, signed URLs, and runs of what they landed."""

from __future__ import annotations

import gzip
import json
import urllib.request
from typing import Any
from urllib.parse import urlencode

import pytest

from levadactl import cases
from levadactl.places import Place

pytestmark = pytest.mark.stack

FILE = cases.landed("landing/air_quality/a.csv") or b""
TIMEOUT_S = 60
MARK = b"x-boundary-x"


def send(url: str, body: bytes, method: str = "POST", **headers: str) -> tuple[int, bytes]:
    """(status, body); names with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named, method=method)  # noqa: S310  # the stack of this test
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        return answer.status, answer.read()


def post(place: Place, path: str, body: bytes, query: dict[str, str] | None = None, **headers: str) -> Any:
    status, answer = send(f"{place.api_url}{path}?{urlencode(query or {})}", body, **headers)
    return status, json.loads(answer)


def run(place: Place, key: str) -> Any:
    return post(place, "/v1/runs", json.dumps({"key": key}).encode(), Content_Type="application/json")


def test_a_form_a_raw_body_and_a_signed_url_land_the_same_bytes_and_runs_tell_their_rows(embedded_stack: Place) -> None:
    """A2, A3: what curl -F file=@… sends, what --data-binary sends, and a PUT for files too large for the API."""
    place, s3 = embedded_stack, embedded_stack.client("s3")
    query = {"domain": "air_quality", "name": "form.csv.gz"}
    packed = gzip.compress(FILE, mtime=0)
    form = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\n%s\r\n--%s--\r\n'

    as_form = post(
        place,
        "/v1/upload",
        form % (MARK, packed, MARK),
        query,
        Content_Type=f"multipart/form-data; boundary={MARK.decode()}",
    )
    raw = post(place, "/v1/upload", packed, query, Content_Type="application/gzip")
    signed = post(place, "/v1/upload", b"", query | {"url": "1", "name": "large.csv"}, Content_Type="text/csv")
    put = send(signed[1]["url"], FILE, signed[1]["method"])

    assert (as_form[0], raw, put[0]) == (201, as_form, 200)
    for key, body in ((raw[1]["key"], packed), (signed[1]["key"], FILE)):
        assert s3.get_object(Bucket=place.bucket, Key=key)["Body"].read() == body
        status, answer = run(place, key)
        assert (status, answer["triggered"], answer["rows"], answer["path"]) == (200, True, cases.FILE_ROWS, key)
