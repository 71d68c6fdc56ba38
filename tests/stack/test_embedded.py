"""The embedded stack really started: loopback only, stopped without a trace, and noticed when it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from levadactl import embedded
from levadactl.cli import main
from levadactl.embedded import bridge, emulator, ports, processes, recovery
from levadactl.embedded.ministack import Folders
from levadactl.embedded.processes import ProcessRef
from levadactl.embedded.state import load
from levadactl.errors import DeployError, StartError
from levadactl.places import FUNCTION_OUTPUTS, Place

pytestmark = pytest.mark.stack

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  AwsEndpointUrl: {Type: String, Default: ""}
Globals:
  Function:
    Runtime: python3.12
    CodeUri: functions/
    Handler: levada.echo.handler
    Environment: {Variables: {AWS_ENDPOINT_URL: !Ref AwsEndpointUrl}}
Resources:
  LakeBucket: {Type: AWS::S3::Bucket, Properties: {BucketName: !Sub "${AWS::StackName}-lake"}}
  RawStream: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: 1, StreamModeDetails: {StreamMode: PROVISIONED}}}
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: live, OpenApiVersion: 3.0.1}}
  QueryFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties:
      Events:
        Health: {Type: Api, Properties: {RestApiId: !Ref Api, Method: GET, Path: /healthz}}
Outputs:
  LakeBucketName: {Value: !Ref LakeBucket}
  RawStreamName: {Value: !Ref RawStream}
  QueryFunctionName: {Value: !Ref QueryFunction}
  ApiId: {Value: !Ref Api}
  ApiStage: {Value: live}
"""

HANDLER = """
import json, os
def handler(event, context):
    print("called")
    seen = {k: v for k, v in os.environ.items() if k.startswith(("AWS_", "HTTP", "http"))}
    return {"statusCode": 200, "body": json.dumps({"answer": ANSWER, "environment": seen})}
"""


def write_project(root: Path, *, answer: int = 1) -> Path:
    package = root / "functions" / "levada"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "echo.py").write_text(f"ANSWER = {answer}\n{HANDLER}")
    (root / "template.yaml").write_text(TEMPLATE)
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    processes.stop(processes.marked(folder), grace_s=2)


def up(home: Path, project: Path, **options: Any) -> embedded.Started:
    said: list[str] = []
    return embedded.start(folder=home, root=project, with_triggers=False, say=said.append, **options)


def triggers_of(home: Path) -> ProcessRef:
    state = load(home)
    assert state is not None
    return state.processes["triggers"]


def invoke(place: Place) -> dict[str, Any]:
    answer = place.client("lambda").invoke(FunctionName=place.function("query"), Payload=b"{}")
    body: dict[str, Any] = json.loads(json.loads(answer["Payload"].read())["body"])
    return body


def created(place: Place) -> datetime:
    summary = place.client("kinesis").describe_stream_summary(StreamName=place.raw_stream)
    return summary["StreamDescriptionSummary"]["StreamCreationTimestamp"]


def kill_emulator(home: Path) -> None:
    state = load(home)
    assert state is not None
    state.processes["emulator"].signal(signal.SIGKILL)
    assert processes.wait_for(lambda: not state.running(), timeout_s=5)


def test_up_deploy_invoke_down_leaves_no_process_and_no_temporary_folder(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "leaked")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    place = up(home, project, port=ports.choose()).place
    seen = invoke(place)

    assert seen["answer"] == 1
    assert seen["environment"]["AWS_ENDPOINT_URL"] == place.endpoint_url
    assert "leaked" not in seen["environment"].values()
    assert "HTTP_PROXY" not in seen["environment"]
    assert len(processes.marked(home)) == 2, "the emulator and one worker"

    stopped = embedded.stop(home)

    assert (stopped.owner, stopped.clean) == ("up", True)
    assert processes.marked(home) == []
    assert not Folders(home).tmp.exists()
    assert sorted(path.name for path in home.iterdir()) == ["emulator", "lock", "logs", "s3", "stack.json"]


def test_the_api_answers_under_the_url_that_the_place_names(home: Path, project: Path) -> None:
    place = up(home, project).place

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{place.api_url}/healthz", timeout=30) as response:
        assert json.load(response)["answer"] == 1


def test_a_clean_stop_and_start_continues_where_it_stopped(home: Path, project: Path) -> None:
    place = up(home, project).place
    kinesis = place.client("kinesis")
    put = kinesis.put_record(StreamName=place.raw_stream, Data=b"payload", PartitionKey="a")
    before = created(place)
    embedded.stop(home)

    again = up(home, project)

    kinesis = again.place.client("kinesis")
    iterator = kinesis.get_shard_iterator(
        StreamName=place.raw_stream, ShardId=put["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    assert [(r["SequenceNumber"], r["Data"]) for r in records] == [(put["SequenceNumber"], b"payload")]
    assert created(again.place) == before
    assert again.recovered is None
    assert again.deployed is not None
    assert again.deployed.action == "unchanged"
    assert invoke(again.place)["answer"] == 1


def test_a_killed_stack_is_noticed_and_its_lake_survives(home: Path, project: Path) -> None:
    place = up(home, project).place
    invoke(place)
    place.client("s3").put_object(Bucket=place.bucket, Key="silver/date=1/ü b.parquet", Body=b"rows")
    place.client("kinesis").put_record(StreamName=place.raw_stream, Data=b"lost", PartitionKey="a")
    kill_emulator(home)
    said: list[str] = []

    again = embedded.start(folder=home, root=project, with_triggers=False, say=said.append)

    found = again.recovered
    assert found is not None
    assert found.lake_objects == 1
    assert "streams and the records in them" in found.lost
    assert any("did not stop cleanly" in line for line in said)
    s3 = again.place.client("s3")
    assert s3.get_object(Bucket=again.place.bucket, Key="silver/date=1/ü b.parquet")["Body"].read() == b"rows"
    assert invoke(again.place)["answer"] == 1
    assert len(list(Folders(home).tmp.glob("ministack-lambda-*"))) == 1, "the killed stack's worker folder is gone"
    assert embedded.stop(home).clean
    assert up(home, project).recovered is None


def test_what_can_be_derived_from_the_lake_is_brought_back_and_reported(
    home: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_recovery_hook.py").write_text("def recover(place): return {'bucket': place.bucket}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(recovery, "HOOK", "a_recovery_hook")
    place = embedded.start(folder=home, root=project).place
    kill_emulator(home)

    again = embedded.start(folder=home, root=project)

    assert again.recovered is not None
    assert again.recovered.republished == {"bucket": place.bucket}
    assert again.recovered.leftover_processes == 1, "the stream triggers of the killed stack"


def test_down_after_a_kill_leaves_nothing_and_up_still_notices(home: Path, project: Path) -> None:
    invoke(embedded.start(folder=home, root=project).place)
    kill_emulator(home)

    stopped = embedded.stop(home)

    assert (stopped.owner, stopped.clean) == ("up", False)
    assert processes.marked(home) == []
    assert not Folders(home).tmp.exists()
    assert up(home, project).recovered is not None


def test_triggers_that_ended_are_started_again(home: Path, project: Path) -> None:
    embedded.start(folder=home, root=project)
    first = triggers_of(home)
    first.signal(signal.SIGKILL)
    assert processes.wait_for(lambda: not first.alive(), timeout_s=5)

    again = embedded.start(folder=home, root=project)

    assert again.already_running
    assert triggers_of(home).alive()
    assert triggers_of(home) != first


def test_functions_at_work_do_not_keep_a_stop_from_saving(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "WORK_S", 0.5)
    handler = project / "functions" / "levada" / "echo.py"
    begun = home.parent / "begun"
    working = f'__import__("pathlib").Path({str(begun)!r}).touch(); import time; time.sleep(300)'
    handler.write_text(handler.read_text().replace('print("called")', working))
    place = up(home, project).place
    place.client("lambda").invoke(FunctionName=place.function("query"), InvocationType="Event")
    assert processes.wait_for(begun.exists, timeout_s=20)

    stopped = embedded.stop(home)

    assert (stopped.clean, stopped.killed) == (True, 0)
    assert processes.marked(home) == []
    assert up(home, project).recovered is None


def test_an_old_saved_state_does_not_come_back_after_a_crash(home: Path, project: Path) -> None:
    up(home, project)
    embedded.stop(home)
    place = up(home, project).place
    before = created(place)
    kill_emulator(home)

    assert created(up(home, project).place) > before


def test_changed_code_is_deployed_and_unchanged_code_is_not(home: Path, project: Path) -> None:
    first = up(home, project)
    assert first.deployed is not None
    assert (first.deployed.action, invoke(first.place)["answer"]) == ("created", 1)

    second = up(home, project)
    assert second.deployed is not None
    assert (second.already_running, second.deployed.action) == (True, "unchanged")

    third = up(home, write_project(project, answer=2))
    assert third.deployed is not None
    assert (third.deployed.action, invoke(third.place)["answer"]) == ("updated", 2)


def test_another_port_after_a_restart_reaches_the_functions(home: Path, project: Path) -> None:
    up(home, project)
    embedded.stop(home)

    place = up(home, project, port=ports.choose()).place

    assert invoke(place)["environment"]["AWS_ENDPOINT_URL"] == place.endpoint_url


def test_a_refused_template_says_why(home: Path, project: Path) -> None:
    template = project / "template.yaml"
    template.write_text(
        template.read_text().replace("  RawStream: {Type", "  Wrong: {Type: AWS::Nothing::Real}\n  RawStream: {Type")
    )

    with pytest.raises(DeployError, match="AWS::Nothing::Real"):
        up(home, project)


def test_a_failed_resource_is_named_with_its_reason(home: Path, project: Path) -> None:
    alone = up(home, project, deploy=False).place
    alone.client("s3").create_bucket(Bucket="levada-lake")

    with pytest.raises(DeployError, match=r"LakeBucket refused: .*levada-lake.*already exists"):
        up(home, project)


def test_a_deploy_after_a_failed_one_starts_over(home: Path, project: Path) -> None:
    alone = up(home, project, deploy=False).place
    alone.client("s3").create_bucket(Bucket="levada-lake")
    with pytest.raises(DeployError):
        up(home, project)
    alone.client("s3").delete_bucket(Bucket="levada-lake")

    again = up(home, project)

    assert again.deployed is not None
    assert again.deployed.action == "created"


def test_a_taken_port_is_refused_by_name(home: Path, project: Path) -> None:
    place = up(home, project).place
    port = int(place.endpoint_url.rpartition(":")[2])

    with pytest.raises(StartError, match=f"port {port} is in use"):
        up(home / "other", project, port=port)


def test_two_stacks_live_side_by_side_and_fresh_forgets_only_its_own(home: Path, project: Path) -> None:
    mine = up(home, project).place
    mine.client("s3").put_object(Bucket=mine.bucket, Key="silver/x", Body=b"mine")
    demo = up(home / "demo", project, owner="demo").place
    demo.client("s3").put_object(Bucket=demo.bucket, Key="silver/x", Body=b"demo")

    demo = up(home / "demo", project, owner="demo", fresh=True).place

    assert demo.client("s3").list_objects_v2(Bucket=demo.bucket)["KeyCount"] == 0
    assert mine.client("s3").get_object(Bucket=mine.bucket, Key="silver/x")["Body"].read() == b"mine"
    assert [one.owner for one in embedded.stop_all(home)] == ["up", "demo"]
    assert processes.marked(home) + processes.marked(home / "demo") == []


def test_commands_answer_with_one_json_object_on_stdout(home: Path, project: Path) -> None:
    environment = os.environ | {"LEVADA_STATE_DIR": str(home)}
    environment.pop("AWS_ENDPOINT_URL", None)

    def levada(*arguments: str) -> tuple[int, dict[str, Any], str]:
        command = [sys.executable, "-c", "import sys; from levadactl.cli import main; sys.exit(main())", *arguments]
        ran = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr

    assert levada("status", "--json") == (1, {}, "levada: no stack is running: levada up\n")
    up(home, project)
    status, deployed, _ = levada("deploy", "--json")
    assert (status, deployed["action"]) == (0, "unchanged")
    status, stopped, err = levada("down", "--json")
    assert (status, [one["clean"] for one in stopped["stopped"]]) == (0, [True])
    assert "\x1b" not in err, "no control codes in a pipe"
    assert levada("down", "--json")[1] == {"stopped": []}


def test_the_projects_own_template_is_up_with_its_triggers(
    embedded_stack: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embedded_stack.state is not None
    monkeypatch.setenv("LEVADA_STATE_DIR", str(embedded_stack.state))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    assert main(["status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)

    assert {one["role"] for one in status["functions"]} == set(FUNCTION_OUTPUTS)
    assert {one["state"] for one in status["functions"]} == {"Active"}
    streams = {one["name"]: len(one["shards"]) for one in status["streams"]}
    assert streams == {embedded_stack.raw_stream: 3, embedded_stack.clean_stream: 3}
    assert status["triggers"]["running"]
    assert status["dead_letters"]["messages"] >= 0
    assert main(["status"]) == 0
    assert "Stream triggers: running" in capsys.readouterr().out
    assert main(["status", "--lag"]) == 0
    assert "Stream triggers: running" in capsys.readouterr().out


def test_the_emulators_own_poller_is_off(embedded_stack: Place) -> None:
    # It counts failed records as delivered; levada's triggers deliver instead, from the same mappings.
    functions = embedded_stack.client("lambda")
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    streams = [one for one in mappings if ":kinesis:" in one["EventSourceArn"]]
    formation = embedded_stack.client("cloudformation")
    stack = formation.describe_stacks(StackName=embedded_stack.stack_name)["Stacks"][0]

    assert len(streams) == 2
    assert {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}["StreamTriggers"] == "Disabled"


@pytest.mark.skipif(bridge.address() is None, reason="no container engine has made a bridge docker0 here")
def test_containers_reach_it_on_the_bridge_when_asked_and_nobody_else_does(home: Path, project: Path) -> None:
    started = up(home, project, for_containers=True)
    port = int(started.place.endpoint_url.rpartition(":")[2])

    listening = {one.address for ref in processes.marked(home) for one in ports.listeners(ref.pid) or []}
    assert listening == {"127.0.0.1", started.for_containers} == {"127.0.0.1", bridge.address()}
    with urllib.request.urlopen(f"http://{started.for_containers}:{port}/_ministack/health", timeout=10) as answer:
        assert answer.status == 200
    told = json.loads((home / "sam-env.json").read_text())["Parameters"]
    assert (told["AWS_ENDPOINT_URL"], told["LEVADA_BUCKET"]) == (f"http://{bridge.HOST}:{port}", started.place.bucket)

    stopped = embedded.stop(home)
    assert (stopped.clean, stopped.killed) == (True, 0)
    assert processes.marked(home) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/net/tcp")
def test_the_whole_stack_listens_on_loopback_only(embedded_stack: Place) -> None:
    assert embedded_stack.state is not None
    ours = processes.marked(embedded_stack.state)

    exposed = [one for ref in ours for one in ports.listeners(ref.pid) or [] if not one.loopback_only]

    assert len(ours) >= 2, "the emulator and the triggers"
    assert exposed == []
