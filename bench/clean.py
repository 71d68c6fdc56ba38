"""``python -m bench.clean``: the clean stage beside the usual handler and the bare limit. JSON on stdout."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from typing import Any

from bench import harness

harness.hide_pandas()

from bench import stage_costs, subjects  # noqa: E402  # pyarrow must not see pandas


def main(argv: list[str] | None = None) -> int:
    options = _options(argv)
    if options.memory_of:
        print(json.dumps(_memory(options.memory_of, options)))
        return 0
    if options.batches_of:
        print(json.dumps(stage_costs.memory_over_batches(options.batches_of, options.events)))
        return 0
    report = _report(options)
    if options.json:
        print(json.dumps(report, indent=2))
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.clean", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="a batch; single-event records: as many as fit 6 MB")
    parser.add_argument("--repeats", type=int, default=15, help="rounds; in each every subject runs once")
    parser.add_argument("--bad", type=float, default=0.01, help="share of bad events")
    parser.add_argument("--only", nargs="+", choices=list(subjects.LABELS), help="these subjects; the first is 1.0")
    parser.add_argument("--skip", nargs="+", default=[], choices=["memory", "stage", "batches"], help="leave out")
    parser.add_argument("--json", action="store_true", help="the report on stdout")
    parser.add_argument("--memory-of", choices=list(subjects.LABELS), help=argparse.SUPPRESS)
    parser.add_argument("--batches-of", choices=list(stage_costs.FORMS), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _report(options: argparse.Namespace) -> dict[str, Any]:
    names = options.only or list(subjects.LABELS)
    chosen = [subjects.subject(name, options.events, options.bad) for name in names]
    times = harness.interleave(chosen, options.repeats)
    rows = harness.to_json(harness.summarise(chosen, times))
    if "memory" not in options.skip:
        for row in rows:
            event = subjects.inputs(options.events, options.bad)[row["name"]][0]().event
            row["added_mib"] = _in_own_process("--memory-of", row["name"], options, event)["added_mib"]
    targets = [t for t in subjects.TARGETS if {t.subject, t.against} <= set(names)]
    verdicts = harness.judge(targets, chosen, times)
    harness.show([harness.Measured(**row) for row in rows], verdicts, sys.stderr)
    report = {"machine": harness.machine(), "repeats": options.repeats, "subjects": rows, "targets": verdicts}
    if "stage" not in options.skip:
        report["stage"] = stage_costs.shares(options.events, options.repeats)
        for row in report["stage"]:
            text = "fences and checkpoint, {sources} sources known: {share:.1%} of the stage ({form})"
            print(text.format(**row), file=sys.stderr)
    if "batches" not in options.skip:
        report["batches"] = [_in_own_process("--batches-of", form, options) for form in stage_costs.FORMS]
        for row in report["batches"]:
            text = "{form}: {after_20_mib:.0f} MiB after 20 batches, {after_200_mib:.0f} after 200, peak {peak_mib:.0f}"
            print(text.format(**row), file=sys.stderr)
    return report


def _in_own_process(option: str, name: str, options: argparse.Namespace, given: object = None) -> Any:
    shared = ["--events", str(options.events), "--bad", str(options.bad)]
    return harness.in_own_process("bench.clean", [option, name, *shared], given)


def _memory(name: str, options: argparse.Namespace) -> dict[str, float]:
    run = subjects.inputs(options.events, options.bad)[name][1]
    event = json.load(sys.stdin)
    gc.collect()
    harness.forget_peak()
    before = harness.rss_mib()
    for _ in range(harness.WARM_UPS):
        run(event)
    return {"before_mib": before, "added_mib": harness.peak_mib() - before}


if __name__ == "__main__":
    sys.exit(main())
