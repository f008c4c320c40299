"""Errors of the API in OpenAI's form."""

from dataclasses import dataclass


@dataclass(eq=False)
class ApiError(Exception):
    """A refused request; `param` names the field at fault."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    retry_after: int | None = None

    def body(self) -> dict[str, object]:
        """Return the JSON of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def no_file(file_id: str) -> ApiError:
    """Return the error for a file that is not there, or is another's."""
    return ApiError(404, f"No such File object: {file_id}", "not_found", "id")


def no_batch(batch_id: str) -> ApiError:
    """Return the error for a batch that is not there, or is another's."""
    return ApiError(404, f"No batch found with id '{batch_id}'.", "not_found", "batch_id")


def invalid(message: str, param: str | None = None, code: str | None = "invalid_value") -> ApiError:
    """Return the error for a request that asks for something impossible."""
    return ApiError(400, message, code, param)
