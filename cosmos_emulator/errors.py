"""The one way in which the emulated service says no.

Every refusal is an `EmulatorError` with the status, substatus and message that the service gives;
the HTTP side turns it into an answer and adds nothing.
Source: Cosmos DB REST API, HTTP status codes.
"""

from __future__ import annotations

_CODES = {
    304: "NotModified",
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    424: "FailedDependency",
    429: "TooManyRequests",
    449: "RetryWith",
    500: "InternalServerError",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}

RANGE_GONE = 1002
RANGE_COMPLETING_SPLIT = 1007
SESSION_NOT_AVAILABLE = 1002
OWNER_NOT_FOUND = 1003
PARTITION_KEY_MISMATCH = 1001
COLLECTION_RID_MISMATCH = 1024
TOKEN_FOR_SOMEBODY_ELSE = 5008
NOT_BY_TOKEN = 5300
NOT_PERMITTED = 5301


class EmulatorError(Exception):
    """A request is refused with a status, a substatus (0 for none) and a message.

    `session_token` and `lsn` say how far the partition is that refused, as on every item answer; None
    when no partition was asked.
    """

    def __init__(self, status: int, substatus: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.substatus = substatus
        self.message = message
        self.session_token: str | None = None
        self.lsn: int | None = None

    @property
    def code(self) -> str:
        """The service's word for the status."""
        return _CODES.get(self.status, "Error")


def bad_request(message: str, substatus: int = 0) -> EmulatorError:
    """Names what is wrong with the request."""
    return EmulatorError(400, substatus, message)


def not_found(substatus: int = 0) -> EmulatorError:
    """The addressed resource does not exist."""
    if substatus == OWNER_NOT_FOUND:
        return EmulatorError(404, substatus, "Owner resource does not exist.")
    return EmulatorError(
        404, substatus, "Entity with the specified id does not exist in the system."
    )


def conflict() -> EmulatorError:
    """Something of that id is already there."""
    return EmulatorError(409, 0, "Entity with the specified id already exists in the system.")


def precondition_failed() -> EmulatorError:
    """The entity tag given is not the current one."""
    return EmulatorError(412, 0, "One of the specified pre-condition is not met.")


def session_not_available() -> EmulatorError:
    """The client has seen more than this range holds."""
    message = "The read session is not available for the input session token."
    return EmulatorError(404, SESSION_NOT_AVAILABLE, message)


def range_gone(range_id: str, substatus: int = RANGE_GONE) -> EmulatorError:
    """The partition key range is unknown, was split or was merged away."""
    return EmulatorError(410, substatus, f"Partition key range {range_id} is gone.")


def too_large() -> EmulatorError:
    """A document or a request exceeds what the service stores."""
    return EmulatorError(413, 0, "Request size is too large.")
