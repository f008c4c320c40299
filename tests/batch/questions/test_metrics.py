"""The measures of `--gold`, against scikit-learn and by hand."""

import random

import numpy as np
import pytest
from qchat.batch.questions.metrics import Judged, score, threshold_for
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix

OPTIONS = ("bad", "good", "mixed")


def judged(count: int, seed: int) -> list[Judged]:
    dice = random.Random(seed)
    items = []
    for _n in range(count):
        weights = [dice.random() ** 3 for _option in OPTIONS]
        shares = {option: w / sum(weights) for option, w in zip(OPTIONS, weights, strict=True)}
        best = max(shares, key=shares.__getitem__)
        label = best if dice.random() < shares[best] else dice.choice(OPTIONS)
        items.append(Judged(best, label, shares[best], shares))
    return items


@pytest.mark.parametrize("seed", range(5))
def test_measures_equal_those_of_scikit_learn(seed: int) -> None:
    items = judged(200, seed)
    result = score("mood", items)
    labels, answers = [item.label for item in items], [item.answer for item in items]
    p = np.array([item.p for item in items])
    right = np.array([item.is_right for item in items])
    assert result.rows == 200
    assert result.accuracy == pytest.approx(accuracy_score(labels, answers))
    assert result.brier == pytest.approx(brier_score_loss(right, p))
    probs = np.array([[item.probs[option] for option in OPTIONS] for item in items])
    every = brier_score_loss(labels, probs, labels=list(OPTIONS), scale_by_half=False)
    assert result.brier_options == pytest.approx(every)
    accuracies, confidences = calibration_curve(right, p, n_bins=10)
    assert [item.accuracy for item in result.curve] == pytest.approx(list(accuracies))
    assert [item.confidence for item in result.curve] == pytest.approx(list(confidences))
    counts = np.histogram(p, bins=np.linspace(0, 1, 11))[0]
    counts = counts[counts > 0]
    assert [item.rows for item in result.curve] == list(counts)
    assert result.ece == pytest.approx(float(np.sum(counts * abs(accuracies - confidences)) / 200))
    matrix = confusion_matrix(labels, answers, labels=OPTIONS)
    for label, row in zip(OPTIONS, matrix, strict=True):
        own = result.confusion.get(label, {})
        assert [own.get(answer, 0) for answer in OPTIONS] == list(row)


def test_for_two_options_the_brier_score_is_that_of_either() -> None:
    items = [
        Judged("yes", "yes", 0.8, {"yes": 0.8, "no": 0.2}),
        Judged("no", "yes", 0.6, {"yes": 0.4, "no": 0.6}),
        Judged("no", "no", 1.0, {"yes": 0.0, "no": 1.0}),
    ]
    assert score("q", items).brier == pytest.approx(brier_score_loss([1, 1, 0], [0.8, 0.4, 0.0]))


def test_the_threshold_keeps_as_many_rows_as_it_can() -> None:
    pairs = [(0.9, True), (0.8, True), (0.8, False), (0.7, True), (0.6, True)]
    limit = threshold_for(pairs, 0.75)
    assert limit is not None
    assert (limit.p, limit.accuracy, limit.coverage) == (0.6, 0.8, 1.0)
    limit = threshold_for(pairs, 0.95)
    assert limit is not None and (limit.p, limit.coverage) == (0.9, 0.2)
    assert threshold_for([(0.9, False), (0.8, True)], 0.95) is None
    # Rows with one confidence are on one side together.
    assert threshold_for([(0.8, True), (0.8, False)], 0.95) is None
    assert threshold_for([]) is None


def test_edges_of_the_bins() -> None:
    items = [Judged("a", "a", p) for p in (0.0, 0.1, 0.100001, 1.0)]
    assert [(item.low, item.rows) for item in score("q", items).curve] == [
        *((0.0, 2), (0.1, 1), (0.9, 1))
    ]


def test_answers_without_probabilities_have_an_accuracy_alone() -> None:
    result = score("city", [Judged("Rome", "Rome"), Judged("Oslo", "Rome")])
    assert (result.accuracy, result.brier, result.ece, result.threshold) == (0.5, None, None, None)
    assert result.confusion == {"Rome": {"Oslo": 1, "Rome": 1}}
