"""The confusion matrix counts images by label and answer, and its title has the accuracy."""

import numpy as np

from training.vision.plot import confusion_counts, plot_confusion

ACTUAL = np.array([0, 0, 1, 2, 2, 2], dtype=np.uint8)
ANSWERS = np.array([0, 1, 1, 2, 0, 2])
PROBABILITIES = np.eye(3)[ANSWERS] * 0.8 + 0.1


def test_rows_are_labels_and_columns_answers():
    assert confusion_counts(ACTUAL, PROBABILITIES, 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


def test_a_label_without_images_has_a_row_of_zeros():
    counts = confusion_counts(ACTUAL, np.pad(PROBABILITIES, ((0, 0), (0, 1))), 4)
    assert counts[3].tolist() == counts[:, 3].tolist() == [0, 0, 0, 0]


def test_the_plot_names_labels_and_accuracy_and_writes_no_zeros():
    axes = plot_confusion(ACTUAL, PROBABILITIES, ["a", "b", "c"], "digits").axes[0]
    assert axes.get_title() == "digits: 66.67% of 6 test images"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "1", "1", "2"]


def test_without_images_the_accuracy_is_zero():
    empty = np.empty((0, 2))
    figure = plot_confusion(np.empty(0, dtype=int), empty, ["a", "b"], "none")
    assert figure.axes[0].get_title() == "none: 0.00% of 0 test images"
