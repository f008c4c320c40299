"""When a server that crashed is started again: exponential backoff with a limit."""

from dataclasses import dataclass

from ...i18n import _


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Restart at most `max_restarts` times in a row, after `first_delay` seconds and twice as long
    each time. A server that ran for more than `reset_after` seconds starts the count anew."""

    first_delay: float = 1.0
    max_restarts: int = 5
    reset_after: float = 600.0

    def next_restart(self, restarts: int, uptime: float) -> int | None:
        """Return the number of the next restart, from 1, after `restarts` earlier ones and a run
        of `uptime` seconds; None when the limit is reached."""
        restart = 1 if uptime > self.reset_after else restarts + 1
        return restart if restart <= self.max_restarts else None

    def delay(self, restart: int) -> float:
        """Return the seconds to wait before restart number `restart`."""
        return self.first_delay * 2.0 ** (restart - 1)

    def announcement(self, restart: int, reason: str) -> str:
        """Return what is said before restart number `restart`, after an end for `reason`."""
        text = _("The server exited ({reason}); restart {n} of {max} in {delay:.0f} s.")
        return text.format(
            reason=reason.rstrip("."),
            n=restart,
            max=self.max_restarts,
            delay=self.delay(restart),
        )
