"""The answer to one symbol of a request. JSON is made from it elsewhere: `serving.web.results` for
the API, `serving.state.recorder` for topic `predictions`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.runtime import Model
from serving.core.status import Status

SYNTHETIC_VENUES = {"synthetic": "SYNTH"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status of a symbol with its reason. Ages are in seconds of event time; `retry_after_s` is set
    where a retry may succeed.
    """

    status: Status
    reason: str = ""
    missing: tuple[str, ...] = ()
    retry_after_s: int | None = None
    event_time_us: int | None = None
    age_s: float | None = None
    stale: bool | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One symbol's outcome, the feature values used, and for status ok the prediction in basis
    points with the model that made it.

    `event_times_us` and `known_at_us` are None for features from the request.
    """

    symbol: str
    outcome: Outcome
    features: Mapping[str, float | None] | None = None
    prediction_bps: float | None = None
    event_times_us: Mapping[str, int | None] | None = None
    known_at_us: int | None = None
    model: Model | None = None

    @property
    def status(self) -> Status:
        """Status of the outcome."""
        return self.outcome.status

    def feature_values(self, names: Sequence[str]) -> list[float | None]:
        """The values of these features, in this order; for an answer that has features."""
        assert self.features is not None
        return [self.features[name] for name in names]


@lru_cache(maxsize=16)  # called per answer, with the few models that are served
def trained_venues(trained_on: str) -> frozenset[str]:
    """The venues in a model manifest's `trained_on`, where "synthetic" is the synthetic feed."""
    names = re.split(r"[,\s]+", trained_on)
    return frozenset(SYNTHETIC_VENUES.get(name, name) for name in names if name)
