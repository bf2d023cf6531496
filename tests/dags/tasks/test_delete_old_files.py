"""Maintenance deletes files and run directories that were not written to since a time."""

import os

from dags.tasks import maintenance

NOW_US = 1_772_712_000_000_000  # 2026-03-05T12:00


def test_old_files_go_and_young_ones_stay(tmp_path):
    for name, age_s in (("a/old.log", 100), ("a/young.log", 0), ("b/old.log", 100)):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        os.utime(file, (NOW_US / 1e6 - age_s,) * 2)
    assert maintenance.delete_old_files(tmp_path, NOW_US - 50_000_000) == 2
    assert [file.name for file in tmp_path.rglob("*")] == ["a", "young.log"]


def test_the_link_to_the_newest_logs_does_not_stop_the_clean_up(tmp_path):
    old = tmp_path / "dag_processor" / "2026-01-01" / "old.log"
    old.parent.mkdir(parents=True)
    old.write_text("x")
    os.utime(old, (NOW_US / 1e6 - 100,) * 2)
    (tmp_path / "dag_processor" / "latest").symlink_to(old.parent)
    assert maintenance.delete_old_files(tmp_path, NOW_US - 50_000_000) == 1
    assert not old.parent.exists()


def test_folders_of_empty_folders_are_deleted_and_the_root_is_kept(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a-b").mkdir()
    assert maintenance.delete_old_files(tmp_path, NOW_US) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_training_goes_only_when_nothing_in_it_is_young(tmp_path):
    for name, age_s in (
        ("tick/old/state.json", 100),
        ("tick/busy/state.json", 100),
        ("tick/busy/model/model.onnx", 0),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
        os.utime(file, (NOW_US / 1e6 - age_s,) * 2)
    for folder in ("tick/old", "tick/busy", "tick/busy/model"):
        os.utime(tmp_path / folder, (NOW_US / 1e6 - 100,) * 2)
    assert maintenance.delete_old_runs(tmp_path, NOW_US - 50_000_000) == 1
    assert [folder.name for folder in (tmp_path / "tick").iterdir()] == ["busy"]


def test_nothing_there_is_nothing_to_do(tmp_path):
    assert (
        maintenance.delete_old_files(tmp_path / "none", NOW_US)
        == maintenance.delete_old_runs(tmp_path / "none", NOW_US)
        == 0
    )
