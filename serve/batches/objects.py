"""Files and batches: as they are stored, and as OpenAI's API shows them."""

import secrets
from dataclasses import dataclass, field
from typing import Any

VALIDATING, IN_PROGRESS, FINALIZING, COMPLETED, FAILED, EXPIRED, CANCELLING, CANCELLED = (
    "validating",
    "in_progress",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)
OPEN = (VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING)
ENDED = (COMPLETED, FAILED, EXPIRED, CANCELLED)
BATCH, BATCH_OUTPUT = "batch", "batch_output"  # purposes of files


def new_id(prefix: str) -> str:
    """Return an id that nobody can guess."""
    return f"{prefix}{secrets.token_hex(16)}"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an owner. Its content stands in the file store under its id; `name` is text only.

    `created_at` and `expires_at` are seconds since the epoch.
    """

    id: str
    owner: str
    name: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return OpenAI's file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True)
class BatchProblem:
    """Why a batch failed before it began: with the line at fault, from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return OpenAI's form of it."""
        return {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch of an owner. Times are seconds since the epoch.

    `goal` is the state that a batch ends in whose results are being written (``finalizing`` or
    ``cancelling``); `output_expires` are seconds after which its output files are deleted.
    `tries` counts runs that ended without an answer since the last one that had some.
    """

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    metadata: dict[str, str] | None = None
    output_expires: int | None = None
    status: str = VALIDATING
    goal: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    completed: int = 0
    failed: int = 0
    tries: int = 0
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return OpenAI's batch object."""
        errors = {"object": "list", "data": self.errors} if self.errors else None
        shows_files = self.status in ENDED
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": errors,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id if shows_files else None,
            "error_file_id": self.error_file_id if shows_files else None,
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": self.completed_at,
            "failed_at": self.failed_at,
            "expired_at": self.expired_at,
            "cancelling_at": self.cancelling_at,
            "cancelled_at": self.cancelled_at,
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "usage": {
                "input_tokens": self.prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            },
            "metadata": self.metadata,
        }
