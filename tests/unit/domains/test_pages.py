"""The pages of the docs say what the declarations say."""

from __future__ import annotations

from pathlib import Path

from levadactl import domain_pages
from tests.conftest import ROOT


def test_every_page_is_as_its_declaration_says() -> None:
    assert domain_pages.differences(ROOT / domain_pages.FOLDER) == [], "run: levada domain docs"


def test_a_page_that_was_edited_or_is_nobodys_is_noticed_and_mended(tmp_path: Path) -> None:
    domain_pages.write(tmp_path)
    (tmp_path / "jobs.md").write_text("else")
    (tmp_path / "weather.md").write_text("gone")

    assert domain_pages.write(tmp_path) == ["jobs.md", "weather.md"]
    assert domain_pages.differences(tmp_path) == []
