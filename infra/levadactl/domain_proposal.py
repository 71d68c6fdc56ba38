"""A declaration proposed from a sample file: what can be found out is found out, what is a guess says so."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from levada.clean.measured import slug
from levada.domains.declaration import Domain
from levadactl.errors import LevadactlError
from levadactl.proposed_times import Found, is_time, time_of

MAX_LINES = 5000
DELIMITERS = (";", "\t", "|", ",", " ")
NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}(?P<mark>[,.' ])\d{3}((?P=mark)\d{3})*([.,]\d+)?")
AFFIXES = "$€£%"
SENTINELS = {-99.0, -99.9, -200.0, -999.0, -999.9, -9999.0, 9999.0, 99999.0, -1e20}
MAX_MARKS = 4
METRIC_NAMES = ("parameter", "metric", "analyte", "variable", "measurement", "indicator", "pollutant", "quantity")
VALUE_NAMES = ("value", "val", "reading", "result", "concentration", "measurement")
UOM_NAMES = ("unit", "units", "uom")
KEY_HINTS = (
    ("series", ("station", "sensor", "series", "device", "meter", "mote", "node", "location")),
    ("unit", ("unit", "machine", "vehicle", "equipment", "line", "plant", "household")),
    ("site", ("site", "city", "factory", "region", "country", "zone", "building")),
)


@dataclass(slots=True)
class Column:
    """One column of the sample."""

    name: str
    values: list[str]
    """Trimmed, of all rows."""
    marks: list[str] = field(default_factory=list)
    """Texts among numbers."""
    grouped: str = ""
    """What stands between thousands."""
    affixes: str = ""
    numbers: list[float] = field(default_factory=list)

    @property
    def is_number(self) -> bool:
        return bool(self.numbers)

    def distinct(self) -> int:
        return len({value for value in self.values if value})


@dataclass(slots=True)
class Sample:
    """A file that was looked at."""

    columns: list[Column]
    delimiter: str
    has_header: bool

    def named(self, names: Sequence[str]) -> Column | None:
        lower = {column.name.lower(): column for column in self.columns}
        return next((lower[name] for name in names if name in lower), None)


def propose(name: str, body: bytes) -> str:
    """The source of a module that declares a domain.

    Args:
        body: a CSV file; its first MAX_LINES lines are looked at.

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


def looked_at(body: bytes) -> Sample:
    """Raises LevadactlError."""
    text = _decoded(body)
    lines = [line for line in text.splitlines() if line.strip(" \t;,|")][:MAX_LINES]
    if len(lines) < 2:
        raise LevadactlError("the sample needs two lines at least")
    delimiter = max(DELIMITERS, key=lambda mark: _fits(lines[:200], mark))
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    width = Counter(len(row) for row in rows).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == width]
    has_header = not any(NUMBER.fullmatch(cell.strip()) for cell in rows[0]) and len(set(rows[0])) > len(rows[0]) // 2
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(rows[0], 1)] if has_header else []
    names = names or [f"column_{i}" for i in range(1, width + 1)]
    rows = rows[1:] if has_header else rows
    columns = [Column(n, [row[i].strip() for row in rows]) for i, n in enumerate(names)]
    columns = [column for column in columns if any(column.values)]
    for column in columns:
        _as_numbers(column)
    return Sample(columns, delimiter, has_header)


def _decoded(body: bytes) -> str:
    for encoding in ("utf-16",) if body[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise LevadactlError("the sample is no text in UTF-8, UTF-16 or Windows-1252")


def _fits(lines: Sequence[str], mark: str) -> tuple[float, int, int]:
    counts = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
    width, n = counts.most_common(1)[0]
    return (n / len(lines) if width > 1 else 0.0, -DELIMITERS.index(mark) if mark != " " else -9, width)


def _as_numbers(column: Column) -> None:
    """Fill in what the column says as numbers; leave it text when it is."""
    values = [value for value in column.values if value]
    ends = {mark for mark in AFFIXES if any(value.startswith(mark) or value.endswith(mark) for value in values)}
    bare = [value.strip("".join(ends) + " ") for value in values]
    mark = _thousands(bare)
    texts = [value.replace(mark, "") if mark else value for value in bare]
    good = [value for value in texts if NUMBER.fullmatch(value)]
    odd = Counter(value for value in texts if not NUMBER.fullmatch(value))
    if len(odd) > MAX_MARKS or 2 * len(good) < len(texts) or not good:
        return
    column.marks, column.grouped, column.affixes = list(odd), mark, "".join(sorted(ends))
    column.numbers = [float(value.replace(",", ".")) for value in good]


def _thousands(values: Sequence[str]) -> str:
    """What stands between thousands: sure where a number can be read no other way, such as ``1,012.50``; and where all
    commas stand before three digits while some numbers have none."""
    grouped = [(value, match["mark"]) for value in values if (match := GROUPED.fullmatch(value))]
    sure = Counter(mark for value, mark in grouped if not NUMBER.fullmatch(value))
    if sure:
        return sure.most_common(1)[0][0]
    commas = [value for value in values if "," in value]
    whole = [value for value in values if value.isdecimal()]
    return "," if commas and whole and len(commas) == len([v for v, mark in grouped if mark == ","]) else ""


def _declaration(name: str, sample: Sample, found: Found) -> Iterator[str]:
    left = [column for column in sample.columns if column.name not in found.columns]
    long = _long(sample)
    keys = _keys([c for c in left if c not in (long or ())])
    metrics = [] if long else [c for c in left if c.is_number and c.name not in keys.values()]
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
    if sample.delimiter not in ";,\t|":
        yield f'    delimiters="{sample.delimiter}",'
    if not sample.has_header:
        yield "    # the file has no header line: name its columns here, and above"
        yield f"    header={_tuple([c.name for c in sample.columns])},"
    yield from (f"    window_s={found.window_s},", ")")


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
