"""Origin of training data: a synthetic data set is labelled, a mixed one is not."""

import pytest

from training.run.provenance import all_synthetic, data_source, iso, title_suffix


@pytest.mark.parametrize(
    ("symbols", "synthetic", "source"),
    [
        (["SYNTH:A", "SYNTH:B"], True, "synthetic"),
        (["SYNTH:A", "BINANCE:B"], False, "BINANCE,SYNTH"),
        (["CME:ES", "BINANCE:B", "BINANCE:C"], False, "BINANCE,CME"),
        (["SYNTHETIC:A"], False, "SYNTHETIC"),
    ],
)
def test_only_the_synthetic_exchange_alone_is_synthetic(symbols, synthetic, source):
    assert all_synthetic(symbols) is synthetic
    assert data_source(symbols) == source
    assert ("planted" in title_suffix(symbols)) is synthetic


def test_times_are_utc_with_microseconds_where_there_are_any():
    assert iso(0) == "1970-01-01T00:00:00+00:00"
    assert iso(1_760_054_400_000_000 + 250_000) == "2025-10-10T00:00:00.250000+00:00"
