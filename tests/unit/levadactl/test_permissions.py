"""Calls against grants: what is refused, what is superfluous, and which names a template's resources get."""

from __future__ import annotations

import copy

from levadactl.embedded.templates import read_template
from levadactl.permissions import Call, Grant, calls, grants, refused, unused
from tests.conftest import ROOT

TEMPLATE = read_template(ROOT / "template.yaml")
LAKE = "arn:aws:s3:::levada-lake-000000000000-us-east-1"


def test_an_operation_needs_the_action_that_iam_knows_it_by() -> None:
    bucket = "levada-lake-000000000000-us-east-1"
    listing = {"Bucket": bucket, "Prefix": "silver/x/"}

    assert list(calls("s3", "ListObjectsV2", listing)) == [Call("s3:ListBucket", LAKE, "silver/x/")]
    assert list(calls("s3", "HeadObject", {"Bucket": bucket, "Key": "a"})) == [Call("s3:GetObject", f"{LAKE}/a")]
    deleted = {"Bucket": bucket, "Delete": {"Objects": [{"Key": "a"}, {"Key": "b"}]}}
    assert [one.resource for one in calls("s3", "DeleteObjects", deleted)] == [f"{LAKE}/a", f"{LAKE}/b"]
    (query,) = calls("dynamodb", "Query", {"TableName": "levada-serving", "IndexName": "by_time"})
    assert query.resource == "arn:aws:dynamodb:us-east-1:000000000000:table/levada-serving/index/by_time"
    assert list(calls("kinesis", "ListShards", {"NextToken": "x"})) == [], "a further page names no stream"


def test_a_call_outside_the_prefixes_of_a_role_is_refused() -> None:
    allowed = grants(TEMPLATE)["CleanFunction"]
    inside = Call("s3:PutObject", f"{LAKE}/silver/domain=x/a.parquet")
    outside = Call("s3:PutObject", f"{LAKE}/gold/domain=x/a.parquet")
    listed = Call("s3:ListBucket", LAKE, "gold/")

    assert refused([inside, outside, listed], allowed) == sorted([outside, listed])


def test_a_point_read_of_another_partition_than_the_tokens_is_refused() -> None:
    table = {"TableName": "levada-serving"}
    (token,) = calls("dynamodb", "GetItem", table | {"Key": {"pk": {"S": "tokens"}, "sk": {"S": "d"}}})
    (series,) = calls("dynamodb", "GetItem", table | {"Key": {"pk": {"S": "series#default#x"}, "sk": {"S": "a"}}})
    for function in ("IngestHttpFunction", "QueryFunction"):
        assert refused([token, series], grants(TEMPLATE)[function]) == [series]
    assert refused([token], grants(TEMPLATE)["CleanFunction"]) == [token]


def test_a_permission_that_is_taken_away_is_missed_and_one_too_many_is_named() -> None:
    made = copy.deepcopy(TEMPLATE)
    statements = made["Resources"]["QueryRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    statements.append({"Sid": "Wide", "Action": ["s3:DeleteObject"], "Resource": {"Fn::Sub": f"{LAKE}/gold/*"}})
    needed = [
        Call(g.action, g.resource.replace("*", "x"), g.prefix.replace("*", "x"))
        for g in grants(TEMPLATE)["QueryFunction"]
    ]

    assert unused(needed, grants(made)["QueryFunction"]) == [Grant("s3:DeleteObject", f"{LAKE}/gold/*")]
    del statements[1:]
    assert refused(needed, grants(made)["QueryFunction"]) != []


def test_what_lambda_does_in_a_functions_name_is_told_apart() -> None:
    clean = grants(TEMPLATE)["CleanFunction"]
    own = {grant.action for grant in clean if grant.by_lambda}

    assert {"kinesis:GetRecords", "sqs:SendMessage", "logs:PutLogEvents"} <= own
    assert "kinesis:PutRecords" not in own
    assert unused([], [grant for grant in clean if grant.by_lambda]) == []


def test_a_deployment_that_keeps_its_lake_may_delete_nothing_but_what_compaction_replaces() -> None:
    granted = grants(TEMPLATE, retention="DISABLED")["ArchiveFunction"]

    assert [g.resource for g in granted if g.action == "s3:DeleteObject"] == [f"{LAKE}/silver/*"]
    deleting = {g.resource for g in grants(TEMPLATE)["ArchiveFunction"] if g.action == "s3:DeleteObject"}
    assert not any(resource.startswith(f"{LAKE}/{kept}") for resource in deleting for kept in KEPT)


KEPT = ("checkpoints", "settings", "landing", "*")


def test_the_catalogs_permissions_are_there_only_with_a_catalog() -> None:
    with_catalog = {grant.action for grant in grants(TEMPLATE, catalog="lake")["ArchiveFunction"]}
    without = {grant.action for grant in grants(TEMPLATE)["ArchiveFunction"]}

    assert {action for action in with_catalog - without if not action.startswith("glue:")} == set()
    assert "glue:CreateTable" in with_catalog - without
