from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from ova.errors import RecipeError
from ova.heads.network.backbones import build_backbone, classifier_keys
from ova.heads.network.freezing import freeze_trunk, keep_frozen_in_eval, stage_names, unfreeze

torch.set_num_threads(1)

SIZE = (64, 64)
NAMES = (
    "test_resnet",
    "test_efficientnet",
    "test_vit",
    "torchvision/squeezenet1_0",
    "torchvision/mobilenet_v3_small",
)


class Small(nn.Module):
    """Shaped like VGG: a sequence of features, then hidden layers and dropout inside the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.classifier = nn.Sequential(
            OrderedDict(
                early=nn.Dropout(0.5),
                hidden=nn.Linear(4, 4),
                act=nn.ReLU(),
                late=nn.Dropout(0.5),
                fc=nn.Linear(4, 1),
            )
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.pool(self.features(images))).flatten(1))


KEYS = {"classifier.fc.weight", "classifier.fc.bias"}


def trainable(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_classifier_stays_trainable_and_learns(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, channels=1, size=SIZE)
    keys = classifier_keys(name, channels=1, size=SIZE)
    freeze_trunk(network, keys)
    assert trainable(network) == keys

    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network.train()
    keep_frozen_in_eval(network)
    network(torch.randn(4, 1, *SIZE)).sum().backward()
    optimiser.step()
    changed = {key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == keys  # no running statistics either

    network.train()
    network(torch.randn(4, 1, *SIZE))
    unfreeze(network)
    assert trainable(network) == {key for key, _ in network.named_parameters()}


def test_without_the_reminder_batch_norm_drifts() -> None:
    network = Small()
    freeze_trunk(network, KEYS)
    statistics = network.get_buffer("features.1.running_mean")
    before = statistics.clone()
    network.train()
    network(torch.randn(4, 1, 8, 8))
    assert not torch.equal(statistics, before)


def test_freezing_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="fc"):
        freeze_trunk(Small(), {"fc.weight"})


def test_eval_follows_what_is_frozen() -> None:
    network = Small()
    freeze_trunk(network, KEYS)
    network.train()
    keep_frozen_in_eval(network)
    modes = {name: module.training for name, module in network.named_modules()}
    assert not any(mode for name, mode in modes.items() if name.startswith(("features", "pool", "norm")))
    assert not modes["classifier.early"]
    assert not modes["classifier.hidden"]
    assert modes["classifier.late"]  # the dropout of the logit itself
    assert modes["classifier.fc"]
    assert modes[""]


def test_a_trainable_network_stays_in_train_mode() -> None:
    network = Small().train()
    keep_frozen_in_eval(network)
    assert all(module.training for module in network.modules())


def test_a_wholly_frozen_network_goes_to_eval() -> None:
    network = Small().requires_grad_(False).train()
    keep_frozen_in_eval(network)
    assert not any(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("layer", "first"),
    [
        (None, 0),
        (0, 0),
        (1, 2),
        (2, 4),
        (3, 6),
        (4, 8),
        ("features", 0),
        ("features.3", 4),
        ("classifier", 6),
        ("classifier.fc", 8),
    ],
)
def test_unfreezing_starts_at_the_layer(layer: str | int | None, first: int) -> None:
    network = Small()
    freeze_trunk(network, KEYS)
    unfreeze(network, layer)
    assert trainable(network) == {name for name, _ in network.named_parameters()} - {
        name for name, _ in list(network.named_parameters())[:first]
    }


def test_stages_open_sequences_once() -> None:
    expected = ["features.0", "features.1", "features.3", "classifier.hidden", "classifier.fc"]
    assert stage_names(Small()) == expected
    names = stage_names(build_backbone("test_resnet", channels=1, size=SIZE))
    assert [name for name in names if not name.startswith("conv1.")] == [
        "bn1",
        *(f"layer{number}.0" for number in range(1, 5)),
        "fc",
    ]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (5, ["valid are 0 to 4", "features.0", "classifier.fc"]),
        (-1, ["valid are 0 to 4"]),
        ("feature", ["did you mean", "features.0, features.1, features.3, classifier.hidden"]),
        ("features.2", ["features.3"]),  # a ReLU has nothing to unfreeze
        ("", ["features.0"]),
    ],
)
def test_an_unknown_layer_lists_the_valid_ones(layer: str | int, words: list[str]) -> None:
    network = Small()
    freeze_trunk(network, KEYS)
    with pytest.raises(RecipeError, match="there is no") as caught:
        unfreeze(network, layer)
    assert all(word in str(caught.value) for word in words)
    assert trainable(network) == KEYS


def test_unfreezing_in_part_keeps_the_rest_frozen_in_eval() -> None:
    network = Small()
    freeze_trunk(network, KEYS)
    unfreeze(network, "features.3")
    network.train()
    keep_frozen_in_eval(network)
    modes = [module.training for module in network.features]
    assert modes == [False, False, True, True]  # the ReLU belongs to what follows
    assert network.norm.training
