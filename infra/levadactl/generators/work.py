"""Jobs and subjobs: they start, go on, are measured and end in one of three ways (C1, C4)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from levadactl.generators.machines import NO_SUCH_DAY, iso, put
from levadactl.generators.model import Break, Made, Plan, cut_short

SITES = ("ljubljana", "maribor", "koper")
APPS = ("render", "etl", "train", "index", "report")
ENDS = (("finished", 0.85), ("error", 0.1), ("canceled", 0.05))
STATUS = {
    "started": "running",
    "progress": "running",
    "metric": "running",
    "finished": "succeeded",
    "error": "failed",
    "canceled": "canceled",
}
AT_ONCE = 30
"""Jobs that run at the same time."""


@dataclass(slots=True)
class Job:
    """One that runs."""

    entity: str
    id: str
    parent: str
    site: str
    app: str
    steps: int
    """Events still to come, the end included."""
    all_steps: int
    begun_us: int = -1


class Jobs:
    """A few dozen jobs at once; every third is a subjob of one that runs."""

    domain = "jobs"
    breaks: Mapping[str, Break] = {
        "not_json": cut_short,
        "not_a_time": put("time", NO_SUCH_DAY),
        "unknown_event_type": put("event", "exploded"),
        "missing_field": put("site", ""),
    }

    def events(self, plan: Plan) -> Iterator[Made]:
        dice = Random(f"{plan.seed} jobs")
        running: list[tuple[int, int, Job]] = []
        numbers = iter(range(1, 1 + 10**12))
        for i in range(plan.events):
            time_us = plan.time_us(i)
            due = running and running[0][0] <= time_us
            if (len(running) < AT_ONCE and not (due and dice.random() < 0.7)) or not due:
                n = next(numbers)
                job = self._new(n, running, dice)
            else:
                _, n, job = heapq.heappop(running)
            last = job.steps == 1 or i >= plan.events - 1
            yield self._step(job, time_us, i, dice)
            if not last:
                gap_us = int(AT_ONCE / plan.rate * dice.uniform(0.5, 1.5) * 1_000_000)
                heapq.heappush(running, (time_us + gap_us, n, job))

    def _new(self, n: int, running: list[tuple[int, int, Job]], dice: Random) -> Job:
        steps = dice.randint(2, 12)
        parents = [job for _, _, job in running if job.entity == "job" and job.begun_us >= 0]
        if n % 3 == 0 and parents:
            parent = parents[dice.randrange(len(parents))]
            return Job("subjob", f"sub-{n:06d}", parent.id, parent.site, parent.app, steps, steps)
        site, app = SITES[dice.randrange(len(SITES))], APPS[dice.randrange(len(APPS))]
        return Job("job", f"job-{n:06d}", "", site, app, steps, steps)

    def _step(self, job: Job, time_us: int, i: int, dice: Random) -> Made:
        fields: dict[str, Any] = {}
        if job.begun_us < 0:
            event, job.begun_us = "started", time_us
        elif job.steps == 1:
            event = dice.choices([name for name, _ in ENDS], [share for _, share in ENDS])[0]
            fields["duration_s"] = (time_us - job.begun_us) / 1_000_000
        elif dice.random() < 0.3:
            event = "metric"
        else:
            event = "progress"
            fields["progress"] = round(100 * (1 - job.steps / job.all_steps), 1)
        job.steps -= 1
        body: dict[str, Any] = {
            "idempotency_key": f"{job.id}-{i}",
            "time": iso(time_us),
            "site": job.site,
            "app": job.app,
            "entity": job.entity,
            "id": job.id,
            "event": event,
            **fields,
        }
        if job.parent:
            body["parent"] = job.parent
        if event == "metric":
            body["metrics"] = {"cpu_s": round(dice.uniform(0, 60), 2), "rss_mib": dice.randrange(50, 4000)}
        expected = {
            "site": job.site,
            "app": job.app,
            "entity_type": job.entity,
            "entity_id": job.id,
            "parent_id": job.parent,
            "event_type": event,
            "status": STATUS[event],
            **fields,
        }
        return Made(time_us, body, events=(expected | ({"_last": True} if job.steps == 0 else {}),), kind=event)
