"""GET /healthz: whether the lake, the table and the streams answer."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response

from levada.query import answers, health
from levada.wiring import Deps, deps

PROBE = "checkpoints/"
"""A prefix that the function's role may list."""


def get_health(_event: dict[str, Any]) -> Response[str]:
    d = deps()
    found = health.check(
        {
            "lake": lambda: next(iter(d.blobs.list(PROBE)), None),
            "table": lambda: d.serving.check(),
            "raw_stream": lambda: _stream(d, "raw_stream"),
            "clean_stream": lambda: _stream(d, "clean_stream"),
        }
    )
    return answers.json(200 if found.ok else 503, {"status": "ok" if found.ok else "down", "parts": dict(found.parts)})


def _stream(d: Deps, name: str) -> None:
    d.config.need(name)
    d.topology.created_s(getattr(d.config, name))
