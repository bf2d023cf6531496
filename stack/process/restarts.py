"""When a service that died may be restarted: at once, then after growing pauses, and not any more
after too many restarts.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from contracts.config.groups.supervision import SupervisionSettings


class Decision(Enum):
    """What to do with a service that died."""

    RESTART = auto()
    WAIT = auto()
    GIVE_UP = auto()


@dataclass
class RestartBudget:
    """The restarts of one service; times are seconds of the monotonic clock."""

    settings: SupervisionSettings
    restarts_s: list[float] = field(default_factory=list)

    def decide(self, now_s: float) -> Decision:
        """What to do now with the service, which does not run."""
        recent = [at for at in self.restarts_s if now_s - at < self.settings.supervise_window_s]
        if len(recent) >= self.settings.supervise_attempts_max:
            return Decision.GIVE_UP
        if recent and now_s - recent[-1] < self._pause_s(len(recent)):
            return Decision.WAIT
        return Decision.RESTART

    def record_restart(self, now_s: float) -> None:
        """Count a restart, and forget those that are older than the window."""
        oldest_s = now_s - self.settings.supervise_window_s
        self.restarts_s = [at for at in self.restarts_s if at > oldest_s] + [now_s]

    def _pause_s(self, restarts: int) -> float:
        """Pause after so many restarts, in seconds."""
        pause_s = self.settings.supervise_pause_s * 2.0 ** min(restarts - 1, 32)
        return min(self.settings.supervise_pause_s_max, pause_s)
