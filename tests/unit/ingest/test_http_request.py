"""HTTP requests: what is taken, and the clear 4xx for everything else."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.errors import BadRequestError
from levada.ingest.http_request import BATCH, EVENT, MAX_BODY_BYTES, MAX_ITEMS, parse


def post(
    body: bytes | str | None, path: str = BATCH, *, method: str = "POST", in_base64: bool = False, **headers: str
) -> dict[str, Any]:
    """A proxy request; header names with ``_`` for ``-``."""
    text = base64.b64encode(body).decode() if in_base64 and isinstance(body, bytes) else body
    return {
        "path": path,
        "httpMethod": method,
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "queryStringParameters": None,
        "requestContext": {"requestId": "request-1"},
        "body": text.decode() if isinstance(text, bytes) else text,
        "isBase64Encoded": in_base64,
    }


@pytest.mark.parametrize(
    ("body", "content_type", "items"),
    [
        ('[{"a":1},{"a":2}]', "application/json", [b'{"a":1}', b'{"a":2}']),
        (" [ ]\n", "application/json", []),
        ('[{"a":\n 1.50},\r\n2]', "application/json; charset=utf-8", [b'{"a":1.50}', b"2"]),
        ('{"a":1}\n{"a":2}\n', "application/x-ndjson", [b'{"a":1}', b'{"a":2}']),
        ('{"a":1}\r\n\r\n \n[2]', "application/x-ndjson", [b'{"a":1}\r', b"[2]"]),
        ('{"a":1}\n{"a":2}', "application/json", [b'{"a":1}', b'{"a":2}']),
        ('{"a":\n1}', "application/json", [b'{"a":1}']),
        ('{"a":\n1}', "text/plain", [b'{"a":', b"1}"]),
        ('["x\\ny"]', "application/json", [b'"x\\ny"']),
    ],
)
def test_a_batch_is_an_array_or_lines(body: str, content_type: str, items: list[bytes]) -> None:
    assert parse(post(body, Content_Type=content_type)).items == items


def test_one_event_is_one_object_however_it_is_laid_out() -> None:
    request = parse(post('{\n  "a": 1.0,\n  "b": "x"\n}', EVENT + "/"))

    assert request.single
    assert [json.loads(item) for item in request.items] == [{"a": 1.0, "b": "x"}]
    assert b"\n" not in request.items[0]


def test_text_in_a_string_that_looks_like_a_key_is_no_second_key() -> None:
    text = r'{"a": "\"a\": 1, \"a\" : 2", "b": {"a": 1}}'

    assert parse(post(text, EVENT)).items == [text.encode()]


def test_a_compressed_body_may_come_under_its_own_content_type() -> None:
    """API Gateway makes text of a body unless its Content-Type is a binary one."""
    lines = gzip.compress(b'{"a":1}\n{"a":2}\n')

    assert len(parse(post(lines, in_base64=True, Content_Type="application/gzip")).items) == 2
    with pytest.raises(BadRequestError, match="under Content-Type application/gzip it arrives unharmed"):
        parse(post(lines.decode(errors="replace"), Content_Encoding="gzip"))


@given(
    items=st.lists(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=9)), max_size=9)
)
def test_arrays_lines_gzip_and_base64_say_the_same(items: list[dict[str, Any]]) -> None:
    text = json.dumps(items, indent=1, ensure_ascii=False).encode(errors="surrogatepass")
    lines = "".join(json.dumps(item) + "\n" for item in items).encode()

    if items:
        assert [json.loads(i) for i in parse(post(lines, Content_Type="application/x-ndjson")).items] == items
    for event in (post(text), post(gzip.compress(text), in_base64=True, CONTENT_ENCODING="gzip")):
        assert [json.loads(i) for i in parse(event).items] == items


def test_the_identity_is_the_clients_key_or_the_requests_id() -> None:
    assert parse(post("{}", Idempotency_Key="shift-7:42")).key == "shift-7:42"
    assert parse(post("{}", idempotency_key="a")).key == "a"
    assert parse(post("{}")).key == "request-1"


@pytest.mark.parametrize("key", ["", "with blank", "x" * 129, "a/b", "ä", "a\n"])
def test_a_key_of_other_characters_is_refused(key: str) -> None:
    with pytest.raises(BadRequestError, match=r"Idempotency-Key=.*must be 1 to 128 characters") as caught:
        parse(post("{}", Idempotency_Key=key))

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("event", "status", "says"),
    [
        (post("a=1", Content_Type="application/x-www-form-urlencoded"), 415, "Content-Type='application/x-www"),
        (post("{}", Content_Encoding="br"), 415, "Content-Encoding='br': must be gzip or identity"),
        (post(None), 400, "body is empty"),
        (post("  \n "), 400, "body is empty"),
        (post('[{"a":1}'), 400, "not a JSON array"),
        (post("[" + "0," * MAX_ITEMS + "0]"), 413, f"holds {MAX_ITEMS + 1} items: at most {MAX_ITEMS}"),
        (post("x" * (MAX_BODY_BYTES + 1)), 413, f"at most {MAX_BODY_BYTES}"),
        (post(gzip.compress(bytes(1 << 27)), in_base64=True, Content_Encoding="gzip"), 413, "inflates to more than"),
        (post(b"no gzip", in_base64=True, Content_Encoding="gzip"), 400, "is said to be gzip and is not"),
        (post(gzip.compress(b"{}")[:-4], in_base64=True, Content_Encoding="gzip"), 400, "cut short"),
        ({**post("not*base64"), "isBase64Encoded": True}, 400, "marked as base64"),
        (post('{"a":', EVENT), 400, "body is not JSON"),
        (post("[{}]", EVENT), 400, "body is a JSON array: must be one object; /v1/events/batch takes many"),
        (post("1", EVENT), 400, "body is a JSON number"),
        (post("null", EVENT), 400, "body is a JSON null"),
        (post('{"a":1} {"a":2}', EVENT), 400, "body is not JSON"),
        (post('{"a":NaN}', EVENT), 400, "body is not JSON"),
        (post('{"a":1e999}', EVENT), 400, "body is not JSON"),
        (post('{"a":' * 5000, EVENT), 400, "body is not JSON"),
        (post("[" * 5000), 400, "not a JSON array"),
        (post('{"a":' * 99 + "1" + "}" * 99, EVENT), 400, "nested 99 deep: at most 64"),
        (post('{"a":1,"b":{"c":1,"c":2}}', EVENT), 400, "key 'c' stands twice in one object"),
        (post(b'{"a":"\xff"}', EVENT, in_base64=True), 400, "body is not JSON"),
    ],
)
def test_everything_else_is_a_clear_4xx(event: dict[str, Any], status: int, says: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        parse(event)

    assert says in str(caught.value)
    assert caught.value.status == status
    assert len(str(caught.value)) < 500
