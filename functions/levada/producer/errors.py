"""What can be wrong with a spool: all of them ``LevadaError``.

SpoolError
├── SpoolFullError      the stream has been down for too long: nothing was taken, try again later
├── SpoolBusyError      another process has the folder
└── SpoolDamagedError   the folder holds what no producer wrote: a person must look
"""

from __future__ import annotations

from levada.core.errors import LevadaError


class SpoolError(LevadaError):
    """The spool folder cannot be used."""


class SpoolFullError(SpoolError):
    """What waits to be sent has reached its limit, or the disk its own. What was given before is kept."""


class SpoolBusyError(SpoolError):
    """Two producers in one folder would give out the same positions."""


class SpoolDamagedError(SpoolError):
    """A frame in the middle of a segment does not hold what was written."""
