"""Challenger and shadow mode: the challenger serves a share of the symbols; for the others its
predictions are only recorded.
"""

import zlib
from collections.abc import Sequence

from serving.core.answer import Answer
from serving.core.predictor import Predictor
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
    if challenger is None:
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
    online_answers = [answer for answer in answers if answer.event_times_us is not None]
    for predictor in service.models.compared:
        for answer in _score_unserved(predictor, online_answers):
            record = prediction_record(answer, request_id, served_at_us, is_shadow=True)
            service.recorder.record(record)


def _score_unserved(predictor: Predictor, answers: Sequence[Answer]) -> list[Answer]:
    """The answers of another model with the predictions of `predictor`, where it makes one."""
    unscored = [answer for answer in answers if answer.model is not predictor.model]
    return [answer for answer in predictor.rescore(unscored) if answer.status is Status.OK]
