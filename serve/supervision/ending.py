"""Why a start of a server, or the time after it, came to an end."""

import enum


class Ending(enum.Enum):
    """The reasons; the supervisor decides by them what comes next."""

    EXITED = "vLLM has exited"
    SIGNALLED = "this process got a signal"
    STALLED = "nothing moved for too long"
    DRAINED = "qchat stop --drain: no request runs any more"
    RESTART = "qchat restart"
    IDLE = "--idle-stop: no request for so long"
    WOKEN = "a request waits for a vLLM that sleeps"
