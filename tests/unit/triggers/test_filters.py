"""EventBridge patterns as AWS documents them for Lambda."""

from __future__ import annotations

from typing import Any

import pytest

from levadactl.triggers import Envelope, MappingError, Record
from levadactl.triggers.filters import matches, parse_pattern, wanted

ENVELOPE = Envelope("shardId-000000000000", "arn:aws:kinesis:us-east-1:0:stream/s", "us-east-1", "role")


@pytest.mark.parametrize(
    ("pattern", "document", "expected"),
    [
        pytest.param({"a": ["x"]}, {"a": "x"}, True, id="equals"),
        pytest.param({"a": ["x"]}, {"a": "X"}, False, id="equals minds case"),
        pytest.param({"a": ["x"]}, {}, False, id="equals needs the key"),
        pytest.param({"a": [None]}, {"a": None}, True, id="null is null"),
        pytest.param({"a": [None]}, {}, False, id="null is not a missing key"),
        pytest.param({"a": [""]}, {"a": ""}, True, id="empty"),
        pytest.param({"a": [1]}, {"a": True}, False, id="true is not 1"),
        pytest.param({"a": [1]}, {"a": "1"}, False, id="a number is not its text"),
        pytest.param({"a": ["x", "y"]}, {"a": "y"}, True, id="or: several values"),
        pytest.param({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "y"}, True, id="and: all fields"),
        pytest.param({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "z"}, False, id="and: one differs"),
        pytest.param({"$or": [{"a": ["x"]}, {"b": ["y"]}]}, {"b": "y"}, True, id="or: several fields"),
        pytest.param({"$or": [{"a": ["x"]}, {"b": ["y"]}], "c": [1]}, {"b": "y"}, False, id="or beside and"),
        pytest.param({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True, id="nested"),
        pytest.param({"a": {"b": ["x"]}}, {"a": "x"}, False, id="nested needs an object"),
        pytest.param({"a": {"b": ["x"]}}, {"a": [{"b": "y"}, {"b": "x"}]}, True, id="any object of an array"),
        pytest.param({"a": ["x"]}, {"a": ["y", "x"]}, True, id="any value of an array"),
        pytest.param({"a": [{"prefix": "ab"}]}, {"a": "abc"}, True, id="begins with"),
        pytest.param({"a": [{"prefix": "ab"}]}, {"a": 12}, False, id="begins with is for text"),
        pytest.param({"a": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"a": "abc"}, True, id="begins with any case"),
        pytest.param({"a": [{"suffix": "bc"}]}, {"a": "abc"}, True, id="ends with"),
        pytest.param({"a": [{"suffix": "ab"}]}, {"a": "abc"}, False, id="does not end with"),
        pytest.param({"a": [{"equals-ignore-case": "ABC"}]}, {"a": "abc"}, True, id="equals, ignoring case"),
        pytest.param({"a": [{"exists": True}]}, {"a": None}, True, id="exists, though null"),
        pytest.param({"a": [{"exists": True}]}, {}, False, id="exists fails on a missing key"),
        pytest.param({"a": [{"exists": True}]}, {"a": {"b": 1}}, False, id="exists works on leaves only"),
        pytest.param({"a": [{"exists": False}]}, {}, True, id="does not exist"),
        pytest.param({"a": [{"exists": False}]}, {"a": 1}, False, id="does not exist fails on a key"),
        pytest.param({"a": {"b": [{"exists": False}]}}, {}, True, id="does not exist below a missing key"),
        pytest.param({"a": {"$or": [{"b": [1]}, {"c": [{"exists": False}]}]}}, {}, True, id="absence in an or"),
        pytest.param({"a": [{"anything-but": "x"}]}, {"a": "y"}, True, id="anything but a value"),
        pytest.param({"a": [{"anything-but": ["x", "y"]}]}, {"a": "y"}, False, id="anything but a list"),
        pytest.param({"a": [{"anything-but": [1, 2]}]}, {"a": 3}, True, id="anything but numbers"),
        pytest.param({"a": [{"anything-but": {"prefix": "x"}}]}, {"a": "xy"}, False, id="anything but a prefix"),
        pytest.param({"a": [{"anything-but": "x"}]}, {}, False, id="anything but needs the key"),
        pytest.param({"a": [{"numeric": ["=", 100]}]}, {"a": 1e2}, True, id="numeric equals"),
        pytest.param({"a": [{"numeric": [">", 10, "<=", 20]}]}, {"a": 20}, True, id="numeric range"),
        pytest.param({"a": [{"numeric": [">", 10, "<=", 20]}]}, {"a": 10}, False, id="outside a numeric range"),
        pytest.param({"a": [{"numeric": [">", 0]}]}, {"a": True}, False, id="numeric is not for booleans"),
        pytest.param({"a": [{"numeric": [">", 0]}]}, {"a": "5"}, False, id="numeric is not for text"),
        pytest.param({"a": ["x", {"prefix": "y"}]}, {"a": "yz"}, True, id="a value or a rule"),
    ],
)
def test_a_pattern_meets_a_document(pattern: dict[str, Any], document: dict[str, Any], expected: bool) -> None:
    assert matches(parse_pattern(pattern), document) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no object"),
        pytest.param("{}", id="empty"),
        pytest.param({"a": "x"}, id="a bare value"),
        pytest.param({"a": []}, id="an empty list"),
        pytest.param({"a": [["x"]]}, id="a list of lists"),
        pytest.param({"a": [{"wildcard": "*"}]}, id="an operator that Lambda does not have"),
        pytest.param({"a": [{"prefix": 1}]}, id="a prefix that is no text"),
        pytest.param({"a": [{"prefix": "x", "suffix": "y"}]}, id="two operators in one rule"),
        pytest.param({"a": [{"numeric": [">"]}]}, id="a sign without a number"),
        pytest.param({"a": [{"numeric": ["~", 1]}]}, id="an unknown sign"),
        pytest.param({"a": [{"numeric": [">", "1"]}]}, id="a bound that is text"),
        pytest.param({"a": [{"numeric": 1}]}, id="a bare number"),
        pytest.param({"a": [{"exists": "yes"}]}, id="exists of a text"),
        pytest.param({"a": [{"anything-but": []}]}, id="anything but nothing"),
        pytest.param({"a": [{"anything-but": {"numeric": [">", 1]}}]}, id="anything but a number rule"),
        pytest.param({"a": [{"anything-but": {"prefix": "a", "suffix": "b"}}]}, id="anything but two rules"),
        pytest.param({"$or": [{"a": [1]}]}, id="or of one"),
        pytest.param({"$or": [{"a": [1]}, 1]}, id="or of something else"),
        pytest.param({"data": ["x"]}, id="data that is not JSON"),
    ],
)
def test_a_pattern_that_lambda_would_refuse_is_refused(pattern: object) -> None:
    with pytest.raises(MappingError, match=r"FilterCriteria.*allowed: "):
        parse_pattern(pattern)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("data", "pattern", "expected"),
    [
        pytest.param(b'{"a":1}', {"data": {"a": [1]}}, True, id="JSON data, JSON pattern: filtered"),
        pytest.param(b'{"a":2}', {"data": {"a": [1]}}, False, id="JSON data, JSON pattern: filtered out"),
        pytest.param(b"text", {"data": {"a": [1]}}, False, id="no JSON, JSON pattern: dropped"),
        pytest.param(b"text", {"data": {"a": [{"exists": False}]}}, True, id="no JSON has no keys"),
        pytest.param(b"text", {"partitionKey": ["k"]}, True, id="no pattern for data: by metadata only"),
        pytest.param(b'{"a":1}', {"partitionKey": ["other"]}, False, id="metadata differs"),
        pytest.param(b'{"a":1}', {"eventName": ["aws:kinesis:record"], "data": {"a": [1]}}, True, id="both"),
        pytest.param(b"\xff\x00", {"data": {"a": [1]}}, False, id="bytes"),
    ],
)
def test_data_and_metadata_are_filtered_as_documented(data: bytes, pattern: dict[str, Any], expected: bool) -> None:
    assert wanted([parse_pattern(pattern)], Record("1", "k", data, 0.0), ENVELOPE) is expected


def test_filters_are_ored_and_none_wants_everything() -> None:
    record = Record("1", "k", b'{"a":1}', 0.0)

    assert wanted([{"data": {"a": [2]}}, {"data": {"a": [1]}}], record, ENVELOPE)
    assert not wanted([{"data": {"a": [2]}}, {"data": {"a": [3]}}], record, ENVELOPE)
    assert wanted([], record, ENVELOPE)
