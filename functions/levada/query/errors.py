"""Refusals of a request, each naming the parameter, its value and what is allowed."""

from __future__ import annotations

from levada.core.errors import BadRequestError


class ParameterError(BadRequestError):
    """A query parameter that cannot be served: answer 422."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}={value!r}: must be {allowed}", status=422)
        self.field = field
        self.value = value
        self.allowed = allowed
