"""Challenger and shadow mode: the challenger serves a share of the symbols; for the others its
predictions are only recorded.
"""

import zlib
from collections.abc import Sequence

from serving.core.answer import Answer
from serving.core.status import Status
from serving.state.recorder import prediction_record
from serving.state.service import Service


def is_in_share(symbol: str, share: float) -> bool:
    """Whether the challenger serves `symbol`. It depends on the symbol alone, so that all processes
    agree.
    """
    return zlib.crc32(symbol.encode()) < share * 2**32


def route_to_challenger(service: Service, answers: list[Answer]) -> list[Answer]:
    """The answers, with the challenger's predictions for its share of the symbols."""
    challenger = service.models.challenger
    share = service.settings.challenger_share
    if challenger is None or share <= 0:
        return answers
    return [
        challenger.rescore([answer])[0] if is_in_share(answer.symbol, share) else answer
        for answer in answers
    ]


def record_shadow(
    service: Service, answers: Sequence[Answer], request_id: str, served_at_us: int
) -> None:
    """Shadow mode: record what the other model predicts on the same features. Runs after the
    response was sent.
    """
    models = service.models
    if models.challenger is None or models.predictor is None:
        return
    online_answers = [answer for answer in answers if answer.event_times_us is not None]
    for predictor in (models.challenger, models.predictor):
        unscored = [answer for answer in online_answers if answer.model is not predictor.model]
        for answer in predictor.rescore(unscored):
            if answer.status is Status.OK:
                record = prediction_record(answer, request_id, served_at_us, is_shadow=True)
                service.recorder.record(record)
