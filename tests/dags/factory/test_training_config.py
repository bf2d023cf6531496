"""A YAML file becomes a variant, or an error that names the file, the field and what would be
right.
"""

import json
from pathlib import Path

import pytest
import yaml

from contracts.errors import SettingError
from dags.factory.training_config import TRAINING_PROFILES, load_variants, validate_config
from tests.support.documented_pipelines import CALLS

REPO = Path(__file__).parents[3]
GOOD = """\
dag_id: mnist_short_training
model_type: cnn
dataset: mnist
framework: tensorflow
pool: gpu_pool
tags: [ml, cnn]
params: {epochs: 2}
"""


def error_message(folder, reserved_ids=()):
    with pytest.raises(SettingError) as caught:
        load_variants(folder, reserved_ids)
    return caught.value.message


def test_a_third_network_is_a_file(tmp_path):
    (tmp_path / "short.yaml").write_text(GOOD)
    (variant,) = load_variants(tmp_path, ())
    assert (variant.dag_id, variant.pool, variant.priority_weight, variant.params) == (
        "mnist_short_training",
        "gpu_pool",
        5,
        {"epochs": 2},
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_documented_configuration_is_accepted_as_arguments_and_as_a_file(tmp_path, name):
    fields = CALLS[name].fields()
    (tmp_path / "documented.yaml").write_text(yaml.safe_dump(fields))
    (variant,) = load_variants(tmp_path, ())
    assert variant == validate_config(fields, "create")
    assert (variant.pool, variant.priority_weight) == (
        fields.get("pool", "default_pool"),
        fields.get("priority_weight", 5),
    )


def test_the_shipped_ones_are_good():
    assert [each.dataset for each in load_variants(REPO / "dags" / "variants", ())] == [
        "cifar10",
        "power",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "dataset: mnist",
            "dataset: mnst",
            "dataset: 'mnst' is none of mnist, cifar10, tick, power",
        ),
        (
            "framework: tensorflow",
            "framework: jax",
            "framework: mnist is trained by tensorflow, not 'jax'",
        ),
        ("model_type: cnn", "model_type: transformer", "model_type: 'transformer' is none of cnn"),
        ("pool: gpu_pool", "pool: tpu_pool", "pool: Input should be"),
        ("tags: [ml, cnn]", "tags: []", "tags: Tuple should have at least 1 item"),
        ("dag_id: mnist_short_training", "dag_id: Mnist Short", "dag_id: String should match"),
        ("params: {epochs: 2}", "params: {epoch: 2}", "params: mnist has no 'epoch'"),
        ("pool: gpu_pool", "pool: gpu_pool\nschedule: daily", "schedule: String should match"),
        ("pool: gpu_pool", "pool: gpu_pool\nowner: me", "owner: Extra inputs are not permitted"),
        ("dataset: mnist\n", "", "dataset: Field required"),
        ("params: {epochs: 2}", "params: {data: 2026-01-01}", "params.data"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, expected):
    (tmp_path / "wrong.yaml").write_text(GOOD.replace(old, new))
    message = error_message(tmp_path)
    assert message.startswith("wrong.yaml: ")
    assert expected in message


@pytest.mark.parametrize("text", ["a: [1", "- a\n- b", "", "\x00"])
def test_what_is_not_a_mapping_is_refused(tmp_path, text):
    (tmp_path / "broken.yaml").write_text(text)
    assert error_message(tmp_path).startswith("broken.yaml: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority_weight", 1),
        ("priority_weight", 10),
        ("dag_id", "abc"),
        ("dag_id", "a" * 100),
        ("schedule", "0 1 * * *"),
        ("schedule", None),
        ("params", {"seed": None}),
    ],
)
def test_a_value_at_its_limit_is_accepted(field, value):
    variant = validate_config(yaml.safe_load(GOOD) | {field: value}, "create")
    assert getattr(variant, field) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority_weight", 0),
        ("priority_weight", 11),
        ("dag_id", "ab"),
        ("dag_id", "a" * 101),
        ("dag_id", "9abc"),
        ("schedule", "0 1 * *"),
        ("schedule", "0 1 * * * *"),
        ("params", {"seed": [1]}),
    ],
)
def test_a_value_beyond_its_limit_is_refused_by_name(field, value):
    with pytest.raises(SettingError, match=f"create: {field}"):
        validate_config(yaml.safe_load(GOOD) | {field: value}, "create")


def test_every_conflict_of_a_file_is_listed_with_what_is_supported(tmp_path):
    wrong = {"framework": "jax", "model_type": "mlp", "params": {"x": 1, "epochs": 2, "y": 3}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(yaml.safe_load(GOOD) | wrong))
    with pytest.raises(SettingError) as caught:
        load_variants(tmp_path, ())
    assert caught.value.message == (
        "wrong.yaml: framework: mnist is trained by tensorflow, not 'jax';"
        " model_type: 'mlp' is none of cnn; params: mnist has no 'x'; params: mnist has no 'y'"
    )
    assert "cifar10: cnn, resnet9, simple by pytorch" in caught.value.hint
    assert "docs/airflow.md" in caught.value.hint


def test_a_folder_and_a_file_that_is_not_text_are_refused_by_name(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "latin.yml").write_bytes(b"dag_id: \xe9\xe8")
    lines = error_message(tmp_path).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["folder.yaml", "latin.yml"]
    assert all("not valid YAML" in line for line in lines)


def test_a_long_error_of_the_parser_is_cut_to_one_line(tmp_path):
    (tmp_path / "long.yaml").write_text(f"a: '{'x' * 5_000}\nb: [")
    message = error_message(tmp_path)
    assert len(message) < 250
    assert "\n" not in message


def test_other_files_of_the_folder_are_ignored(tmp_path):
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "notes.md").write_text("- not a variant")
    (tmp_path / "b.yaml.disabled").write_text("- not a variant")
    assert [variant.dag_id for variant in load_variants(tmp_path, ())] == ["mnist_short_training"]


def test_an_empty_folder_has_no_variants(tmp_path):
    assert load_variants(tmp_path, ()) == load_variants(tmp_path / "none", ()) == []


def test_never_two_of_one_id(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    assert error_message(tmp_path) == "b.yaml: the id mnist_short_training is taken by a.yaml"
    assert "a.yaml: the id mnist_short_training is taken by a DAG file" in error_message(
        tmp_path, ["mnist_short_training"]
    )


def test_all_wrong_files_are_told_at_once(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1")
    (tmp_path / "b.yaml").write_text(GOOD.replace("mnist\n", "mnst\n"))
    assert [line.partition(":")[0] for line in error_message(tmp_path).splitlines()] == [
        "a.yaml",
        "b.yaml",
    ]


def test_arguments_are_checked_like_files():
    with pytest.raises(
        SettingError,
        match=(
            "create: framework: Field required; priority_weight: Input should be less than or equal"
            " to 10"
        ),
    ):
        validate_config(
            {
                **json.loads(
                    json.dumps({"dag_id": "abc", "model_type": "cnn", "dataset": "mnist"})
                ),
                "priority_weight": 99,
            },
            "create",
        )


def test_every_owner_and_gate_is_given():
    assert all(
        known.owner.endswith("-team") and known.gate and known.experiment
        for known in TRAINING_PROFILES.values()
    )


def test_pools_are_those_of_the_file():
    pools = json.loads((REPO / "dags" / "pools.json").read_text())
    assert {name: pool["slots"] for name, pool in pools.items()} == {
        "gpu_pool": 2,
        "high_priority_cpu": 4,
        "default_pool": 8,
    }
