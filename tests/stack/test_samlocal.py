"""Every event file under ``sam local invoke``, in a container, and the HTTP functions under ``sam local start-api``.

Needs a SAM CLI on the PATH, a container engine with an image of the built Python, and a build: make test-samlocal.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from levadactl import cases, embedded, events
from levadactl.case import Case
from levadactl.embedded import ports
from levadactl.loading import Lake, Streams, close_idle_windows
from levadactl.places import Place, wait_until
from tests.conftest import ROOT

pytestmark = pytest.mark.samlocal
BUILD = ROOT / ".aws-sam"
INVOKE_S = 180


@pytest.fixture(scope="module")
def sam() -> list[str]:
    """The SAM CLI with a container engine behind it; skips where one of them is missing."""
    found = shutil.which("sam")
    if found is None:
        pytest.skip("there is no `sam` on the PATH")
    if not (BUILD / "build.toml").is_file():
        pytest.skip("nothing is built: make build PYTHON_VERSION=<a version whose image the engine has>")
    engine = subprocess.run(["docker", "version"], capture_output=True, check=False).returncode if docker() else 1
    if engine != 0:
        pytest.skip("no container engine answers `docker version`")
    return [found]


def docker() -> str | None:
    return shutil.which("docker")


@pytest.fixture(scope="module")
def overrides() -> list[str]:
    """Template parameters for the Python that was built."""
    graph = tomllib.loads((BUILD / "build.toml").read_text())
    (runtime,) = {one["runtime"] for one in graph["function_build_definitions"].values()}
    return ["--parameter-overrides", f"PythonVersion={runtime.removeprefix('python')}"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An embedded stack that containers reach; it holds the files that events name."""
    folder = tmp_path_factory.mktemp("containers")
    started = embedded.start(
        folder=folder, port=ports.choose(), for_containers=True, parameters={"Schedules": "DISABLED"}
    )
    try:
        put_landed(started.place)
        yield started.place
    finally:
        embedded.stop(folder)


def put_landed(place: Place) -> None:
    for case in cases.CASES:
        for record in case.build().get("Records", []):
            key = record.get("s3", {}).get("object", {}).get("key", "").replace("+", " ").replace("%C3%BC", "ü")
            body = cases.landed(key) if case.function == "IngestFilesFunction" else None
            if body is not None:
                place.client("s3").put_object(Bucket=place.bucket, Key=key, Body=body)


def environment() -> dict[str, str]:
    """Without credentials, SAM does not ask STS for the account; MiniStack takes any."""
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def invoke(sam: list[str], overrides: list[str], case: Case, env_file: Path) -> Any:
    """The function's answer; what stands in its place when it fails is an object with ``errorType``."""
    command = [*sam, "local", "invoke", case.function, "-e", f"events/{case.path}", "--env-vars", str(env_file)]
    done = subprocess.run(
        [*command, *overrides],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=INVOKE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("{", "[", "null"))]
    assert lines, done.stderr
    return json.loads(lines[-1])


def check(case: Case, answer: Any) -> None:
    assert answer.get("errorType", "") == case.error, answer
    if "statusCode" in answer:
        assert answer["statusCode"] < 500, answer


@pytest.mark.parametrize("case", [one for one in cases.CASES if one.alone], ids=lambda one: one.path)
def test_an_event_that_needs_nothing_runs_with_nothing_there(
    sam: list[str], overrides: list[str], case: Case, tmp_path: Path
) -> None:
    """The file that samconfig.toml names points to a port where nobody listens now, and that does not matter."""
    variables = json.loads((ROOT / "infra" / "sam-local" / "env.json").read_text())
    variables["Parameters"]["AWS_ENDPOINT_URL"] = "http://host.docker.internal:9"
    (tmp_path / "env.json").write_text(json.dumps(variables))

    check(case, invoke(sam, overrides, case, tmp_path / "env.json"))


@pytest.mark.parametrize("case", [one for one in cases.CASES if not one.alone], ids=lambda one: one.path)
def test_an_event_runs_against_the_stack_on_the_host(
    sam: list[str], overrides: list[str], stack: Place, case: Case
) -> None:
    assert stack.state is not None

    check(case, invoke(sam, overrides, case, stack.state / "sam-env.json"))


@contextmanager
def start_api(sam: list[str], overrides: list[str], env_file: Path, log: Path) -> Iterator[str]:
    port = ports.choose()
    command = [*sam, "local", "start-api", "--port", str(port), "--env-vars", str(env_file), *overrides]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out, stderr=out)
        try:
            assert wait_until(lambda: not ports.is_free(port) or process.poll() is not None, 60), log.read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def ask(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    request = Request(url, body, {"Content-Type": "application/json"} if body else {})  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=INVOKE_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as err:
        return err.code, json.loads(err.read() or b"null")
    except URLError as err:
        raise AssertionError(f"{url}: {err}") from err


def test_start_api_serves_the_http_functions(
    sam: list[str], overrides: list[str], stack: Place, tmp_path: Path
) -> None:
    assert stack.state is not None
    rows = events.compact([events.row(i, Date="1990-05-01") for i in range(3)])
    with start_api(sam, overrides, stack.state / "sam-env.json", tmp_path / "api.log") as url:
        status, health = ask(f"{url}/healthz")
        assert (status, health["status"]) == (200, "ok")
        status, posted = ask(f"{url}/v1/events/batch", rows)
        assert (status, posted["success"], posted["failed"]) == (200, 3, 0)

        query = "/v1/windows?domain=air_quality&metric=co&since=1990-05-01&until=1990-05-02"
        assert ask(url + query)[0] == 200
        assert wait_until(Streams(stack, Lake.of(stack)).settled, 60)
        close_idle_windows(stack)
        status, windows = ask(url + query)
        assert (status, [one["count"] for one in windows["windows"]]) == (200, [1, 1, 1])
        assert ask(f"{url}/v1/windows?since=yesterday&domain=air_quality")[0] == 422
