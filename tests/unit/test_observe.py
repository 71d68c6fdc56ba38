"""A log line that is a metric too: what CloudWatch makes of it, and that stdout stays the function's."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from levada import observe
from levadactl.embedded.templates import read_template
from tests.conftest import ROOT

CONTEXT = SimpleNamespace(aws_request_id="r-1", function_name="levada-clean")


def logged(capsys: pytest.CaptureFixture[str], **fields: Any) -> dict[str, Any]:
    observe.log("clean", CONTEXT, **fields)
    out, err = capsys.readouterr()
    assert out == "", "stdout is the function's own"
    line: dict[str, Any] = json.loads(err)
    return line


def test_numbers_under_a_known_name_are_metrics_of_the_function(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, rows=12, quarantined=1, lag_s=0.25, shard="shardId-000000000001")

    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "levada"
    assert directive["Dimensions"] == [["function"]]
    assert directive["Metrics"] == [
        {"Name": "rows", "Unit": "Count"},
        {"Name": "quarantined", "Unit": "Count"},
        {"Name": "lag_s", "Unit": "Seconds"},
    ]
    # The format wants every metric and dimension at the top level of the same line, numbers as numbers.
    assert (line["rows"], line["quarantined"], line["lag_s"], line["function"]) == (12, 1, 0.25, "levada-clean")
    assert isinstance(line["_aws"]["Timestamp"], int)
    assert (line["message"], line["request_id"]) == ("done", "r-1")


def test_what_is_no_number_or_has_no_known_name_is_a_field_only(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, path="/healthz", status=200, rows="many", late=True)

    assert "_aws" not in line
    assert (line["path"], line["status"], line["rows"], line["late"]) == ("/healthz", 200, "many", True)


def test_whether_kernels_are_compiled_is_said_once_and_loudly_only_where_they_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    observe.announce_kernels.cache_clear()
    for why_not in ("", "", "is damaged", "is damaged"):
        observe.announce_kernels("aggregate", why_not)
    observe.announce_kernels("clean", "is damaged", "pyarrow")

    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["message"], first["kernels"]) == ("INFO", "kernels", "compiled")
    assert (second["level"], second["kernels"], second["reason"]) == ("WARNING", "numpy", "is damaged")
    assert (third["service"], third["kernels"]) == ("clean", "pyarrow")


def test_lag_is_the_age_of_the_oldest_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.observe.time.time", lambda: 1_000.0)

    assert observe.lag_s([990.5, 970.25, 999.0]) == 29.75
    assert observe.lag_s([1_001.0]) == 0.0, "a clock ahead of ours is no negative lag"


def test_alarms_and_dashboard_name_metrics_and_functions_that_there_are() -> None:
    template = read_template(ROOT / "template.yaml")
    board = json.loads(template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    names = {
        one["Properties"]["FunctionName"]["Fn::Sub"]
        for one in template["Resources"].values()
        if one["Type"] == "AWS::Serverless::Function"
    }
    shown = [row for widget in board["widgets"] for row in widget["properties"]["metrics"]]

    assert {row[1] for row in shown if row[0] == observe.NAMESPACE} <= set(observe.METRICS)
    assert {row[3] for row in shown if row[2] in ("FunctionName", "function")} <= names
    alarms = [r["Properties"] for r in template["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    own = [alarm for alarm in alarms if alarm.get("Namespace") == observe.NAMESPACE]
    assert {alarm["MetricName"] for alarm in own} <= set(observe.METRICS)
    assert {alarm.get("MetricName") for alarm in alarms} >= {
        "IteratorAge",
        "ApproximateNumberOfMessagesVisible",
        "lag_s",
    }
    watched = {
        m["MetricStat"]["Metric"]["MetricName"] for a in alarms for m in a.get("Metrics", []) if "MetricStat" in m
    }
    assert watched == {"Errors", "Throttles"}


def test_a_summed_alarm_watches_every_function() -> None:
    resources = read_template(ROOT / "template.yaml")["Resources"]
    functions = {name for name, one in resources.items() if one["Type"] == "AWS::Serverless::Function"}

    for name in ("ErrorsAlarm", "ThrottlesAlarm"):
        stats = [m["MetricStat"]["Metric"] for m in resources[name]["Properties"]["Metrics"] if "MetricStat" in m]
        assert {stat["Dimensions"][0]["Value"]["Ref"] for stat in stats} == functions, name


def test_what_only_aws_evaluates_is_behind_the_condition() -> None:
    for name, one in read_template(ROOT / "template.yaml")["Resources"].items():
        if one["Type"].startswith("AWS::CloudWatch::"):
            assert one.get("Condition") == "HasOperations", name
