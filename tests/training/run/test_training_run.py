"""A fourth pipeline, as small as it can be, on `TrainingRun` and a real MLflow registry."""

from functools import partial

import pytest

from contracts.config.settings import Settings
from contracts.errors import DatasetError, RegistryError
from models import tracking
from models.registry import Registry
from models.versions import ModelVersion
from tests.support.model_folder import export_small_forest
from training.run.gate import GateCheck, GateVerdict
from training.run.mlflow_run import EXECUTION_DATE
from training.run.provenance import iso
from training.run.training_run import (
    RUN_ID,
    VERDICT,
    RegisterPolicy,
    Registration,
    TrainingPipeline,
    TrainingRun,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning"
)
AT_US = 1_760_054_400_000_000
PIPELINE = TrainingPipeline("small", "small-training", "forest")


def prepare(settings, key, at_us=AT_US):
    training = TrainingRun(settings, PIPELINE, key)
    training.begin(at_us, {EXECUTION_DATE: iso(at_us)})
    with training.step("prepare") as (parent, step):
        for run in (parent, step):
            run.log_metrics({"rows": 2000})
    training.directory.update_state(rows=2000)


def train(settings, key, seed=1):
    training = TrainingRun(settings, PIPELINE, key)
    training.directory.require_state("rows", "prepare")
    with training.step("train"):
        training.save_model(export_small_forest(training.directory.model, seed))


def evaluate(settings, key, score=0.9):
    training = TrainingRun(settings, PIPELINE, key)
    with training.step("evaluate") as (_, step):
        training.saved_model()
        verdict = GateVerdict((GateCheck("score", score, ">", 0.5),), thresholds=("score",))
        step.log_metrics({"score": score})
    training.directory.update_state(**{VERDICT: verdict.as_dict()})


def register(settings, key, may_replace=lambda production, version: True):
    training = TrainingRun(settings, PIPELINE, key)
    digest = training.saved_model().digest
    find_version = partial(Registry(settings).find_version_with_digest, digest)
    policy = RegisterPolicy(find_version, may_replace)
    with training.parent_run().closing():
        return training.register(training.saved_verdict(), {"kind": "small"}, policy)


def run_all(settings, key, seed=1, score=0.9):
    prepare(settings, key)
    train(settings, key, seed)
    evaluate(settings, key, score)
    return register(settings, key)


@pytest.fixture
def settings(mlflow_home, tmp_path, request):
    (mlflow_home / "mlflow").mkdir(exist_ok=True)
    uri = f"sqlite:///{mlflow_home}/mlflow/mlflow.db"
    name = request.node.name
    return Settings(home=tmp_path, mlflow_tracking_uri=uri, model_name=name, experiment=name)


def statuses(settings):
    client = tracking.client(settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    runs = client.search_runs([experiment.experiment_id])
    names = [run.info.run_name for run in runs]
    assert len(set(names)) == len(names)
    return {run.info.run_name: run.info.status for run in runs}


def test_a_model_that_passes_becomes_production_with_its_tags(settings):
    result = run_all(settings, "k")
    assert (result.version, result.repeated, result.promoted) == ("1", False, True)
    production = Registry(settings).production_version()
    assert (production.version, production.tags["kind"]) == ("1", "small")
    parent = tracking.client(settings).get_run(production.run_id).data
    assert parent.params == {"model_type": "forest", "execution_date": iso(AT_US)}
    assert parent.tags["registered_version"] == "1"
    assert statuses(settings) == dict.fromkeys(
        ("small-training", "prepare", "train", "evaluate"), "FINISHED"
    )


def test_repeated_steps_resume_their_runs_and_register_nothing_new(settings):
    run_all(settings, "k")
    again = run_all(settings, "k")
    assert (again.version, again.repeated, again.promoted) == ("1", True, True)
    assert len(statuses(settings)) == 4
    assert len(Registry(settings).list_versions()) == 1
    assert len(Registry(settings).list_events()) == 1


def test_a_refused_model_never_enters_the_registry(settings):
    result = run_all(settings, "k", score=0.4)
    assert result == Registration(result.verdict)
    assert result.verdict.reasons == ["score 0.4 is not > 0.5"]
    assert Registry(settings).list_versions() == []


def test_a_policy_may_register_without_promoting(settings):
    run_all(settings, "first")
    prepare(settings, "second")
    train(settings, "second", seed=2)
    evaluate(settings, "second")
    seen = []

    def keep_production(production: ModelVersion, version):
        seen.append((production.version, version))
        return False

    result = register(settings, "second", keep_production)
    assert (result.version, result.promoted) == ("2", False)
    assert seen == [("1", None)]
    assert Registry(settings).production_version().version == "1"


def test_a_policy_that_raises_registers_nothing_and_fails_the_run(settings):
    prepare(settings, "k")
    train(settings, "k")
    evaluate(settings, "k")

    def refuse(production, version):
        raise RegistryError("Production has changed")

    with pytest.raises(RegistryError, match="has changed"):
        register(settings, "k", refuse)
    assert Registry(settings).list_versions() == []
    assert statuses(settings)["small-training"] == "FAILED"


def test_a_promotion_that_was_interrupted_is_completed(settings, monkeypatch):
    prepare(settings, "k")
    train(settings, "k")
    evaluate(settings, "k")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Registry, "promote", _interrupt)
        register(settings, "k")
    (version,) = Registry(settings).list_versions()
    assert not version.production
    assert register(settings, "k").promoted
    assert Registry(settings).production_version().version == version.version == "1"


def _interrupt(*_):
    raise KeyboardInterrupt


def test_each_step_names_the_one_before(settings):
    training = TrainingRun(settings, PIPELINE, "k")
    with pytest.raises(DatasetError, match="no training has begun"):
        training.parent_run()
    with pytest.raises(DatasetError, match="lacks the results of prepare"):
        train(settings, "k")
    prepare(settings, "k")
    with pytest.raises(DatasetError, match="lacks the results of train_model"):
        training.saved_model()
    with pytest.raises(DatasetError, match="lacks the results of evaluate_model"):
        training.saved_verdict()


def test_a_failed_step_fails_the_parent_and_the_next_attempt_reopens_both(settings):
    training = TrainingRun(settings, PIPELINE, "k")
    training.begin(AT_US, {})
    with pytest.raises(ZeroDivisionError), training.step("prepare"):
        raise ZeroDivisionError
    assert statuses(settings) == {"small-training": "FAILED", "prepare": "FAILED"}
    run_id = training.directory.read_state()[RUN_ID]
    prepare(settings, "k")
    assert training.directory.read_state()[RUN_ID] == run_id
    assert statuses(settings) == {"small-training": "RUNNING", "prepare": "FINISHED"}


def test_a_temporary_training_leaves_no_directory(settings):
    with TrainingRun.temporary(settings, PIPELINE, AT_US) as training:
        training.begin(AT_US, {})
        path = training.directory.path
        assert path.is_dir()
    assert not path.exists()
    with pytest.raises(KeyboardInterrupt), TrainingRun.temporary(settings, PIPELINE, 1) as training:
        training.begin(1, {})
        raise KeyboardInterrupt
    assert not training.directory.path.exists()
