"""NDJSON blocks to lines, unchanged; what stands in them is for ``clean`` to judge."""

from __future__ import annotations

from levada.ingest.blocks import Block
from levada.ingest.dialect import BOM
from levada.ingest.parts import Part, too_long


def read_block(block: Block, first_line: int) -> Part:
    """The lines of a block, the first of which is line first_line of the file; blank lines are empty."""
    if block.too_long:
        return Part(block.end, first_line + 1, bad=[too_long(first_line, block.data)])
    data = block.data.removeprefix(BOM) if block.start == 0 else block.data
    lines = data.removesuffix(b"\n").split(b"\n")
    part = Part(block.end, first_line + len(lines))
    for number, line in enumerate(lines, first_line):
        if line and not line.isspace():
            part.lines.append(line)
            part.numbers.append(number)
    part.empty = len(lines) - len(part.lines)
    return part
