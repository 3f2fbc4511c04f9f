"""Refusals: why a request is not answered, and the field that is wrong, as one form of answer."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

__all__ = ["Fault", "Faults", "Refusal", "answer", "clean"]

_LONGEST = 500


class Fault(BaseModel):
    """One thing that is wrong."""

    field: str | None = Field(description="Where, such as items.3 or given.label; null where no field is at fault.")
    message: str = Field(description="What is wrong, and what would be right.")


class Faults(BaseModel):
    """Why a request was refused."""

    detail: list[Fault]


class Refusal(Exception):  # noqa: N818
    """A request that is not answered: an HTTP status, a sentence, the field at fault, and headers of the answer."""

    def __init__(self, status: int, message: str, field: str | None = None, **headers: str):
        super().__init__(message)
        self.status, self.message, self.field = status, message, field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> JSONResponse:
        """The answer that tells it."""
        return answer(self.status, [Fault(field=self.field, message=self.message)], self.headers)


def answer(status: int, faults: Sequence[Fault], headers: dict[str, str] | None = None) -> JSONResponse:
    """``faults`` as the answer of a status; what was sent is not sent back, except in sentences that are cut and cleaned."""
    told = [{"field": None if fault.field is None else clean(fault.field), "message": clean(fault.message)} for fault in faults]
    return JSONResponse({"detail": told}, status, headers)


def clean(text: str) -> str:
    """``text`` as Unicode that any encoder takes, not too long."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()
