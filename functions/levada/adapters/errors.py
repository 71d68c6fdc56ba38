"""botocore's errors in our words. The only place that knows its error codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from levada.core.errors import ConfigError, ConflictError, UnavailableError

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
LOST = frozenset({"ConditionalCheckFailedException", "PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
WRONG_DEPLOYMENT = frozenset(
    {"AccessDenied", "AccessDeniedException", "NoSuchBucket", "InvalidAccessKeyId", "ResourceNotFoundException"}
)


@contextmanager
def ours(action: str) -> Iterator[None]:
    """Raise KeyError or one of our errors for what botocore raises; ``action`` says what failed."""
    try:
        yield
    except ClientError as err:
        code = str(err.response.get("Error", {}).get("Code", "unknown"))
        if code in MISSING:
            raise KeyError(action) from err
        if code in LOST:
            raise ConflictError(f"{action}: {code}") from err
        kind = ConfigError if code in WRONG_DEPLOYMENT else UnavailableError
        raise kind(f"{action}: {code}") from err
    except BotoCoreError as err:
        raise UnavailableError(f"{action}: {err}") from err
