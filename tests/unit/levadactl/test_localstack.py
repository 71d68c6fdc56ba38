"""Which answers are LocalStack's, and which changes it would only claim to apply."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from levadactl import localstack
from levadactl.embedded import ports
from levadactl.embedded.templates import function_names, read_template, with_code
from levadactl.errors import NotRunningError
from tests.conftest import ROOT

HEALTHY = '{"services": {%s}, "edition": "community", "version": "4.12.0"}'
ALL = ", ".join(f'"{name}": "available"' for name in localstack.SERVICES)
PARAMETERS = {"PythonVersion": "3.11"}


@contextmanager
def server(body: str, status: int = 200, paths: tuple[str, ...] = (localstack.HEALTH,)) -> Iterator[str]:
    """A server on loopback that gives this answer under these paths, and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in paths
            self.send_response(status if known else 404)
            self.end_headers()
            self.wfile.write(body.encode() if known else b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((ports.LOOPBACK, 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://{ports.LOOPBACK}:{httpd.server_port}"
        httpd.shutdown()


def test_localstack_is_known_by_its_health() -> None:
    with server(HEALTHY % ALL) as url:
        found = localstack.probe(url)

    assert (found.version, found.edition) == ("4.12.0", "community")
    assert found.services == set(localstack.SERVICES)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("<html>hello</html>", 200, "is not LocalStack"),
        ('{"error": "no such route"}', 404, "is not LocalStack"),
        ('{"services": {"s3": "available"}, "version": "1.5.33"}', 200, "is not LocalStack"),
        ("[]", 200, "is not LocalStack"),
    ],
)
def test_another_server_is_refused_by_name(body: str, status: int, says: str) -> None:
    with server(body, status) as url, pytest.raises(NotRunningError, match=says) as refusal:
        localstack.probe(url)

    assert url in str(refusal.value)


def test_ministack_answers_localstacks_question_and_is_not_it() -> None:
    paths = (localstack.HEALTH, "/_ministack/health")
    with server(HEALTHY % ALL, paths=paths) as url, pytest.raises(NotRunningError, match="MiniStack"):
        localstack.probe(url)


def test_nothing_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{ports.choose()}/")

    with pytest.raises(NotRunningError, match=r"nothing answers at http://127\.0\.0\.1:\d+ .*AWS_ENDPOINT_URL"):
        localstack.place()


def test_a_service_that_was_left_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(HEALTHY % ALL.replace('"kinesis": "available"', '"kinesis": "disabled"')) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(NotRunningError, match="without kinesis"):
            localstack.place()


def test_the_default_is_localstacks_own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)

    assert localstack.endpoint() == "http://127.0.0.1:4566"


def template() -> dict[str, Any]:
    found = read_template(ROOT / "template.yaml")
    return with_code(found, "artifacts", dict.fromkeys(function_names(found), "one.zip"))


def no_change(made: dict[str, Any]) -> None:
    pass


def code(made: dict[str, Any]) -> None:
    made["Resources"]["CleanFunction"]["Properties"]["CodeUri"]["Key"] = "two.zip"


def memory_and_time(made: dict[str, Any]) -> None:
    made["Globals"]["Function"]["MemorySize"] = 3008
    made["Resources"]["QueryFunction"]["Properties"]["Timeout"] = 60


def variable(made: dict[str, Any]) -> None:
    made["Globals"]["Function"]["Environment"]["Variables"]["LEVADA_NEW"] = "1"


def permission(made: dict[str, Any]) -> None:
    made["Resources"]["QueryRole"]["Properties"]["Policies"] = []


def another_queue(made: dict[str, Any]) -> None:
    made["Resources"]["Another"] = {"Type": "AWS::SQS::Queue"}


@pytest.mark.parametrize("change", [no_change, code, memory_and_time, variable, permission, another_queue])
def test_these_changes_are_applied(change: Callable[[dict[str, Any]], None]) -> None:
    after = copy.deepcopy(template())
    change(after)

    assert localstack.not_applied(template(), PARAMETERS, after, PARAMETERS) == []


def test_parameters_that_only_set_variables_are_applied() -> None:
    wanted = PARAMETERS | {"LogLevel": "DEBUG", "DomainsEnabled": "air_quality"}

    assert localstack.not_applied(template(), PARAMETERS, template(), wanted) == []


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"RawShards": "2"}, ["RawStream"]),
        ({"Schedules": "DISABLED"}, ["ArchiveFunction.Events"]),
        ({"StreamTriggers": "Disabled"}, ["AggregateFunction.Events", "CleanFunction.Events"]),
    ],
)
def test_parameters_that_change_more_are_named_by_resource(wanted: dict[str, str], named: list[str]) -> None:
    assert localstack.not_applied(template(), PARAMETERS, template(), PARAMETERS | wanted) == named


def test_a_new_route_a_changed_queue_and_a_resource_that_goes_need_a_new_stack() -> None:
    after = copy.deepcopy(template())
    route = {"Type": "Api", "Properties": {"RestApiId": {"Ref": "Api"}, "Method": "GET", "Path": "/v1/new"}}
    after["Resources"]["QueryFunction"]["Properties"]["Events"]["New"] = route
    after["Resources"]["DeadLetters"]["Properties"]["MessageRetentionPeriod"] = 60
    del after["Resources"]["ServingTable"]

    named = localstack.not_applied(template(), PARAMETERS, after, PARAMETERS)

    assert named == ["DeadLetters", "QueryFunction.Events", "ServingTable (removed)"]
