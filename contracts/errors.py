"""Errors a person can act on: each states what happened, with the values, and what to do next."""


class TickError(Exception):
    """Base class of every expected failure; `hint` says what to do.

    The command line prints both and exits with 1.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class SettingError(TickError):
    """A setting, a run parameter or a DAG file has an unusable value."""


class ServiceError(TickError):
    """A service could not be started, reached or stopped."""


class FeedError(TickError):
    """A feed cannot be read or sent as requested, or the live job rejected some of its ticks."""


class JobError(TickError):
    """A Flink job could not be submitted, stopped, resumed or completed."""


class DatasetError(TickError):
    """The lakehouse cannot answer a read, or cannot provide the requested training set."""


class RegistryError(TickError):
    """The model registry has no such model, or its content cannot be trusted."""
