"""A page of the docs per domain, written from its declaration: ``levada domain docs``; a test compares them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from levada.domains.declaration import Domain, Metric
from levada.domains.registry import BUILT_IN
from levadactl.domain_samples import SAMPLES, reason_of

FOLDER = "docs/domains"
NOTE = "<!-- made by `levada domain docs` from the declaration: change that -->"
WAYS = ("file", "HTTP", "stream")


def pages() -> dict[str, str]:
    """File name → text, the index included."""
    made = {f"{domain.name}.md": "\n".join(_page(domain)) + "\n" for domain in BUILT_IN}
    return made | {"README.md": "\n".join(_index(BUILT_IN)) + "\n"}


def write(folder: Path) -> list[str]:
    """Write what is missing or different; returns the names of those files."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = differences(folder)
    made = pages()
    for name in changed:
        if name in made:
            (folder / name).write_text(made[name])
        else:
            (folder / name).unlink()
    return changed


def differences(folder: Path) -> list[str]:
    """Names of files that are missing, superfluous, or not as the declarations say."""
    made, there = pages(), {path.name for path in folder.glob("*.md")}
    wrong = {name for name, text in made.items() if name not in there or (folder / name).read_text() != text}
    return sorted(wrong | (there - set(made)))


def _page(domain: Domain) -> Iterator[str]:
    yield from (f"# Domain `{domain.name}`", "", NOTE, "", domain.about or "", "")
    yield from (f"Declared in [`{_module(domain)}`](../../functions/levada/{_module(domain)}).", "")
    yield from ("## What it reads", "", "```json")
    yield json.dumps({"domain": domain.name, **SAMPLES[domain.name].good[0]}, ensure_ascii=False, indent=2)
    yield from ("```", "")
    yield from _table(("column", "what it is", "in a file"), _columns(domain))
    if domain.open_metrics:
        open_what = "any name in the metric column" if domain.long else "any other column that holds a number"
        yield from ("", f"Besides, {open_what} is a metric.")
    columns = " + ".join(f"`{name}`" for name in domain.time.columns)
    formats = ", ".join(f"`{form}`" for form in domain.time.formats)
    yield from ("", f"Time: {columns}, written as {formats}, in {domain.time.zone}.")
    yield from _values(domain)
    if domain.metrics:
        yield from ("", "## Metrics", "")
        rows = ((f"`{m.name}`", f"`{column}`", _limits(m), m.uom) for column, m in domain.metrics.items())
        yield from _table(("metric", "source", "valid", "unit"), rows)
    yield from _of_events(domain)
    yield from ("", "## Settings", "")
    yield from _table(("what", "value"), _settings(domain))
    yield from ("", "## What is refused", "")
    reasons = dict.fromkeys(reason_of(kind) for kind in SAMPLES[domain.name].bad)
    named = ", ".join(f"`{reason}`" for reason in reasons)
    yield f"Tested by every way in: {named} (see [dead letters](../dead-letters.md))."


def _columns(domain: Domain) -> Iterator[Sequence[str]]:
    roles: dict[str, list[str]] = {}
    for name in domain.time.columns:
        roles.setdefault(name, []).append("time")
    for part, name in (*domain.keys.items(), *domain.event_columns.items()):
        roles.setdefault(name, []).append(part)
    if domain.long:
        for role, name in (("metric", domain.long.metric), ("value", domain.long.value),
                           ("unit of measurement", domain.long.uom), ("event_id", domain.long.event_id)):  # fmt: skip
            roles.setdefault(name, []).append(role)
    for name, kind in domain.columns.items():
        metric = domain.metrics.get(name) if domain.long is None else None
        what = roles.get(name) or ([f"metric {metric.name}"] if metric else [f"{kind}, for the function"])
        must = "every row" if name in domain.musts else "must be there" if name in domain.required else "may be missing"
        yield (f"`{name}`", ", ".join(what), must)


def _values(domain: Domain) -> Iterator[str]:
    said = []
    if domain.sentinels:
        said.append(f"{', '.join(f'`{value:g}`' for value in domain.sentinels)} means no value")
    if domain.missing:
        said.append(f"so do the texts {', '.join(f'`{text}`' for text in domain.missing)}")
    if domain.constants:
        said.append(", ".join(f"{part} is `{text}`" for part, text in domain.constants.items()))
    if said:
        yield from ("", "; ".join(said).capitalize() + ".")


def _limits(metric: Metric) -> str:
    low = "" if metric.low is None else f"{metric.low:g}"
    high = "" if metric.high is None else f"{metric.high:g}"
    return f"{low} … {high}" if low or high else "any number"


def _of_events(domain: Domain) -> Iterator[str]:
    if not domain.events and domain.derive is None:
        return
    yield from ("", "## Events", "")
    if domain.event_types:
        yield f"Event types: {', '.join(f'`{name}`' for name in domain.event_types)}."
    if domain.derive is not None:
        yield from ("", _first_paragraph(domain.derive.__doc__ or ""))
    if domain.fields:
        yield from (
            "",
            f"Fields of its own: {', '.join(f'`{name}` ({kind})' for name, kind in domain.fields.items())}.",
        )
    if domain.latest:
        yield from ("", f"The latest state is served of: {', '.join(f'`{name}`' for name in domain.latest)}.")
    if domain.rollups:
        yield from ("", "Windows over the events:", "")
        rows = (
            (
                f"`{r.metric}`",
                " / ".join(f"`{name}`" for name in r.by),
                f"1 where {_named(r.success)}, else 0" if r.success else f"`{r.value}`" if r.value else "1 per event",
                _named(r.where) or "all",
                f"`{r.distinct}`" if r.distinct else "",
            )
            for r in domain.rollups
        )
        yield from _table(("metric", "series by", "value", "of events where", "counts distinct"), rows)


def _named(chosen: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"`{name}` is {', '.join(values)}" for name, values in chosen.items())


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _settings(domain: Domain) -> Iterator[Sequence[str]]:
    yield ("base window", f"{domain.window_s} s")
    yield ("lateness", f"{domain.lateness_s} s")
    yield ("clock ahead of now", "setting `LEVADA_MAX_SKEW_S`" if domain.skew_s is None else f"{domain.skew_s} s")
    own = ", ".join(f"{kind} {f'{hours} h' if hours else 'for ever'}" for kind, hours in domain.keep_h.items())
    yield ("how long it is kept", own or "setting `LEVADA_KEEP`")
    yield ("silent after", f"{domain.silence_s} s" if domain.silence_s else "never")
    yield ("error of quantiles", f"{domain.quantile_error:g}" if domain.quantile_error else "no quantiles")


def _index(domains: Iterable[Domain]) -> Iterator[str]:
    yield from ("# Domains", "", NOTE, "")
    yield from ("What levada reads, and how to [declare a source of your own](../add-a-domain.md).", "")
    yield from _table(("domain", "what"), ((f"[`{d.name}`]({d.name}.md)", d.about) for d in domains))
    yield from ("", "## Every way in, good and bad", "")
    yield "Each cell is a test through the real handlers (`tests/unit/domains/test_matrix.py`): a bad item stands"
    yield "between two good ones, which must come through. Files are CSV, NDJSON and Parquet; the stream carries plain"
    yield "JSON records and packs."
    yield from ("", "- **passes**: the same rows whichever way they came.")
    yield "- **quarantine**: the row lies in quarantine under this reason, with its payload and position."
    yield "- **refused**: the answer names the item's index and the reason; nothing of it is sent."
    yield "- **NDJSON only**: a cell of a CSV or Parquet table cannot be a list or an object."
    for domain in domains:
        yield from ("", f"### `{domain.name}`", "")
        rows = [("good", "passes", "passes", "passes")]
        for kind in SAMPLES[domain.name].bad:
            file = "quarantine (NDJSON only)" if kind == "not_a_text" else "quarantine"
            rows.append((f"`{kind}`", file, http_cell(kind), "quarantine"))
        yield from _table(("", *WAYS), rows)


BY_CLEAN = ("no_readings", "not_a_list", "no_items", "bad_item", "missing_field/transaction")
"""What only the function, or looking at all fields, can find out: HTTP takes it, and ``clean`` quarantines it."""


def http_cell(kind: str) -> str:
    """``quarantine`` or ``refused``: what becomes of a bad item of this kind over HTTP."""
    return "quarantine" if kind in BY_CLEAN or reason_of(kind) in BY_CLEAN else "refused"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _module(domain: Domain) -> str:
    return f"domains/{domain.name}.py"
