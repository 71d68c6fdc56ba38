"""What only LocalStack has: updates that it does not apply, and a delete that must leave nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levadactl import events, localstack
from levadactl.deploy import deploy
from levadactl.errors import DeployError, NotRunningError
from levadactl.http import get
from levadactl.loading import Lake, Streams
from levadactl.places import Place, wait_until
from tests.conftest import ROOT
from tests.stack.loads import DOMAIN
from tests.stack.test_places import put, silver

pytestmark = [pytest.mark.stack, pytest.mark.localstack]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a deploy reads, to change; builds go there too."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "functions", tmp_path / "functions", ignore=ignore)
    shutil.copytree(ROOT / "infra" / "parameters", tmp_path / "infra" / "parameters")
    shutil.copy(ROOT / "template.yaml", tmp_path)
    packages = ROOT / ".aws-sam" / "packages"
    if packages.is_dir():  # dependencies that the session's own deploy has packed already
        shutil.copytree(packages, tmp_path / ".aws-sam" / "packages", copy_function=shutil.copyfile)
    return tmp_path


@pytest.fixture
def short_lived() -> Iterator[Place]:
    """A stack that a test may replace and delete."""
    try:
        place = localstack.place("levada-short")
    except NotRunningError as err:
        pytest.skip(str(err))
    yield place
    localstack.delete(place)


def invoke_query(place: Place, path: str) -> dict[str, Any]:
    answer = place.client("lambda").invoke(
        FunctionName=place.function("query"), Payload=json.dumps(events.rest("GET", path)).encode()
    )
    body: dict[str, Any] = json.loads(json.loads(answer["Payload"].read())["body"])
    return body


def test_changed_code_is_deployed_data_stays_and_delivery_goes_on(localstack_stack: Place, project: Path) -> None:
    place = localstack_stack
    pack = [events.ndjson_pack([events.row(i, Date="1987-03-01")], source="localstack/a", position=i) for i in (0, 1)]
    put(place, pack[0])
    assert wait_until(Streams(place, Lake.of(place)).settled, 60)
    handler = project / "functions" / "levada" / "query" / "handler.py"
    handler.write_text(handler.read_text().replace('"no such route"', '"changed"'))

    again = deploy(place, root=project, parameters={"LogLevel": "WARNING"})
    unchanged = deploy(place, root=project, parameters={"LogLevel": "WARNING"})

    assert (again.action, unchanged.action) == ("updated", "unchanged")
    assert invoke_query(place, "/nowhere")["error"] == "changed"
    put(place, pack[1])
    assert wait_until(Streams(place, Lake.of(place)).settled, 60)
    assert silver(place, "localstack/a").num_rows == 2 * 13
    deploy(place, parameters={"LogLevel": "WARNING"})
    assert invoke_query(place, "/nowhere")["error"] == "no such route"


def test_a_change_that_localstack_only_claims_to_apply_makes_a_new_stack_and_delete_leaves_nothing(
    short_lived: Place,
) -> None:
    """`RawShards` reports UPDATE_COMPLETE there and changes nothing: three shards must really become two."""
    place, few = short_lived, {"LogLevel": "WARNING", "Schedules": "DISABLED"}
    assert deploy(place, parameters=few | {"RawShards": "3"}).action == "created"
    s3 = place.client("s3")
    s3.put_object(Bucket=place.bucket, Key="silver/kept", Body=b"rows")

    with pytest.raises(DeployError, match=r"RawStream.*1 objects.*--replace"):
        deploy(place, parameters=few | {"RawShards": "2"})
    assert s3.get_object(Bucket=place.bucket, Key="silver/kept")["Body"].read() == b"rows"

    done = deploy(place, parameters=few | {"RawShards": "2"}, replace=True)
    assert done.action == "replaced"
    assert len(place.client("kinesis").list_shards(StreamName=place.raw_stream)["Shards"]) == 2
    assert get(place.api_url, "/healthz", {})["status"] == "ok"
    s3.put_object(Bucket=place.bucket, Key=f"landing/{DOMAIN}/x.csv", Body=b"Date;Time\r\n")

    removed = localstack.delete(place)

    assert removed.stack
    assert removed.objects >= 1
    assert list(localstack.leftovers(place)) == []
    assert localstack.delete(place).stack is False
