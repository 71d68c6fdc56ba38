"""What tests of dead letters do again and again: redrive, try, look; packs of the domain ``sim``."""

from __future__ import annotations

from typing import Any

from levada.core import packs
from levada.core.packs import NDJSON_GZIP, Header
from levadactl.deadletters import standing
from levadactl.deadletters.counts import Report
from levadactl.deadletters.letters import Letter
from levadactl.deadletters.sending import Choice
from levadactl.deadletters.sending import redrive as run
from tests.unit.deadletters.fakes import Pipeline, ndjson

EVERYTHING = Choice()


def redriven(pipeline: Pipeline, choice: Choice = EVERYTHING, **options: Any) -> Report:
    report = run(pipeline.ports, choice, dry_run=False, **options)
    pipeline.run()
    return report


def dry(pipeline: Pipeline, choice: Choice = EVERYTHING) -> Report:
    return run(pipeline.ports, choice, dry_run=True)


def outstanding(pipeline: Pipeline) -> list[Letter]:
    return standing.survey(pipeline.memory.blobs).outstanding


def pack(*rows: Any, source: str = "file/sim#07", n: int = 0, trace: str = "") -> bytes:
    header = Header(
        domain="sim", tenant="default", source=source, position=n, count=len(rows), codec=NDJSON_GZIP, trace=trace
    )
    return packs.encode(header, packs.compress(ndjson(*rows), NDJSON_GZIP))
