"""Secrets stay where they belong: none in what settings, errors and rendered statements show, none
in the repository.
"""

import re
import subprocess
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from lakehouse import catalog_options
from serving.state.registry_state import SECRETS

ROOT = Path(__file__).parents[2]
CANARY = "canary-5f1c-secret"
NAMES = [
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
]
PAIRS = {"s3_access_key": "s3_secret_key", "s3_secret_key": "s3_access_key"}


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_hides_itself(make_settings, name):
    value = f"postgresql://u:{CANARY}@h/d" if name == "airflow_database" else CANARY
    given = make_settings(**{name: value}, **({PAIRS[name]: CANARY} if name in PAIRS else {}))
    assert (
        CANARY not in repr(given)
        and CANARY not in str(given)
        and CANARY not in given.model_dump_json()
    )
    assert name in SECRETS, "the registry's child must not get it"


def test_what_an_engine_repeats_is_masked(make_settings):
    given = make_settings(
        catalog_uri="http://c",
        catalog_token=CANARY,
        kafka_password=CANARY,
        s3_access_key=CANARY,
        s3_secret_key=CANARY,
    )
    assert CANARY not in catalog_options.mask_secrets(
        given, f'could not open catalog with token={CANARY} and password="{CANARY}"'
    )


def test_no_key_or_token_is_committed():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    text = re.compile(
        r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE"
        r" KEY-----|gh[pousr]_[A-Za-z0-9]{36}|xox[abp]-[0-9A-Za-z-]{10,}"
    )
    found = [
        name
        for name in files
        if (ROOT / name).is_file() and text.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert found == []
