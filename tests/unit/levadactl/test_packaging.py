"""Whole artifacts: one per dependency group, the same bytes for the same input, and a failed build by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from levadactl import packaging
from levadactl.errors import StateError

MAKEFILE = """
GROUP_CleanFunction = columnar
GROUP_IngestFilesFunction = columnar
GROUP_QueryFunction = base
build-%:
\t@[ "$*" != QueryFunction ] || [ "$(LAMBDA_PYTHON)" != 3.10 ] || { echo "no lock for Python 3.10" >&2; exit 1; }
\t@mkdir -p "$(ARTIFACTS_DIR)/dependency" && cp -r levada "$(ARTIFACTS_DIR)/"
\t@echo "$(LAMBDA_PYTHON) $(LAMBDA_ARCH)" > "$(ARTIFACTS_DIR)/dependency/target.txt"
\t@touch "$(ARTIFACTS_DIR)/$(GROUP_$*).py"
"""
UNCOMPILED = """
\t@echo "kernels: not compiled, no ziglang"; echo "something else"
"""
NAMES = ("CleanFunction", "IngestFilesFunction", "QueryFunction")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {"Makefile": MAKEFILE, "prune.py": "", "levada/__init__.py": "", "levada/clean.py": "x = 1\n"}
    files |= {f"requirements/{group}.txt": "" for group in ("base", "columnar")}
    for name, text in files.items():
        path = tmp_path / "functions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def build(project: Path, python: str = "3.12") -> packaging.Code:
    return packaging.artifacts(project, NAMES, python=python, architecture="arm64", on_step=lambda _: None)


def test_functions_of_one_group_share_an_artifact_of_code_and_dependencies(project: Path, tmp_path: Path) -> None:
    made = build(project)

    assert made.keys["CleanFunction"] == made.keys["IngestFilesFunction"] != made.keys["QueryFunction"]
    assert set(made.objects) == set(made.keys.values())
    (tmp_path / "x.zip").write_bytes(made.objects[made.keys["CleanFunction"]]())
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["columnar.py", "dependency/target.txt", "levada/__init__.py", "levada/clean.py"]
        assert archive.read("dependency/target.txt") == b"3.12 arm64\n"


def test_the_same_input_gives_the_same_bytes_and_another_line_gives_others(project: Path) -> None:
    first, second = build(project), build(project)
    (project / "functions" / "levada" / "clean.py").write_text("x = 2\n")
    third = build(project)

    assert first.keys == second.keys
    assert first.sha256 == second.sha256 != third.sha256
    assert not set(first.keys.values()) & set(third.keys.values())


def test_a_build_that_fails_says_which_function_and_why(project: Path) -> None:
    (project / "functions" / "requirements" / "py311").mkdir()

    with pytest.raises(StateError, match=r"QueryFunction cannot be built: no lock for Python 3\.10"):
        build(project, "3.10")


def test_a_build_without_kernels_is_said(project: Path) -> None:
    makefile = project / "functions" / "Makefile"
    makefile.write_text(MAKEFILE.rstrip("\n") + UNCOMPILED)
    steps: list[str] = []
    packaging.artifacts(project, NAMES[:1], python="3.12", architecture="arm64", on_step=steps.append)

    assert steps == ["building columnar for python3.12 arm64", "kernels: not compiled, no ziglang"]


def test_a_function_without_a_group_is_named(project: Path) -> None:
    with pytest.raises(StateError, match="add GROUP_NewFunction"):
        packaging.artifacts(project, ["NewFunction"], python="3.12", architecture="arm64", on_step=lambda _: None)
