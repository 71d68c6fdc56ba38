"""Rows and records that clean refused: redriven once, however often that is repeated or interrupted (must-show 4)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.core import packs, redrive
from levada.core.checkpoint import Checkpoint
from levada.core.positions import PackFences
from levada.core.redrive import Root
from levada.ports import Entry
from levadactl.deadletters import judging, letters, listing
from levadactl.deadletters.ports import RedriveError
from levadactl.deadletters.sending import Choice
from levadactl.deadletters.sending import redrive as run
from tests.unit.deadletters.fakes import BROKEN, FIXED, Pipeline, ndjson, reading
from tests.unit.deadletters.steps import EVERYTHING, dry, outstanding, pack, redriven


def thousand(pipeline: Pipeline) -> None:
    """1,000 refused rows beside 500 good ones, in packs, arrays, lines and single records."""
    rows = [reading(n, good=n % 3 == 0) for n in range(1_500)]
    for n, start in enumerate(range(0, 1_200, 100)):
        pipeline.produce(pack(*rows[start : start + 100], n=n), key=f"lane-{n % 4}")
    pipeline.produce(json.dumps(rows[1_200:1_300]).encode(), ndjson(*rows[1_300:1_400]), key="array")
    pipeline.produce(*(json.dumps(row).encode() for row in rows[1_400:]), key="single")
    pipeline.run()


ALL = [float(n) for n in range(1_500)]


def test_a_thousand_rows_come_back_once_when_their_domain_is_fixed() -> None:
    pipeline = Pipeline(BROKEN)
    thousand(pipeline)
    assert len(outstanding(pipeline)) == 1_000
    pipeline.holds(*ALL[::3])
    before = dry(pipeline).letters
    assert (before.selected, before.passing, before.failing) == (1_000, 0, {"not_a_time": 1_000})
    pipeline.domains = FIXED
    assert dry(pipeline).letters.passing == 1_000
    assert len(outstanding(pipeline)) == 1_000, "a dry run changes nothing"

    report = redriven(pipeline)

    assert (report.letters.sent, report.letters.rows, report.letters.failing) == (1_000, 1_000, {})
    pipeline.holds(*ALL)
    assert not outstanding(pipeline)
    assert redriven(pipeline).letters.selected == 0
    pipeline.holds(*ALL)


@pytest.mark.parametrize(("calls", "known"), [(0, False), (1, False), (12, True)])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
def test_a_redrive_that_is_cut_short_and_repeated_is_exact(calls: int, known: bool, kind: type[BaseException]) -> None:
    pipeline = Pipeline(BROKEN)
    thousand(pipeline)
    pipeline.domains = FIXED
    pipeline.raw.fail_at, pipeline.raw.error = calls, kind("cut")
    with pytest.raises(kind):
        run(pipeline.ports, EVERYTHING, dry_run=False, rate=400)
    pipeline.run()
    sent = 1_000 - len(outstanding(pipeline))
    assert (0 < sent < 1_000) if known else not sent
    assert len(pipeline.silver()) > 500 + sent, "some are there that the ledger does not know of"

    report = redriven(pipeline)

    assert report.letters.sent == 1_000 - sent
    pipeline.holds(*ALL)
    assert not outstanding(pipeline)


def test_letters_whose_ledger_is_lost_are_sent_again_and_clean_knows_them() -> None:
    pipeline = Pipeline(BROKEN)
    thousand(pipeline)
    pipeline.domains = FIXED
    redriven(pipeline)
    pipeline.memory.blobs.delete([b.key for b in list(pipeline.memory.blobs.list("checkpoints/redrive/"))])

    assert redriven(pipeline).letters.sent == 1_000

    pipeline.holds(*ALL)


def test_after_the_fence_horizon_the_ledger_alone_holds() -> None:
    pipeline = Pipeline(BROKEN)
    thousand(pipeline)
    pipeline.domains = FIXED
    redriven(pipeline)
    assert any(known.applied(REDRIVEN) for known in fences(pipeline))
    pipeline.memory.clock.time_s += 100 * 3600
    for n in range(8):
        pipeline.produce(pack(reading(1_500 + n), source=f"later#{n:02d}"), key=f"lane-{n:02d}")
    pipeline.run()
    assert not any(known.applied(REDRIVEN) for known in fences(pipeline))

    assert redriven(pipeline).letters.selected == 0
    assert pipeline.silver() == [float(n) for n in range(1_508)]


REDRIVEN = "redrive1/file/sim#07@0"


def fences(pipeline: Pipeline) -> list[PackFences]:
    blobs = pipeline.memory.blobs
    saved = [blobs.get(b.key)[0] for b in blobs.list("checkpoints/clean/")]
    return [PackFences.from_bytes(Checkpoint.peek(body)["fences"]) for body in saved]


def test_a_row_that_fails_again_goes_back_to_its_root_and_comes_with_the_next_attempt() -> None:
    """The command line believed the domain to be fixed, and what was deployed was not."""
    pipeline = Pipeline(BROKEN)
    pipeline.produce(pack(reading(1), reading(2, good=False), n=4))
    pipeline.run()
    pipeline.domains = FIXED
    ports = pipeline.ports
    pipeline.domains = BROKEN
    run(ports, EVERYTHING, dry_run=False)
    pipeline.run()

    (again,) = outstanding(pipeline)

    assert again.source == "redrive1/file/sim#07@4"
    assert again.root == Root("file/sim#07", 4, 1, 1)
    assert listing.show(pipeline.ports, again.id)["redriven"] == 1
    pipeline.domains = FIXED
    redriven(pipeline)
    pipeline.holds(1, 2)
    sources = {packs.split(r.data)[0].source for shard in pipeline.raw.shards for r in shard}
    assert "redrive2/file/sim#07@4" in sources


@pytest.mark.parametrize(
    "body",
    [
        pack(*(reading(n) for n in range(5))),
        ndjson(*(reading(n) for n in range(5))),
        json.dumps([reading(n) for n in range(5)], indent=2).encode(),
    ],
    ids=["pack", "lines", "array"],
)
def test_a_whole_record_of_a_domain_that_was_not_enabled_comes_back_with_all_its_rows(body: bytes) -> None:
    pipeline = Pipeline({})
    pipeline.produce(body)
    pipeline.run()
    (letter,) = outstanding(pipeline)
    assert (letter.reason, letter.whole) == ("unknown_domain", True)
    assert dry(pipeline).letters.failing == {"unknown_domain": 1}
    pipeline.domains = FIXED

    report = redriven(pipeline)

    assert (report.letters.sent, report.letters.rows) == (1, 5)
    pipeline.holds(0, 1, 2, 3, 4)
    assert redriven(pipeline).letters.selected == 0


def test_rows_of_a_redriven_record_that_are_bad_come_back_alone() -> None:
    pipeline = Pipeline({})
    pipeline.produce(pack(reading(0), reading(1, good=False), reading(2)), ndjson(reading(3, good=False), reading(4)))
    pipeline.run()
    pipeline.domains = BROKEN

    report = redriven(pipeline)

    assert (report.letters.sent, report.letters.rows, report.letters.refused_rows) == (2, 3, {"not_a_time": 2})
    roots = [letter.root for letter in outstanding(pipeline)]
    assert sorted((root.source[-2:], root.row, root.attempt) for root in roots) == [("02", 0, 1), ("07", 1, 1)]
    pipeline.domains = FIXED
    redriven(pipeline)
    pipeline.holds(0, 1, 2, 3, 4)


def test_what_can_never_be_read_stays_and_says_why() -> None:
    pipeline = Pipeline(FIXED)
    bad_header = packs.MAGIC + b'{"v":9}\nbody'
    pipeline.produce(bad_header, b"\xff\xfe", pack(reading(1), reading(2, a="x")))
    pipeline.run()

    report = redriven(pipeline)

    assert report.letters.sent == 0
    assert report.letters.failing == {"pack_header": 1, "not_json": 1, "not_a_number": 1}
    assert len(outstanding(pipeline)) == 3
    pipeline.holds(1)


def test_a_choice_by_reason_domain_and_id_takes_just_those() -> None:
    pipeline = Pipeline(FIXED)
    pipeline.produce(pack(reading(1, a="x"), reading(2, t="never"), reading(3, t="never")))
    pipeline.run()
    one = outstanding(pipeline)[0]

    assert dry(pipeline, Choice(reason="not_a_time")).letters.selected == 2
    assert dry(pipeline, Choice(reason="not_a_time", domain="other")).letters.selected == 0
    assert dry(pipeline, Choice(domain="sim")).letters.selected == 3
    assert dry(pipeline, Choice(id=one.id[:8])).letters.selected == 1


def test_the_rate_is_kept() -> None:
    pipeline = Pipeline(BROKEN)
    thousand(pipeline)
    pipeline.domains = FIXED
    began_s = pipeline.memory.clock.now_s()

    redriven(pipeline, rate=50)

    assert pipeline.memory.clock.now_s() - began_s == pytest.approx(1_000 / 50)


def test_ls_groups_and_show_prints_what_is_known() -> None:
    pipeline = Pipeline(BROKEN)
    pipeline.produce(
        pack(reading(1), reading(2, good=False), reading(3, good=False), trace="1-2"), packs.MAGIC + b"\xff\n", key="x"
    )
    pipeline.run()

    found = listing.overview(pipeline.ports)

    groups = {(g["stage"], g["domain"], g["reason"]): g["count"] for g in found["groups"]}
    assert groups == {("clean", "sim", "not_a_time"): 2, ("clean", "__unknown__", "pack_header"): 1}
    group = next(g for g in found["groups"] if g["domain"] == "sim")
    shown = listing.show(pipeline.ports, group["example"]["id"][:10])
    assert (shown["state"], shown["reason"], shown["trace"]) == ("outstanding", "not_a_time", "1-2")
    assert (shown["source"], shown["position"], shown["row"]) == ("file/sim#07", 0, 1)
    assert json.loads(shown["payload"])["a"] == 2
    broken = next(one for one in letters.read(pipeline.memory.blobs) if one.reason == "pack_header")
    assert listing.show(pipeline.ports, broken.id)["payload_hex"] == (packs.MAGIC + b"\xff\n").hex()
    with pytest.raises(RedriveError, match="levada dlq ls"):
        listing.show(pipeline.ports, "nothing")
    with pytest.raises(RedriveError, match="begin with it"):
        listing.show(pipeline.ports, "")


@given(st.text(max_size=20), st.integers(0, 10**9), st.integers(0, 10**6), st.integers(1, 5), st.booleans())
def test_the_root_survives_any_number_of_attempts(source: str, n: int, row: int, times: int, whole: bool) -> None:
    root = Root(source, n, row, 0) if redrive.root_of(source, n, row).attempt == 0 else Root("s", n, row, 0)
    for attempt_ in range(1, times + 1):
        travels = redrive.source_of(redrive.root_of(*_stands(root, attempt_ - 1, whole=whole)))
        assert redrive.root_of(travels, row, 0) == Root(root.source, root.position, row, attempt_)
        assert redrive.root_of(travels, 0, row) == Root(root.source, root.position, row, attempt_)


def _stands(root: Root, attempt_: int, *, whole: bool) -> tuple[str, int, int]:
    if not attempt_:
        return root.source, root.position, root.row
    source = f"redrive{attempt_}/{root.source}@{root.position}"
    return (source, 0, root.row) if whole else (source, root.row, 0)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["good", "bad time", "never"]), min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_any_mix_of_forms_and_of_good_and_bad_rows_ends_exact(kinds: list[str], size: int, data: st.DataObject) -> None:
    rows = [
        reading(n, good=kind != "bad time") | ({"t": "?"} if kind == "never" else {}) for n, kind in enumerate(kinds)
    ]
    pipeline = Pipeline(data.draw(st.sampled_from([BROKEN, {}])))
    n = 0
    while n < len(rows):
        some = rows[n : n + data.draw(st.integers(1, 4))]
        form = data.draw(st.sampled_from(["pack", "array", "lines"]))
        body = {"pack": pack(*some, n=n), "array": json.dumps(some, indent=1).encode(), "lines": ndjson(*some)}[form]
        pipeline.raw.put([Entry(f"key-{n % 3}", body)])
        n += len(some)
    pipeline.run(size)
    if data.draw(st.booleans()):
        pipeline.domains = BROKEN
        redriven(pipeline)
    pipeline.domains = FIXED
    for _ in range(3):
        redriven(pipeline)

    pipeline.holds(*(float(i) for i, kind in enumerate(kinds) if kind != "never"))
    left = judging.letters(outstanding(pipeline), pipeline.ports.rules)
    assert sum(sum(verdict.refused.values()) for _, verdict in left) == kinds.count("never")
