"""Errors a person can act on: each carries its facts and says what to do next."""


class TickError(Exception):
    """Base of every expected failure; `hint` says what to do. The command line prints both and
    exits 1.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class SettingError(TickError):
    """A TICK_ variable of the environment is no setting."""


class ServiceError(TickError):
    """A local service could not be started, reached or stopped."""


class FeedError(TickError):
    """A feed file is unknown, unreadable or not what it claims to be."""


class JobError(TickError):
    """The Flink job could not be submitted, stopped or resumed."""


class DatasetError(TickError):
    """A training set cannot be built from the lakehouse as asked."""


class RegistryError(TickError):
    """The model registry has no such model, or what it holds cannot be trusted."""
