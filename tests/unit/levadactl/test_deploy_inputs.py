"""What a deploy sends: the same files give the same bytes, and the template says where the code is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from levada.core import native
from levadactl.deploy import read_parameters
from levadactl.embedded.templates import read_template, with_code, with_media_types
from levadactl.errors import StateError
from levadactl.packaging import code_zip
from tests.conftest import ROOT

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {CodeUri: functions/, Runtime: !Sub "python${Version}"}}
Conditions: {Chosen: !Equals [!Ref Switch, "yes"]}
Resources:
  Role: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17}}}
  CleanFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: makefile}
    Properties: {CodeUri: functions/, Role: !GetAtt Role.Arn, Enabled: !If [Chosen, true, false]}
"""


def package(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "levada" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_same_files_give_the_same_bytes_whatever_their_age_and_order(tmp_path: Path) -> None:
    one = package(tmp_path / "one", {"__init__.py": "", "core/keys.py": "x = 1\n"})
    two = package(tmp_path / "two", {"core/keys.py": "x = 1\n", "__init__.py": ""})
    os.utime(two / "levada" / "core" / "keys.py", (1, 1))

    assert code_zip(one) == code_zip(two)


def test_another_line_gives_other_bytes(tmp_path: Path) -> None:
    one = package(tmp_path / "one", {"__init__.py": ""})
    two = package(tmp_path / "two", {"__init__.py": "x = 1\n"})

    assert code_zip(one) != code_zip(two)


def test_only_the_package_goes_in_and_neither_caches_nor_c_nor_kernels_that_do_not_fit(tmp_path: Path) -> None:
    root = package(tmp_path, {"__init__.py": "", "__pycache__/x.pyc": "", "clean/handler.py": "", "py.typed": ""})
    package(
        tmp_path, {"core/native/rows.c": "", "core/native/kernels.h": "", "core/native/kernels-linux-x86_64.so": "?"}
    )
    (tmp_path / "Makefile").write_text("")

    with zipfile.ZipFile(io.BytesIO(code_zip(root))) as archive:
        assert archive.namelist() == ["levada/__init__.py", "levada/clean/handler.py", "levada/py.typed"]


def test_the_embedded_stack_gets_kernels_that_this_machine_can_load(tmp_path: Path) -> None:
    if native.library() is None:
        pytest.skip(f"{native.problem()}: make kernels")
    with zipfile.ZipFile(io.BytesIO(code_zip(ROOT / "functions"))) as archive:
        archive.extractall(tmp_path)
    program = "from levada.core import native; print(native.__file__, native.problem() or 'compiled')"

    command = [sys.executable, "-c", program]
    env = {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=env)

    assert ran.stdout.split() == [str(tmp_path / "levada" / "core" / "native" / "__init__.py"), "compiled"]


def test_an_empty_package_is_not_deployed(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no code to deploy"):
        code_zip(tmp_path)


def test_short_tags_become_long_forms(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)

    template = read_template(tmp_path / "template.yaml")

    assert template["Globals"]["Function"]["Runtime"] == {"Fn::Sub": "python${Version}"}
    assert template["Conditions"]["Chosen"] == {"Fn::Equals": [{"Ref": "Switch"}, "yes"]}
    properties = template["Resources"]["CleanFunction"]["Properties"]
    assert properties["Role"] == {"Fn::GetAtt": ["Role", "Arn"]}
    assert properties["Enabled"] == {"Fn::If": ["Chosen", True, False]}
    policy = template["Resources"]["Role"]["Properties"]["AssumeRolePolicyDocument"]
    assert policy["Version"] == "2012-10-17"


def test_every_code_uri_becomes_the_uploaded_object_and_the_original_stays(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    template = read_template(tmp_path / "template.yaml")

    made = with_code(template, "bucket", {"CleanFunction": "key.zip"})

    there = {"Bucket": "bucket", "Key": "key.zip"}
    assert "CodeUri" not in made["Globals"]["Function"]
    assert made["Resources"]["CleanFunction"]["Properties"]["CodeUri"] == there
    assert "Metadata" not in made["Resources"]["CleanFunction"]
    assert template["Globals"]["Function"]["CodeUri"] == "functions/"


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "does not exist"), ("a: [", "is not YAML"), ("a: 1", "no Resources"), ("", "no Resources")],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "template.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(StateError, match=says) as refusal:
        read_template(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parameters_are_one_object_of_strings(tmp_path: Path) -> None:
    path = tmp_path / "embedded.json"
    assert read_parameters(path) == {}
    path.write_text('{"RawShards": "3"}')
    assert read_parameters(path) == {"RawShards": "3"}
    for wrong in ("[]", '{"RawShards": 3}', "{"):
        path.write_text(wrong)
        with pytest.raises(StateError, match=r"embedded\.json"):
            read_parameters(path)


def test_binary_media_types_are_written_as_requests_name_them() -> None:
    given = {"Resources": {"Api": {"Properties": {"BinaryMediaTypes": ["text~1csv"]}}, "Bucket": {"Type": "x"}}}

    made = with_media_types(given)

    assert made["Resources"] == {"Api": {"Properties": {"BinaryMediaTypes": ["text/csv"]}}, "Bucket": {"Type": "x"}}
    assert given["Resources"]["Api"] == {"Properties": {"BinaryMediaTypes": ["text~1csv"]}}
