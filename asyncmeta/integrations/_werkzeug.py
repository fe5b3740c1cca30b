"""What Flask and Quart, which stand on Werkzeug, do alike."""

from __future__ import annotations

from werkzeug.exceptions import HTTPException

__all__ = ["status_of"]


def status_of(error: BaseException) -> int | None:
    """Return the status with which they answer what was raised; None where that is no answer."""
    if not isinstance(error, HTTPException):
        return None
    return error.code if error.response is None else getattr(error.response, "status_code", None)
