"""How many cases a test with generated requests runs: TICK_TEST_FUZZ, by default 2,000."""

import os

CASES = int(os.environ.get("TICK_TEST_FUZZ", "2000"))
