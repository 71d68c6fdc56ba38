"""Every error the command line raises on purpose; each message is one line that says what to do.

LevadactlError
├── NotRunningError     no stack answers: start one
├── StartError          the embedded stack did not start, or did not stay up
├── DeployError         CloudFormation refused, with the resource and the reason
└── StateError          a file or folder of ours cannot be used as it is
"""

from __future__ import annotations


class LevadactlError(Exception):
    """Base of the command line's errors; ``levada`` prints it and exits with 1."""


class NotRunningError(LevadactlError):
    """No stack is running where one was looked for."""


class StartError(LevadactlError):
    """The embedded stack did not become healthy; the message names the log."""


class DeployError(LevadactlError):
    """A change set failed; the message names the first failing resource and its reason."""


class StateError(LevadactlError):
    """Something in the state folder (or the project's files) is not as it must be."""
