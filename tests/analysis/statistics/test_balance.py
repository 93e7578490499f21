from __future__ import annotations

import numpy as np
import pytest
from small import head_recipe

from ova.analysis.statistics.balance import balance_heads
from ova.analysis.statistics.parts import Parts
from ova.analysis.statistics.sizes import Sizes
from ova.data.dataset import open_dataset
from ova.heads.training.plan import plan_head
from ova.heads.training.pos_weight import plan_balance

HEADS = {
    "weighted": head_recipe(),
    "sampled": head_recipe(balance={"sampler": "balanced"}),
    "capped": head_recipe("bar", balance={"negatives_per_positive": 1.5}, input={"size": [30, 20]}),
}


def balance_of(workspace):
    dataset = open_dataset(workspace)
    split = Parts.of(dataset.table.images, dataset.split.part_of)
    sizes = Sizes.of(dataset.table.images, dataset.facts)
    return dataset, balance_heads(workspace, dataset.table, sizes, split)


@pytest.mark.parametrize("split", [{}, {"folds": 3}])
def test_rows_are_those_that_each_network_is_trained_on(make_workspace, split):
    workspace = make_workspace(HEADS, dataset={"split": split})
    dataset, found = balance_of(workspace)
    assert [head.name for head in found] == ["capped", "sampled", "weighted"]
    for head in found:
        plan = plan_head(workspace, dataset, head.name)
        assert len(head.networks) == len(plan.members)
        for (training, validation), network in zip(plan.members, head.networks, strict=True):
            part = plan.join(training)
            expected = plan_balance(part.labels, plan.recipe.balance)
            assert network.validation == validation
            assert network.rows == (part.negatives, part.positives)
            assert (network.per_epoch, network.pos_weight) == (expected.per_epoch, expected.pos_weight)
            assert network.lines == expected.lines


def test_shares_before_and_after(make_workspace):
    _, found = balance_of(make_workspace(HEADS))
    capped, sampled, weighted = (head.networks[0] for head in found)
    assert weighted.per_epoch == weighted.rows
    assert weighted.shares[0] == weighted.shares[1] == weighted.rows[1] / sum(weighted.rows)
    assert weighted.shares[2] == pytest.approx(0.5)
    assert sampled.shares[1:] == (0.5, 0.5)
    assert capped.shares[1] == pytest.approx(1 / 2.5, abs=0.02)


def test_inputs_are_compared_with_all_images(make_workspace):
    _, found = balance_of(make_workspace(HEADS))
    assert {head.name: head.enlarged for head in found} == {"capped": 1.0, "sampled": 0.0, "weighted": 0.0}


def test_a_head_that_cannot_be_balanced_gets_a_note(make_workspace):
    spot = [1] + [0] * 19
    workspace = make_workspace(
        {
            "alone": head_recipe(),
            "other": head_recipe("nonsense"),
            "twice": head_recipe("bar", balance={"sampler": "balanced", "pos_weight": 9.0}),
        },
        count=20,
        columns={"spot": np.zeros(20, int).tolist(), "bar": spot[:1] * 4 + [0] * 16},
    )
    workspace.head_recipe("broken").write_text("label = 3")
    _, found = balance_of(workspace)
    notes = {head.name: head.note for head in found}
    assert "0 positives" in notes["alone"]
    assert "label" in notes["broken"]
    assert "nonsense" in notes["other"]
    assert "corrects twice" in notes["twice"]
    assert all(not head.networks and "\n" not in (head.note or "") for head in found)
    assert found[1].to_json()["networks"] == []
