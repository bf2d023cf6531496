"""Predictions from features and a model: one answer per symbol. A symbol that cannot be predicted
gets an answer with the reason.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from contracts.config.settings import Settings
from feature_store.online.reader import FeatureRow, OnlineReader, OnlineStoreUnavailable
from models.runtime import Model
from serving.core.answer import Answer, Outcome
from serving.core.freshness import evaluate_row
from serving.core.micro_batch import MicroBatcher
from serving.core.status import Status

BPS = 1e4


class UnknownFeaturesError(ValueError):
    """The features of row `index` of a request are not the `expected` ones of the model: the names
    that are `unknown`, and those that are `missing`.
    """

    def __init__(self, names: Collection[str], expected: Sequence[str], index: int = 0) -> None:
        super().__init__(names, expected, index)
        self.index = index
        self.unknown = tuple(sorted(set(names).difference(expected)))
        self.missing = tuple(name for name in expected if name not in names)


class Predictor:
    """Predicts with one model, on features from the online store or from the request."""

    def __init__(self, settings: Settings, reader: OnlineReader, model: Model) -> None:
        self.settings = settings
        self.reader = reader
        self.model = model
        self._names = frozenset(model.features)
        self._batches = MicroBatcher(self._predict_online, settings.micro_batch_symbols_max)

    async def predict_symbols(self, symbols: Sequence[str], now_us: int) -> list[Answer]:
        """One answer per symbol, in order, on features from the online store.

        Ages are as of `now_us`, or of the newest request in the same micro-batch.
        """
        return await self._batches.get_answers(symbols, now_us)

    async def _predict_online(self, symbols: Sequence[str], now_us: int) -> dict[str, Answer]:
        try:
            rows = await self.reader.read(symbols, now_us)
            is_empty = await self._is_store_empty(rows)
        except OnlineStoreUnavailable:
            reason = "the online feature store does not answer"
            return _refuse_all(symbols, Outcome(Status.STORE_UNREACHABLE, reason, (), 1))
        if is_empty:
            reason = "the online feature store is empty: nothing was written since it started"
            outcome = Outcome(Status.STORE_EMPTY, reason, (), self.settings.retry_after_s)
            return _refuse_all(symbols, outcome)
        answers = self._add_predictions(self._evaluate_rows(symbols, rows, now_us))
        return dict(zip(symbols, answers, strict=True))

    async def _is_store_empty(self, rows: Sequence[FeatureRow]) -> bool:
        return not any(row.found for row in rows) and await self.reader.heartbeat_ms() is None

    def _evaluate_rows(
        self, symbols: Iterable[str], rows: Iterable[FeatureRow], now_us: int
    ) -> list[Answer]:
        names = self.model.features
        answers = []
        for symbol, row in zip(symbols, rows, strict=True):
            outcome = evaluate_row(row, names, self.settings, now_us)
            values = dict(zip(names, row.values, strict=True)) if row.found else None
            answers.append(
                Answer(symbol, outcome, values, None, row.event_time_us, row.known_at_us)
            )
        return answers

    def predict_rows(self, rows: Sequence[tuple[str, Mapping[str, float]]]) -> list[Answer]:
        """One answer per (symbol, features), in order.

        Raises UnknownFeaturesError unless each row has exactly the features of the model.
        """
        for index, (_, features) in enumerate(rows):
            if features.keys() != self._names:
                raise UnknownFeaturesError(features, self.model.features, index)
        outcome = Outcome(Status.OK)
        return self._add_predictions(
            [Answer(symbol, outcome, features) for symbol, features in rows]
        )

    def rescore(self, answers: Sequence[Answer]) -> list[Answer]:
        """Another model's answers with the predictions of this one, on the same feature values."""
        return self._add_predictions(answers)

    def _add_predictions(self, answers: Sequence[Answer]) -> list[Answer]:
        """Add a prediction to each answer with status ok, by one call of the model."""
        names = self.model.features
        rows = [answer.feature_values(names) for answer in answers if answer.status is Status.OK]
        if not rows:
            return list(answers)
        log_returns = iter(self.model.predict(np.array(rows, dtype=np.float64)).tolist())
        return [
            self._with_prediction(answer, next(log_returns))
            if answer.status is Status.OK
            else answer
            for answer in answers
        ]

    def _with_prediction(self, answer: Answer, log_return: float) -> Answer:
        outcome = answer.outcome
        prediction_bps: float | None = log_return * BPS
        if not math.isfinite(log_return):
            reason = "the model returned a number that is not finite"
            outcome = Outcome(Status.MODEL_FAILED, reason, (), None, outcome.event_time_us)
            prediction_bps = None
        # `dataclasses.replace` would take 7 % of the time of a request.
        return Answer(
            answer.symbol,
            outcome,
            answer.features,
            prediction_bps,
            answer.event_times_us,
            answer.known_at_us,
            self.model,
        )


def _refuse_all(symbols: Sequence[str], outcome: Outcome) -> dict[str, Answer]:
    return {symbol: Answer(symbol, outcome) for symbol in symbols}
