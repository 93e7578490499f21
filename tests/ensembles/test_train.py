"""Many heads: what happens to one is of no concern to the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from small import draw_images, head_recipe, write_table

from ova.ensembles.train import train_heads
from ova.errors import RecipeError
from ova.heads.runs import current_run
from ova.progress import Silent
from ova.workspace import Workspace

pytestmark = pytest.mark.slow

HEADS = {"spot": head_recipe(), "bar": head_recipe("bar", backbone={"name": "test_efficientnet"})}


def weights(workspace: Workspace, *names: str) -> list[str]:
    return [current_run(workspace, name).read_record().weights_digest for name in names]


def file_digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def test_a_third_head_leaves_the_first_two_bit_identical(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(HEADS)
    assert [outcome.status for outcome in train_heads(workspace, device="cpu")] == ["trained", "trained"]
    before = {name: file_digests(workspace.head_runs(name)) for name in HEADS}
    split = workspace.split_table.read_bytes()
    _, labels = draw_images(72)
    columns = {
        "any": labels.any(axis=1).astype(int).tolist(),  # even as the first column
        "spot": labels[:, 0].tolist(),
        "bar": labels[:, 1].tolist(),
    }
    write_table(workspace.root / "data/images/data.csv", [f"{row:03d}.png" for row in range(72)], columns)
    import tomli_w

    workspace.head_recipe("any").write_text(tomli_w.dumps(head_recipe("any")))
    statuses = {outcome.name: outcome.status for outcome in train_heads(workspace, device="cpu")}
    assert statuses == {"any": "trained", "bar": "kept", "spot": "kept"}
    assert {name: file_digests(workspace.head_runs(name)) for name in HEADS} == before
    assert workspace.split_table.read_bytes() == split
    again = {outcome.name for outcome in train_heads(workspace, ["spot", "bar"], device="cpu", again=True)}
    assert again == {"spot", "bar"}
    first = {name: before[name]["0001/head.safetensors"] for name in HEADS}
    now = {name: file_digests(workspace.head_runs(name))["0002/head.safetensors"] for name in HEADS}
    assert now == first


def test_side_by_side_gives_the_same_bits_as_one_after_the_other(
    make_workspace: Callable[..., Workspace],
) -> None:
    import os

    alone = make_workspace(HEADS, folder="alone")
    train_heads(alone, device="cpu")
    beside = make_workspace(HEADS, folder="beside")
    cores = os.cpu_count() or 1
    outcomes = train_heads(beside, jobs=max(2, cores), device="cpu")  # one thread each, as in this process
    assert [outcome.status for outcome in outcomes] == ["trained", "trained"]
    assert weights(beside, "spot", "bar") == weights(alone, "spot", "bar")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_head_that_fails_leaves_the_others_done(
    make_workspace: Callable[..., Workspace], jobs: int
) -> None:
    heads = {
        "wild": head_recipe(training={"learning_rate": 1e30, "schedule": "constant", "optimizer": "sgd"}),
        "spot": head_recipe(),
        "never": head_recipe("never"),
    }
    _, labels = draw_images(72)
    columns = {"spot": labels[:, 0].tolist(), "never": [0] * 72}
    workspace = make_workspace(heads, columns=columns)
    outcomes = {each.name: each for each in train_heads(workspace, jobs=jobs, device="cpu")}
    assert {name: each.status for name, each in outcomes.items()} == {
        "never": "skipped",
        "spot": "trained",
        "wild": "failed",
    }
    assert "no longer a number" in (outcomes["wild"].reason or "")
    assert "0 positives" in (outcomes["never"].reason or "")


def test_an_exception_nobody_foresaw_is_one_failed_head(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ova.heads.training.members as module

    original = module.initial_network

    def explode(workspace: Workspace, job: module.Job, member: int) -> object:
        if job.plan.name == "bar":
            raise RuntimeError("surprise\nsecond line")
        return original(workspace, job, member)

    monkeypatch.setattr(module, "initial_network", explode)
    outcomes = train_heads(make_workspace(HEADS), device="cpu")
    assert [(each.name, each.status) for each in outcomes] == [("bar", "failed"), ("spot", "trained")]
    assert outcomes[0].reason == "RuntimeError: surprise; --debug shows where"


def test_an_unknown_head_and_an_unknown_backbone_name_what_is_near(
    make_workspace: Callable[..., Workspace],
) -> None:
    workspace = make_workspace({"spot": head_recipe(backbone={"name": "resnet19"})})
    with pytest.raises(RecipeError, match="spot"):
        train_heads(workspace, ["spott"])
    outcome = train_heads(workspace, device="cpu")[0]
    assert outcome.status == "failed"
    assert "resnet18" in (outcome.reason or "")


def test_labels_are_bound_by_name_not_by_column(make_workspace: Callable[..., Workspace]) -> None:
    _, labels = draw_images(72)
    spot, bar = labels[:, 0].tolist(), labels[:, 1].tolist()
    one = make_workspace(HEADS, columns={"spot": spot, "bar": bar}, folder="one")
    other = make_workspace(HEADS, columns={"bar": bar, "spot": spot}, folder="other")
    train_heads(one, device="cpu")
    train_heads(other, device="cpu")
    assert weights(one, "spot", "bar") == weights(other, "spot", "bar")


def test_a_request_to_stop_reaches_the_workers_and_nothing_is_lost(
    make_workspace: Callable[..., Workspace],
) -> None:
    long = {"epochs": 100_000}
    heads = {"spot": head_recipe(training=long), "bar": head_recipe("bar", training=long)}
    workspace = make_workspace(heads)
    seen: list[tuple[str, int]] = []

    class Watcher(Silent):
        def advance(self, task: str, done: int, note: str = "") -> None:
            if task in heads:
                seen.append((task, done))

    def both_have_begun() -> bool:
        return {task for task, done in seen if done} == set(heads)

    outcomes = train_heads(workspace, jobs=2, device="cpu", progress=Watcher(), should_stop=both_have_begun)
    assert [each.status for each in outcomes] == ["interrupted", "interrupted"]
    assert len(list(workspace.root.rglob("checkpoint-0.safetensors"))) == 2
    assert not list((workspace.root / "runs").glob("stop-*"))
