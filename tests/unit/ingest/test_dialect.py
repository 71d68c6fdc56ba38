"""The header line decides how a CSV file is read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from levada.core.errors import BadRecordError
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Time
from levada.ingest.dialect import BOM, MAX_PREAMBLE, Dialect, from_header, of_head
from tests.unit.ingest.support import TINY

NAMES = ("t", "id", "a", "b")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"t;id;a;b\r\n", Dialect(";", NAMES, 4)),
        (b"t,id,a,b\n", Dialect(",", NAMES, 4)),
        (b"t\tid\ta\tb", Dialect("\t", NAMES, 4)),
        (b"t|id|a|b", Dialect("|", NAMES, 4)),
        (BOM + b't,"id", a ,b\n', Dialect(",", NAMES, 4)),
        (b'"t";"id";"a";"b"', Dialect(";", NAMES, 4)),
        (b"b;a;id;t", Dialect(";", ("b", "a", "id", "t"), 4)),
        (b"t;id;a;b;;\r\n", Dialect(";", (*NAMES, "column_5", "column_6"), 4)),
        (b"t;id;;a;b", Dialect(";", ("t", "id", "column_3", "a", "b"), 5)),
        (b"t;id;a;b;note;note", Dialect(";", (*NAMES, "note", "column_6"), 6)),
        (b"t;id;a;b;__raw", Dialect(";", (*NAMES, "column_5"), 5)),
        (b"t;id;a;b;column_6;;x", Dialect(";", (*NAMES, "column_6", "column_6_", "x"), 7)),
        (b't,id,a,b,"c;d"', Dialect(",", (*NAMES, "c;d"), 5)),
    ],
)
def test_the_header_line_decides_separator_and_columns(line: bytes, expected: Dialect) -> None:
    assert from_header(line, TINY) == expected


def test_the_published_header_names_every_column_of_the_domain() -> None:
    """B6: the published file."""
    line = "Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);C6H6(GT);PT08.S2(NMHC);NOx(GT);PT08.S3(NOx);NO2(GT);PT08.S4(NO2);"
    found = from_header(f"{line}PT08.S5(O3);T;RH;AH;;\r\n".encode(), AIR_QUALITY)

    assert set(AIR_QUALITY.required) <= set(found.columns)
    assert (found.delimiter, found.named, len(found.columns)) == (";", 15, 17)


@pytest.mark.parametrize(
    ("line", "reason", "says"),
    [
        (b"t;id;a", "missing_columns", "lacks b;"),
        (b"x,y", "missing_columns", "lacks t, id, a, b;"),
        (b"", "missing_columns", "lacks t, id, a, b;"),
        (b"t;id;a;b;a", "repeated_column", "names a more than once"),
        (b"t;id;a;b;\xe9t\xe9", "not_utf8", "byte 9"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_with_what_is_wrong(line: bytes, reason: str, says: str) -> None:
    with pytest.raises(BadRecordError) as caught:
        from_header(line, TINY)

    assert caught.value.reason == reason
    assert says in caught.value.detail


def test_separators_tried_are_the_domains_own() -> None:
    with pytest.raises(BadRecordError, match=r"separators tried: ';', ',', '\\t', '\|'"):
        from_header(b"t:id:a:b", TINY)


HEADLESS = replace(TINY, header=("t", "id", "a", "b", "note"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"2024-01-01,s,1,2,x\r\n", Dialect(",", (*NAMES, "note"), 5, has_header=False)),
        (BOM + b"2024-01-01;s;1,5;2,5;x\n", Dialect(";", (*NAMES, "note"), 5, has_header=False)),
        (b"t|id|a|b\n", Dialect("|", NAMES, 4)),
    ],
)
def test_a_file_without_a_header_line_has_the_columns_that_its_domain_names(line: bytes, expected: Dialect) -> None:
    assert from_header(line, HEADLESS) == expected


def test_a_blank_may_separate_fields_where_the_domain_says_so() -> None:
    """B8: a date and a time of day are two columns then."""
    blanks = replace(HEADLESS, delimiters=" ,")

    assert from_header(b"12:00 s 1 2.5 x\n", blanks) == Dialect(" ", (*NAMES, "note"), 5, has_header=False)
    assert from_header(BOM + b"12:00,s,1,2.5,x\n", blanks) == Dialect(",", (*NAMES, "note"), 5, has_header=False)
    assert from_header(b"t id a b note\n", blanks) == Dialect(" ", (*NAMES, "note"), 5)


def test_a_header_that_lacks_a_column_is_no_row() -> None:
    with pytest.raises(BadRecordError, match="lacks b;"):
        from_header(b"t;id;a\n", HEADLESS)


def test_a_column_without_a_name_may_be_required_by_its_place() -> None:
    """As the first one of ElectricityLoadDiagrams, which holds the times."""
    loads = replace(TINY, time=Time(columns=("column_1",), formats=("iso",)), keys={}, constants={"series": "x"})

    assert from_header(b'"";"a";"b"', loads) == Dialect(";", ("column_1", "a", "b"), 3)
    assert from_header(b"a;b;\n", replace(loads, time=Time(columns=("column_3",), formats=("iso",)))).named == 3


def test_a_header_line_that_lacks_the_name_of_the_first_column_means_the_others() -> None:
    """R writes row names so; OccupancyDetection is such a file."""
    rows = replace(TINY, header=("row", *NAMES))

    assert from_header(b"t,id,a,b\n", rows) == Dialect(",", ("row", *NAMES), 5)
    assert from_header(b"row,t,id,a,b\n", rows) == Dialect(",", ("row", *NAMES), 5)


PREAMBLE = b"# Station 12; all times UTC\nexported 2024-05-01, by hand\n\n"


@pytest.mark.parametrize("bom", [b"", BOM])
def test_the_header_line_may_stand_behind_a_preamble(bom: bytes) -> None:
    head = bom + PREAMBLE + b"t;id;a;b\n2024-01-01;s;1;2\n"

    found = of_head(head, TINY)

    assert (found.dialect, found.lines) == (Dialect(";", NAMES, 4), 4)
    assert head[found.size :] == b"2024-01-01;s;1;2\n"


def test_a_header_line_may_begin_like_a_comment() -> None:
    named = replace(TINY, time=Time(columns=("#t",), formats=("iso",)))

    assert of_head(b"# a comment\n#t;id;a;b\n", named).lines == 2


@pytest.mark.parametrize(("bom", "comments"), [(b"", 0), (BOM, 0), (b"", 2), (BOM, 2)])
def test_comments_may_stand_before_the_first_row_of_a_file_without_a_header_line(bom: bytes, comments: int) -> None:
    head = bom + b"# made by hand\n" * comments + b"2024-01-01;s;1,5;2,5;x\n"

    found = of_head(head, HEADLESS)

    assert (found.dialect.has_header, found.dialect.delimiter, found.lines) == (False, ";", comments)
    assert head[found.size :] == b"2024-01-01;s;1,5;2,5;x\n"


@pytest.mark.parametrize("head", [b"t;id;a\n" * 3, b"x\n" * MAX_PREAMBLE + b"t;id;a;b\n", b"", b"\n\n"])
def test_without_a_header_line_the_first_line_is_what_is_wrong(head: bytes) -> None:
    with pytest.raises(BadRecordError, match="lacks"):
        of_head(head, TINY)


def test_of_several_separators_the_one_that_finds_most_columns_counts() -> None:
    """A required column may be found with a wrong one, when the others may be missing."""
    loose = replace(TINY, optional=("id", "a", "b"))

    assert from_header(b"t;,t,id,a,b", loose).delimiter == ","
