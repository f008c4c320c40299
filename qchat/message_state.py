"""How far a message is: the states that the store writes and the transcript draws."""

import enum


class MessageState(enum.StrEnum):
    """How far a message is. All but a pending answer are `COMPLETE` from the start."""

    STREAMING = "streaming"  # a living process is writing it
    STOPPED = "stopped"  # a person stopped it, or its process died; the partial answer is stored
    ERROR = "error"  # the server failed; the partial answer is stored, `error` says why
    COMPLETE = "complete"
