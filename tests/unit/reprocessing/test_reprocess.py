"""``levada reprocess`` (D22, B25): days made anew from bronze by the code that is here, with a diff before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from levada.core import editions, keys, packs, redrive
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.redrive import Root
from levada.domains.air_quality import AIR_QUALITY
from levada.query.windows import served_windows
from levadactl import events
from levadactl.deadletters import standing
from levadactl.loading import Lake
from levadactl.memory import MemoryBlobStore, MemoryDeps
from levadactl.reprocessing.ports import Days, ReprocessError
from levadactl.reprocessing.run import reprocess
from tests.unit.reprocessing.world import (
    EVERYTHING,
    TIGHTER,
    anew,
    close,
    load,
    looked,
    must_be_exact,
    ports,
    quietly,
    settle,
    with_co_up_to,
)
from tests.unit.tools import pipeline

NAME = AIR_QUALITY.name
ROWS = 60
DAY_S = 86_400


def objects(memory: MemoryDeps) -> dict[str, bytes]:
    return dict(memory.blobs.objects)


def test_the_same_code_makes_the_same_and_nothing_is_written(memory: MemoryDeps) -> None:
    found = load(memory)
    before, items = objects(memory), dict(memory.serving.items)

    report = anew(memory, AIR_QUALITY)

    assert (report.differing, report.applied, report.left) == ([], [], {})
    assert report.to_json()["windows"] == {"windows": 780, "same": 780, "changed": 0, "added": 0, "removed": 0}
    assert (objects(memory), memory.serving.items) == (before, items)
    must_be_exact(found, AIR_QUALITY)


def test_what_would_differ_is_told_before_anything_is_changed(memory: MemoryDeps) -> None:
    load(memory)
    before = objects(memory)

    told = looked(memory).to_json()

    changed = told["windows"]["changed"]
    assert changed > 5
    assert told["metrics"] == {"co": changed}
    assert told["statistics"]["count"] == told["statistics"]["missing"] == changed
    assert told["rows"]["before"] == told["rows"]["after"] == {"silver": 780}
    assert told["examples"][0]["kind"] == "changed"
    assert (told["examples"][0]["before"]["count"], told["examples"][0]["after"]["count"]) == (1, 0)
    assert objects(memory) == before


def test_applied_everybody_reads_what_the_new_code_makes_and_again_there_is_nothing_to_do(memory: MemoryDeps) -> None:
    found = load(memory)

    report = anew(memory)

    assert report.applied == [day.date for day in report.differing]
    must_be_exact(found, TIGHTER)
    after = objects(memory)
    again = anew(memory)
    assert (again.differing, again.applied) == ([], [])
    assert objects(memory) == after


def test_and_back_again(memory: MemoryDeps) -> None:
    found = load(memory)
    anew(memory)
    anew(memory, with_co_up_to(1.0))

    anew(memory, AIR_QUALITY)

    must_be_exact(found, AIR_QUALITY)


def test_only_the_days_that_were_asked_for(memory: MemoryDeps) -> None:
    load(memory)
    wanted = Days.touched(1_078_963_200_000_000, 1_079_049_600_000_000)  # 11 March 2004

    report = anew(memory, days=wanted)

    assert report.applied == ["2004-03-11"]
    assert "2004-03-11" not in [day.date for day in looked(memory).differing]
    assert looked(memory).differing


def test_other_windows_replace_all_that_there_were(memory: MemoryDeps) -> None:
    found, other = load(memory), replace(AIR_QUALITY, window_s=1800)

    report = anew(memory, other)

    assert report.to_json()["windows"] == {"windows": 780, "same": 0, "changed": 0, "added": 780, "removed": 780}
    served = served_windows(memory.serving, NAME, "default")
    assert served["width_s"].unique().to_pylist() == [1800]
    must_be_exact(found, other)


def test_series_that_are_no_more_are_served_no_more(memory: MemoryDeps) -> None:
    found = load(memory)
    fewer = replace(AIR_QUALITY, metrics={k: v for k, v in AIR_QUALITY.metrics.items() if k != "CO(GT)"})

    anew(memory, fewer)

    assert "co" not in served_windows(memory.serving, NAME, "default")["metric"].to_pylist()
    must_be_exact(found, fewer)


def test_what_comes_after_it_is_merged_with_it(memory: MemoryDeps) -> None:
    """A day that was made anew is no other day for the rows that come late."""
    load(memory)
    anew(memory)

    settle(memory, late_row(1.5))

    windows = served_windows(memory.serving, NAME, "default", metric="co").to_pylist()
    twice = [w for w in windows if w["count"] + w["missing"] == 2]
    assert [w["revisions"] for w in twice] == [2]
    assert twice[0]["max"] >= 1.5
    report = looked(memory)
    assert report.differing == []
    must_be_exact(Lake(memory.blobs, memory.serving), TIGHTER)


def late_row(co: float) -> list[bytes]:
    """Packs of one row, of a time that the generated file has too."""
    head, *lines = pipeline.generated(10).splitlines()
    line = lines[-1].split(";")
    line[2] = str(co).replace(".", ",")
    return pipeline.file_packs("\r\n".join([head, ";".join(line)]) + "\r\n", source="file/late")


def test_late_rows_stay_counted_as_late(memory: MemoryDeps) -> None:
    load(memory)
    settle(memory, late_row(1.5))

    anew(memory)

    assert sum(served_windows(memory.serving, NAME, "default")["late"].to_pylist()) == 13


def test_an_emission_that_is_repeated_by_who_slept_through_it_is_not_read(memory: MemoryDeps) -> None:
    """The shard's checkpoint still holds what it emitted last: whoever starts anew repeats it unless it is there."""
    found = load(memory)
    before = {key: body for key, body in objects(memory).items() if key.startswith("gold/")}
    items = dict(memory.serving.items)
    anew(memory)

    memory.blobs.objects |= {key: body for key, body in before.items() if key not in memory.blobs.objects}
    memory.serving.items |= {key: item for key, item in items.items() if key not in memory.serving.items}

    must_be_exact(found, TIGHTER)


def test_the_last_emission_of_a_shard_is_not_repeated(memory: MemoryDeps) -> None:
    found = load(memory)
    anew(memory)
    gold = {key for key in memory.blobs.objects if key.startswith("gold/")}

    close()  # a process that knows nothing asks whether the last emission is out

    assert {key for key in memory.blobs.objects if key.startswith("gold/")} == gold
    must_be_exact(found, TIGHTER)


def test_what_was_replaced_is_deleted_but_for_the_mark_of_the_last_emission(memory: MemoryDeps) -> None:
    load(memory)
    report = anew(memory)

    for date in report.applied:
        edition, _ = editions.load(memory.blobs, NAME, date)
        silver = [blob.key for blob in memory.blobs.list(keys.day_prefix("silver", NAME, date))]
        assert set(silver) <= edition.objects
        gold = [blob.key for blob in memory.blobs.list(keys.day_prefix("gold", NAME, date))]
        for key in set(gold) - edition.objects:
            token, generation = editions.emission_of(key)
            assert edition.gold[token] == generation


def test_rows_that_were_refused_and_pass_now_are_no_dead_letters_any_more(memory: MemoryDeps) -> None:
    settle(memory, [events.ndjson_pack([events.row(), TWENTY_MINUTES_AHEAD])])
    assert [letter.reason for letter in standing.survey(memory.blobs).outstanding] == ["future_time"]

    report = anew(memory, LENIENT)

    assert report.to_json()["windows"]["added"] == 13
    assert standing.survey(memory.blobs).outstanding == []


TWENTY_MINUTES_AHEAD = events.row(Date="2026-01-01", Time="00:20:00")
"""Of its arrival; ten are allowed."""
LENIENT = replace(AIR_QUALITY, skew_s=3600)


def redriven(source: str, position: int, *, row: int) -> bytes:
    """The refused row of a root as ``levada dlq redrive`` sends it again."""
    header = Header(
        domain=NAME,
        tenant="default",
        source=redrive.source_of(Root(source, position, row, 0)),
        position=row,
        count=1,
        codec=NDJSON_GZIP,
    )
    return packs.encode(header, events.stored_gzip(events.compact(TWENTY_MINUTES_AHEAD)))


def test_a_dead_letter_that_was_sent_again_counts_once_whoever_can_read_it(memory: MemoryDeps) -> None:
    """The root's rows are judged anew; the redriven copy of one counts only where the root's is refused still."""
    root = events.ndjson_pack([events.row(), TWENTY_MINUTES_AHEAD], source="http/a")
    again = redriven(f"http/a#{events.lane():02d}", 0, row=1)
    settle(memory, [root])
    memory.clock.time_s += 7200
    found = settle(memory, [again])
    must_be_exact(found, AIR_QUALITY)

    assert looked(memory, AIR_QUALITY).differing == []
    (day,) = anew(memory, LENIENT).differing  # the same rows under the name of the root

    assert (day.date, day.windows, day.same) == ("2026-01-01", 13, 13)
    must_be_exact(found, LENIENT)


def test_a_redriven_plain_record_counts_once_too(memory: MemoryDeps) -> None:
    pipeline.clean(memory, [events.compact(TWENTY_MINUTES_AHEAD), events.compact(events.row())])
    (letter,) = standing.survey(memory.blobs).outstanding
    memory.clock.time_s += 7200
    found = settle(memory, [redriven(letter.source, 0, row=0)])

    assert looked(memory, AIR_QUALITY).differing == []
    anew(memory, LENIENT)

    assert sum(served_windows(memory.serving, NAME, "default", metric="co")["count"].to_pylist()) == 2
    assert found is not None


def test_changes_other_than_those_that_were_looked_at_are_refused(memory: MemoryDeps) -> None:
    load(memory)
    looked_at = looked(memory).digest
    before = objects(memory)

    with pytest.raises(ReprocessError, match=r"--expect .*: the changes are .* now"):
        anew(memory, with_co_up_to(1.0), expected=looked_at)

    assert objects(memory) == before
    assert anew(memory, expected=looked_at).applied


def test_days_with_open_windows_are_left_alone_and_named(memory: MemoryDeps) -> None:
    pipeline.run(memory, pipeline.file_packs(pipeline.generated(ROWS)))

    report = anew(memory)

    assert report.left == {"2004-03-13": "26 windows are still open"}
    assert report.applied == ["2004-03-10", "2004-03-11", "2004-03-12"]


def test_rows_that_aggregate_has_not_applied_are_waited_for(memory: MemoryDeps) -> None:
    load(memory)
    pipeline.clean(memory, pipeline.file_packs(pipeline.generated(3, 7), source="file/7"))

    with pytest.raises(ReprocessError, match="aggregate has not applied all that clean handed on, 1 lanes are behind"):
        looked(memory)


def test_records_of_an_attempt_that_is_not_committed_keep_a_day_unsettled(memory: MemoryDeps) -> None:
    load(memory)
    state = {key: body for key, body in objects(memory).items() if key.startswith("checkpoints/clean/")}
    sent = len(memory.clean.entries)
    pipeline.clean(memory, pipeline.file_packs(pipeline.generated(3, 7), source="file/7"))
    memory.blobs.objects |= state  # the attempt was cut short before its commit
    del memory.clean.entries[sent:]

    report = looked(memory)

    assert report.left == {"2004-03-10": "1 objects hold rows that came just now"}


def test_dead_letters_come_first(memory: MemoryDeps) -> None:
    load(memory)

    with pytest.raises(ReprocessError, match="1 discarded batch"):
        reprocess(ports(memory, waiting=lambda: "1 discarded batch"), EVERYTHING, quietly)


def test_nothing_is_made_from_less_than_it_was(memory: MemoryDeps) -> None:
    load(memory)
    arrived = next(blob.key for blob in memory.blobs.list("bronze/")).split("date=")[1][:10]
    gone = f'{{"v":1,"gone":{{"{arrived}":[]}}}}'.encode()
    memory.blobs.objects[keys.retention_ledger("bronze", NAME)] = gone

    report = anew(memory)

    assert report.applied == []
    assert all("retention has taken bronze" in why for why in report.left.values())
    assert list(report.left) == ["2004-03-10", "2004-03-11", "2004-03-12", "2004-03-13"]


def test_a_rollup_that_holds_gold_which_is_gone_asks_for_its_day_too(memory: MemoryDeps) -> None:
    found = load(memory)
    for blob in list(memory.blobs.list(keys.day_prefix("gold", NAME, "2004-03-10"))):
        memory.blobs.delete([blob.key])
    for blob in list(memory.blobs.list(keys.day_prefix("silver", NAME, "2004-03-10"))):
        memory.blobs.delete([blob.key])
    wanted = Days.touched(1_078_963_200_000_000, None)  # from 11 March 2004 on

    report = anew(memory, days=wanted)

    assert report.applied == []
    assert "holds gold of 2004-03-10 that retention has taken" in report.left["2004-03-11"]
    assert anew(memory).left == {}
    must_be_exact(found, TIGHTER)


def test_somebody_else_at_the_same_day_is_noticed(memory: MemoryDeps) -> None:
    load(memory)

    class Overtaken(MemoryBlobStore):
        def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
            if key.startswith("checkpoints/editions/") and not any(self.list("checkpoints/editions/")):
                anew(memory, with_co_up_to(1.0))
            return super().put_if(key, body, etag=etag)

    other = Overtaken()
    other.objects, other.modified_s = memory.blobs.objects, memory.blobs.modified_s

    with pytest.raises(ReprocessError, match="somebody else has made it anew meanwhile"):
        reprocess(ports(memory, blobs=other), EVERYTHING, quietly, apply=True)

    must_be_exact(Lake(memory.blobs, memory.serving), with_co_up_to(1.0))


def test_days_must_follow_each_other() -> None:
    with pytest.raises(ReprocessError, match="--until"):
        Days.touched(DAY_S * 1_000_000, 0)
