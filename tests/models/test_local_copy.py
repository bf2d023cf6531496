"""Local copies of registered models: downloaded once, and never used before they were loaded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.config.settings import Settings
from contracts.errors import RegistryError
from models import local_copy
from models.versions import DIGEST, ModelVersion
from tests.support.model_folder import export_small_forest

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def stored(tmp_path):
    """Version 1 of a model, in an artifact store that is a folder."""
    exported = export_small_forest(tmp_path / "store")
    tags = {DIGEST: exported.digest}
    return ModelVersion("m", "1", "", False, 0, "", exported.folder.as_uri(), tags)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_copy_is_complete_and_the_store_stays_as_it_is(settings, stored, tmp_path):
    before = files(tmp_path / "store")
    model = local_copy.fetch_copy(settings, stored)
    assert (model.name, model.version, model.digest) == ("m", "1", stored.tags[DIGEST])
    assert model.path == settings.root / "models" / "m" / "1"
    assert files(model.path) == files(tmp_path / "store") == before


def test_callers_at_the_same_time_download_it_once(settings, stored, monkeypatch):
    downloads = []
    download = local_copy._download

    def counted(*arguments):
        downloads.append(arguments)
        download(*arguments)

    monkeypatch.setattr(local_copy, "_download", counted)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: local_copy.fetch_copy(settings, stored), range(4)))
    assert len(downloads) == 1
    assert models == models[:1] * 4


def test_a_version_without_a_digest_is_refused(settings, stored):
    stored.tags.clear()
    with pytest.raises(RegistryError, match="is not the one that was registered"):
        local_copy.fetch_copy(settings, stored)


def test_a_model_that_loads_too_slowly_leaves_no_copy(settings, stored):
    impatient = settings.model_copy(update={"model_check_timeout_s": 0.01})
    with pytest.raises(RegistryError, match="took longer than 0.01 s"):
        local_copy.fetch_copy(impatient, stored)
    assert files(settings.root / "models" / "m") == {".1.lock"}
    assert local_copy.fetch_copy(settings, stored).path.is_dir()
