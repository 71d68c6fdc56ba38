"""A declaration proposed from a sample file: what can be found out is found out, what is a guess says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from levada.clean.measured import slug
from levada.domains.declaration import Domain
from levadactl.domain_looking import Column, Sample, looked_at
from levadactl.errors import LevadactlError
from levadactl.proposed_times import Found, is_time, time_of

SENTINELS = {-99.0, -99.9, -200.0, -999.0, -999.9, -9999.0, 9999.0, 99999.0, -1e20}
METRIC_NAMES = ("parameter", "metric", "analyte", "variable", "measurement", "indicator", "pollutant", "quantity")
VALUE_NAMES = ("value", "val", "reading", "result", "concentration", "measurement")
UOM_NAMES = ("unit", "units", "uom")
KEY_HINTS = (
    ("series", ("station", "sensor", "series", "device", "meter", "mote", "node", "location", "tag", "channel")),
    ("unit", ("unit", "machine", "asset", "vehicle", "equipment", "line", "plant", "household")),
    ("site", ("site", "city", "factory", "region", "country", "zone", "building")),
)


def propose(name: str, body: bytes) -> str:
    """The source of a module that declares a domain.

    Args:
        body: a CSV file; its first lines are looked at (``domain_looking.MAX_LINES``).

    Raises LevadactlError: there is no table, or no time, in it.
    """
    sample = looked_at(body)
    found = time_of([(column.name, column.values) for column in sample.columns])
    if found is None:
        raise LevadactlError(
            f"no column of {', '.join(c.name for c in sample.columns)} holds times in a form known here"
        )
    lines = list(_declaration(name, sample, found))
    passed, refused = tried("\n".join(lines), sample)
    total = len(sample.columns[0].values)
    verdict = f"{passed} of {total} rows of the sample pass"
    verdict += f"; refused: {', '.join(f'{n} {reason}' for reason, n in refused.items())}" if refused else ""
    return "\n".join([f'"""{name}: say here what it is. Proposed from a sample: {verdict}."""', "", *lines]) + "\n"


def _declaration(name: str, sample: Sample, found: Found) -> Iterator[str]:
    left = [column for column in sample.columns if column.name not in found.columns]
    long = _long(sample)
    keys = _keys([c for c in left if c not in (long or ())])
    numbers = [] if long else [c for c in left if c.is_number and c.name not in keys.values()]
    metrics = [c for c in numbers if not (c.counts or c.identifies)]
    marks = sorted({mark for column in sample.columns if column.is_number for mark in column.marks})
    grouped = next((c.grouped for c in metrics if c.grouped), "")
    affixes = "".join(sorted({mark for c in metrics for mark in c.affixes}))
    uses = ["Domain", *(["Long"] if long else []), *(["Metric"] if metrics else []), "Time"]
    yield from (f"from levada.domains.declaration import {', '.join(uses)}", "")
    yield from (f"{name.upper()} = Domain(", f'    name="{name}",', "    time=Time(")
    yield f"        columns={_tuple(found.columns)},"
    yield f"        formats={_tuple(found.formats)},{'  # ' + found.doubt if found.doubt else ''}"
    if found.is_local:
        yield '        zone="UTC",  # a guess: the sample names no zone'
    yield "    ),"
    if keys:
        yield f"    keys={_mapping(keys)},  # a guess by name"
    elif long or metrics:
        yield f'    constants={{"series": "{name}"}},'
    if long:
        uom = f', uom="{long[2].name}"' if len(long) > 2 else ""
        yield f'    long=Long(metric="{long[0].name}", value="{long[1].name}"{uom}),'
        yield "    open_metrics=True,  # or declare metrics, with their limits"
    elif metrics:
        yield from _metrics(metrics, {value for column in metrics for value in _sentinels(column)})
    else:
        yield from _events(name, left, keys)
    if sentinels := sorted({value for c in [*metrics, *(long or ())] for value in _sentinels(c)}):
        yield f"    sentinels={_tuple(sentinels)},  # a guess: they repeat, far from all others"
    if marks:
        yield f"    missing={_tuple(marks)},"
    if grouped:
        yield f"    thousands={grouped!r},".replace("'", '"')
        yield f'    decimal="{"." if grouped != "." else ","}",'
    if affixes:
        yield f'    affixes="{affixes}",'
    yield from _written(sample)
    yield f"    window_s={found.window_s},"
    if metrics or long:
        yield from _left_out([c for c in left if c not in (*metrics, *(long or ())) and c.name not in keys.values()])
    yield ")"


def _long(sample: Sample) -> tuple[Column, ...] | None:
    metric, value, uom = (sample.named(names) for names in (METRIC_NAMES, VALUE_NAMES, UOM_NAMES))
    if metric is None or value is None or metric.is_number or not value.is_number:
        return None
    return (metric, value, uom) if uom is not None else (metric, value)


def _keys(columns: Sequence[Column]) -> dict[str, str]:
    """Part of the key → column."""
    free = {c.name: c for c in columns if not c.is_number or c.name.lower().endswith("id")}
    free = {name: c for name, c in free.items() if c.is_number or not is_time(c.values)}
    keys: dict[str, str] = {}
    for part, hints in KEY_HINTS:
        hit = next(
            (name for hint in hints for name in free if hint in name.lower() and name not in keys.values()), None
        )
        if hit is not None:
            keys[part] = hit
    if not keys and any(c.is_number for c in columns):
        texts = [c for name, c in free.items() if not c.is_number and 1 < c.distinct() <= max(2, len(c.values) // 2)]
        if texts:
            keys["series"] = min(texts, key=Column.distinct).name
    return {part: keys[part] for part in ("site", "unit", "series") if part in keys}


def _metrics(columns: Sequence[Column], sentinels: set[float]) -> Iterator[str]:
    taken: set[str] = set()
    yield "    metrics={"
    for column in columns:
        short = re.sub(r"\W+", "_", slug(column.name), flags=re.ASCII).strip("_") or "value"
        while short in taken:
            short += "_2"
        taken.add(short)
        valid = [value for value in column.numbers if value not in sentinels] or column.numbers
        yield f'        {_text(column.name)}: Metric("{short}"),  # {min(valid):g} … {max(valid):g} in the sample'
    yield "    },"


def _written(sample: Sample) -> Iterator[str]:
    """What the reader of the file must be told."""
    if sample.delimiter not in ";,\t|":
        yield f'    delimiters="{sample.delimiter}",'
    if sample.row_names:
        yield "    # the header line has no name for the first column"
    elif not sample.has_header:
        yield "    # the file has no header line: name its columns here, and above"
    if sample.row_names or not sample.has_header:
        yield f"    header={_tuple(sample.header)},"


def _left_out(columns: Sequence[Column]) -> Iterator[str]:
    """A comment that names what the declaration does not use: it stays in the raw rows, and in bronze."""
    if columns:
        names = ", ".join(f"{c.name}{f' ({c.why_not})' if c.why_not else ''}" for c in columns)
        for line in wrap(f"Not used: {names}", 110, break_long_words=False):
            yield f"    # {line}"


def _events(name: str, columns: Sequence[Column], keys: dict[str, str]) -> Iterator[str]:
    free = [column for column in columns if column.name not in keys.values()] or list(columns)
    entity = max(free, key=Column.distinct)
    yield f'    constants={{"entity_type": "{name}", "event_type": "{name}"}},  # no column holds numbers: events, then'
    yield f"    events={_mapping({'entity_id': entity.name})},  # a guess: most of its values differ"


def _sentinels(column: Column) -> list[float]:
    """Usual marks that repeat, and that lie beyond twice the spread of all other values."""
    counts = Counter(column.numbers)
    found = []
    for mark in SENTINELS & set(counts):
        rest = [value for value in column.numbers if value != mark]
        if (
            counts[mark] > 1
            and rest
            and min(abs(mark - min(rest)), abs(mark - max(rest))) > (max(rest) - min(rest)) / 2
        ):
            found.append(mark)
    return found


def tried(source: str, sample: Sample) -> tuple[int, Counter[str]]:
    """(rows of the sample that pass under the proposed declaration; the others by reason)."""
    from levadactl.testing import Cleaned

    space: dict[str, Any] = {}
    exec(compile(source, "proposal", "exec"), space)  # noqa: S102  # what was written a moment ago, of quoted names
    (domain,) = (value for value in space.values() if isinstance(value, Domain))
    cleaned = Cleaned(domain, now_s=4_102_444_800)
    cleaned.run([cleaned.table({column.name: column.values for column in sample.columns})])
    return cleaned.counters()["rows"], cleaned.refused()


def _text(value: object) -> str:
    return (
        '"' + repr(value)[1:-1].replace('"', '\\"').replace("\\'", "'") + '"' if isinstance(value, str) else f"{value}"
    )


def _tuple(values: Sequence[object]) -> str:
    return f"({', '.join(_text(value) for value in values)}{',' if len(values) == 1 else ''})"


def _mapping(values: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_text(k)}: {_text(v)}" for k, v in values.items()) + "}"
