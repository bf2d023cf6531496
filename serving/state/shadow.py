"""A challenger alongside Production: it answers for a share of the symbols, and for the others in
the shadow, for the record alone.
"""

import zlib
from collections.abc import Sequence

from serving.core.predictor import Answer
from serving.core.status import Status
from serving.state.service import Service


def in_share(symbol: str, share: float) -> bool:
    """Whether a symbol belongs to the challenger: the same one always, whoever asks and whichever
    process answers.
    """
    return zlib.crc32(symbol.encode()) < share * 2**32


def split(service: Service, answers: list[Answer]) -> list[Answer]:
    """The answers, those of the challenger's share by the challenger."""
    rival, share = service.challenger, service.settings.challenger_share
    if rival is None or share <= 0:
        return answers
    return [
        rival.again([answer])[0] if in_share(answer.symbol, share) else answer for answer in answers
    ]


def shadow(service: Service, answers: Sequence[Answer], request_id: str, served_at_us: int) -> None:
    """What the one who did not answer would have said of the same live features, recorded; called
    when the answer has left.
    """
    live = [answer for answer in answers if answer.event_times_us is not None]
    for one in (service.challenger, service.predictor):
        if one is None or service.challenger is None:
            continue
        for answer in one.again([answer for answer in live if answer.model is not one.model]):
            if answer.status is Status.OK:
                service.recorder.record(
                    answer.symbol, one.record(answer, request_id, served_at_us, shadow=True)
                )
