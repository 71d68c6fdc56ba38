"""Files as they are found in the wild, through the embedded stack: other dialects, broken lines, the same one again."""

from __future__ import annotations

from pathlib import Path

import pytest

from levadactl import generate
from levadactl.loading import Lake
from levadactl.places import Place
from tests.stack.dialects import commas_quotes_and_bom, dashes_iso_times_and_points, line_feeds
from tests.stack.loads import DOMAIN, canonical, load, rows_of

pytestmark = pytest.mark.stack


@pytest.mark.slow
def test_other_dialects_of_the_published_file_give_the_same_canonical_values(
    embedded_stack: Place, air_quality_file: Path, tmp_path: Path
) -> None:
    """B8, B14."""
    text = air_quality_file.read_bytes().decode("ascii")
    copies = [air_quality_file]
    for dialect in (commas_quotes_and_bom, dashes_iso_times_and_points, line_feeds):
        copies.append(tmp_path / f"{dialect.__name__}.csv")
        copies[-1].write_bytes(dialect(text))
    for copy in copies:
        counts = load(embedded_stack, copy)["counts"]
        assert (counts["rows_read"], counts["bad_rows"]) == (9357, 0), copy.name

    published, *others = (canonical(rows) for rows in rows_of(embedded_stack, copies))

    assert published.num_rows == 121_641
    for copy, other in zip(copies[1:], others, strict=True):
        assert other.equals(published), copy.name


def test_a_file_with_broken_lines_loses_nothing(embedded_stack: Place, tmp_path: Path) -> None:
    """B24: the bad lines are in quarantine with payload, reason and position, the good ones in silver."""
    path = tmp_path / "broken.csv"
    wrote = generate.write(path, n=400, seed=11, bad=0.05)
    assert all(wrote.bad[kind] > 0 for kind in generate.BAD_KINDS)

    counts = load(embedded_stack, path)["counts"]

    lines = path.read_bytes().count(b"\n")
    assert counts["lines"] == lines == 1 + counts["rows_read"] + counts["bad_rows"] + counts["empty_rows"]
    assert counts["bad_rows"] == wrote.bad["too_few_fields"]
    assert counts["empty_rows"] == wrote.empty
    (silver,) = rows_of(embedded_stack, [path])
    refused = rows_of(embedded_stack, [path], "quarantine/stage=clean/")[0].to_pylist()
    assert silver.num_rows == wrote.good * 13
    assert [(row["line"], row["reason"]) for row in sorted(refused, key=lambda row: row["line"])] == [
        (line, reason) for line, reason, _ in wrote.bad_lines
    ]
    texts = {line: text for line, _, text in wrote.bad_lines}
    for row in refused:
        assert row["position"] is not None
        assert row["shard"]
        assert row["sequence"]
        if row["reason"] == "too_few_fields":
            assert row["payload"].decode() == texts[row["line"]]
        else:  # a row that was split already is kept column by column
            assert texts[row["line"]].split(";")[0] in row["payload"].decode()


def test_the_same_content_under_another_name_changes_a_counter_only(embedded_stack: Place, tmp_path: Path) -> None:
    path = tmp_path / "once.csv"
    generate.write(path, n=300, seed=12)
    first = load(embedded_stack, path)
    lake = Lake.of(embedded_stack)
    before = (lake.counters("clean")[DOMAIN], lake.counters("aggregate")[DOMAIN], _data_objects(lake))

    second = load(embedded_stack, path, name="another-name.csv")

    assert (first["duplicates"], second["duplicates"]) == (0, 1)
    assert second["names"] == [f"landing/{DOMAIN}/once.csv", f"landing/{DOMAIN}/another-name.csv"]
    assert second["counts"] == first["counts"]
    assert (lake.counters("clean")[DOMAIN], lake.counters("aggregate")[DOMAIN], _data_objects(lake)) == before


def _data_objects(lake: Lake) -> dict[str, str]:
    layers = ("bronze/", "silver/", "gold/", "quarantine/")
    return {blob.key: blob.etag for layer in layers for blob in lake.blobs.list(layer)}
