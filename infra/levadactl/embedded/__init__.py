"""The embedded stack: MiniStack for the AWS APIs and the functions, and levada's own stream triggers.

``start`` brings up a deployed stack, ``stop`` takes it down and leaves no process and no temporary folder.
"""

from levadactl.embedded.lifecycle import Started, Stopped, reset, start, stop, stop_all
from levadactl.embedded.recovery import Recovered

__all__ = ["Recovered", "Started", "Stopped", "reset", "start", "stop", "stop_all"]
