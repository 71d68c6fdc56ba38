"""``levada --aws``: the tools on a stack on AWS, by whatever credentials and region the environment has (B24, B25)."""

from __future__ import annotations

import pytest

from levadactl.cli import main
from levadactl.errors import NotRunningError
from levadactl.places import AwsPlace, Place

OUTPUTS = {
    "DeadLettersUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/levada-dead-letters",
    "ApiUrl": "https://abc123.execute-api.eu-central-1.amazonaws.com/live",
    "ArchiveFunctionName": "levada-archive",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "LEVADA_STACK", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "s"), ("LEVADA_PLACE", "aws")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def test_clients_are_the_environments_and_go_to_aws() -> None:
    place = Place.current()

    assert isinstance(place, AwsPlace)
    endpoints = {service: place.client(service).meta.endpoint_url for service in ("s3", "kinesis", "lambda")}
    assert endpoints == {
        "s3": "https://s3.eu-central-1.amazonaws.com",
        "kinesis": "https://kinesis.eu-central-1.amazonaws.com",
        "lambda": "https://lambda.eu-central-1.amazonaws.com",
    }
    url = place.client("s3").generate_presigned_url("get_object", Params={"Bucket": "lake", "Key": "k"})
    assert "AKIATEST" in url


def test_what_is_deployed_is_named_as_the_stack_names_it() -> None:
    place = Place.current()
    vars(place)["outputs"] = OUTPUTS

    assert place.dead_letters_url == OUTPUTS["DeadLettersUrl"]
    assert place.api_url == OUTPUTS["ApiUrl"]
    assert place.function("archive") == "levada-archive"


def test_children_go_where_this_one_goes() -> None:
    assert Place.current().child_environment({"A": "1"}) == {"A": "1", "LEVADA_PLACE": "aws"}


def test_two_places_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")

    with pytest.raises(NotRunningError, match=r"--aws: AWS_ENDPOINT_URL=http://127\.0\.0\.1:4566 is set"):
        Place.current()


def test_another_place_than_aws_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVADA_PLACE", "moon")

    with pytest.raises(NotRunningError, match="LEVADA_PLACE='moon': must be aws, or not be set"):
        Place.current()


def test_the_option_says_so_for_one_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEVADA_PLACE", "")  # what the option sets is forgotten at the end
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")

    assert main(["--aws", "status"]) == 1
    assert "--aws: AWS_ENDPOINT_URL" in capsys.readouterr().err
