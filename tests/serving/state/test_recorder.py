"""Records of answers: sampled, bounded, counted when lost, and complete in Kafka when it is
there."""

import pytest

from contracts.config.settings import Settings
from contracts.features import CORE
from contracts.prediction import PredictionRecord, Source
from contracts.topics import PREDICTIONS
from models.runtime import load_model
from serving.core.predictor import Predictor
from serving.state.recorder import Recorder, prediction_record
from tests.serving.conftest import SYMBOL, UNREACHED
from tests.support import topic_reader

RECORD = PredictionRecord(
    request_id="request-1",
    symbol=SYMBOL,
    served_at_us=1_800_000_000_000_000,
    source=Source.ONLINE,
    model_name="tick-model",
    model_version="7",
    prediction_bps=0.5,
    known_at_us=None,
    event_times_us=None,
    features=None,
    age_s=None,
    stale=None,
)


def away(**fields) -> Settings:
    return Settings(kafka_port=UNREACHED, **fields)


def test_what_does_not_fit_the_queue_is_dropped_and_counted():
    dropped = []
    recorder = Recorder(away(prediction_queue_max=5), dropped.append)
    for _ in range(8):
        recorder.record(RECORD)
    assert sum(dropped) == 3
    recorder.close()
    assert sum(dropped) == 8


@pytest.mark.parametrize("share, least, most", [(0.0, 0, 0), (0.5, 350, 650), (1.0, 1000, 1000)])
def test_answers_are_sampled(share, least, most):
    dropped = []
    recorder = Recorder(away(prediction_sample=share), dropped.append)
    for _ in range(1000):
        recorder.record(RECORD)
    recorder.close()
    assert least <= sum(dropped) <= most


@pytest.mark.integration
def test_an_answer_is_a_record_in_kafka(platform, exported):
    dropped, before = [], topic_reader.ends(platform, PREDICTIONS.name)
    recorder = Recorder(platform, dropped.append)
    predictor = Predictor(
        platform, None, load_model(exported.folder, exported.digest, "tick-model", "7")
    )
    (answer,) = predictor.predict_rows([(SYMBOL, dict.fromkeys(CORE, 0.01))])
    recorder.record(prediction_record(answer, "request-1", 1_800_000_000_000_000))
    recorder.close()
    (message,) = topic_reader.since(platform, PREDICTIONS.name, before)
    record = message.fields
    assert message.key == SYMBOL
    assert dropped == []
    assert record["features"] == dict.fromkeys(CORE, 0.01)
    assert record["prediction_bps"] == answer.prediction_bps
    assert {
        name: record[name]
        for name in (
            "request_id",
            "symbol",
            "served_at_us",
            "source",
            "model_name",
            "model_version",
        )
    } == {
        "request_id": "request-1",
        "symbol": SYMBOL,
        "served_at_us": 1_800_000_000_000_000,
        "source": "request",
        "model_name": "tick-model",
        "model_version": "7",
    }
