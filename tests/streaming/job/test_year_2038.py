"""From January 2038 on the seconds since 1970 do not fit 32 bits: the SQL counts from 2038."""

import json
import re
from datetime import UTC, datetime

import pytest

from contracts.config.settings import Settings
from contracts.tick import FUTURE_US_MAX, QUOTES, Tick
from feature_store.sql import tiles, windows
from streaming.job import job
from streaming.job.validation_sql import RECEIVED, RECEIVED_ANCHOR
from tests.support import local_flink

SECOND_US = 1_000_000
AT_2039_US = 2_180_000_000 * SECOND_US
BEFORE_US = 2_147_483_646 * SECOND_US  # two seconds before 32 bits overflow
AT_2105_US = 4_290_000_000 * SECOND_US
FIRSTS_US = (BEFORE_US, BEFORE_US + SECOND_US, BEFORE_US + 2 * SECOND_US, AT_2039_US, AT_2105_US)
DIFFERENCES = re.compile(r"TIMESTAMPDIFF\(SECOND, (TIMESTAMP '[^']*'|TO_TIMESTAMP_LTZ\([^)]*\))")
NAMES = tuple(name for name in Tick._fields if name not in QUOTES)
TYPES = ("STRING", "STRING", "BIGINT", "BIGINT", "DOUBLE", "DOUBLE", "INT", "STRING", "BIGINT")


def test_every_count_of_seconds_begins_in_2038():
    program = job.program(Settings())
    batch = windows.to_pairs(windows.ladder("batch"))
    texts = (*program.ddl, *program.inserts, *(text for _, text in (*program.views, *batch)))
    text = "\n".join(texts)
    anchors = DIFFERENCES.findall(text)
    assert len(anchors) == text.count("TIMESTAMPDIFF") > 2
    assert set(anchors) == {tiles.ANCHOR, RECEIVED_ANCHOR}
    assert datetime(2038, 1, 1, tzinfo=UTC).timestamp() == tiles.ANCHOR_S


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["stream", "batch"])
def test_tiles_and_arrival_times_of_2039_are_exact(tmp_path, mode):
    ticks = [
        Tick("V", "A", at + 250_000, at + 999_999, 2.0, 1.0, 1, str(at), 1) for at in FIRSTS_US
    ]
    file = tmp_path / "ticks.json"
    file.write_text("\n".join(json.dumps(dict(zip(NAMES, tick, strict=False))) for tick in ticks))
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(NAMES, TYPES, strict=True))
    source = f"""CREATE TABLE ticks ({columns}, et AS TO_TIMESTAMP_LTZ(event_time_us / 1000, 3),
  arrived AS TO_TIMESTAMP_LTZ(ingest_time_us / 1000, 3), WATERMARK FOR et AS et)
  WITH ('connector'='filesystem', 'path'='{file}', 'format'='json')"""
    levels = tiles.stream() if mode == "stream" else tiles.batch(duplicates=False)
    accepted = f"FROM ticks WHERE event_time_us <= {RECEIVED} + {FUTURE_US_MAX}"
    row = tiles.tile_input() if mode == "stream" else "*"
    views = [("windowed_ticks", f"SELECT {row} {accepted}"), *windows.to_pairs(levels)]
    received = f"SELECT {RECEIVED} AS us FROM ticks"
    rows = local_flink.query(
        mode,
        [source],
        views,
        f"SELECT sec * 1000000 AS us FROM {tiles.TILES} UNION ALL {received}",
    )
    ends = [at + SECOND_US for at in FIRSTS_US]
    assert sorted(us for (us,) in rows) == sorted([*ends, *FIRSTS_US])
