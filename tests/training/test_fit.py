"""The epochs of a network, against the same training written with torch alone."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from mmfer.data.splits import Rows
from mmfer.face.prepare import landmark_vector
from mmfer.training import loop
from mmfer.training.feed import Feed
from mmfer.training.loop import epoch_samples, fit_network, loss
from tests.training.small import BATCH, CLASSES, Line, N, train_params

EVERY = {
    "learning_rate": 0.05,
    "beta1": 0.5,
    "beta2": 0.7,
    "epsilon": 1e-3,
    "weight_decay": 0.3,
    "schedule": "cosine",
    "label_smoothing": 0.2,
}


def fit(source, folder, network=None, seen=None, **changes):
    """Train on 16 faces, validate on the others -> the network, history; `seen` gets the weights after each epoch."""
    network, rows = network or Line(), Rows(np.arange(16), np.arange(16, N), np.arange(0))

    def log(record, epoch):
        if seen is not None:
            seen.append(weights(network))

    result, _, history = fit_network(network, Feed(source), rows, train_params(**changes), 0, folder / "c.pt", log)
    return result, history


def weights(network):
    return copy.deepcopy({name: value for name, value in network.state_dict().items()})


def assert_same(network, state):
    torch.testing.assert_close(weights(network), state, rtol=1e-5, atol=1e-6)


def test_votes_in_place_of_labels_train_towards_their_distribution(source, tmp_path, rng):
    votes = rng.dirichlet(np.ones(CLASSES), size=N).astype(np.float32)
    source["labels"] = votes.argmax(axis=1)
    network = Line()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05, eps=1e-7, weight_decay=0.0)
    rows = epoch_samples(np.arange(16), 1, 0, 16, 0)[0].reshape(-1, BATCH)
    losses, right = [], 0
    for some in rows:
        logits = network(landmark_vector(torch.from_numpy(source["landmarks"][some])))
        losses.append(-(torch.from_numpy(votes[some]) * logits.log_softmax(dim=1)).sum(dim=1).mean())
        right += int((logits.argmax(dim=1).numpy() == source["labels"][some]).sum())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    trained, history = fit(source | {"votes": votes}, tmp_path, epochs=1, learning_rate=0.05, labels="votes")
    assert_same(trained, weights(network))
    with torch.no_grad():
        held_out = network(landmark_vector(torch.from_numpy(source["landmarks"][16:]))).log_softmax(dim=1).numpy()
    expected = {
        "train_loss": sum(loss.item() for loss in losses) / len(losses),
        "train_accuracy": right / 16,
        "val_loss": -(votes[16:] * held_out).sum(axis=1).mean(),
        "val_accuracy": (held_out.argmax(axis=1) == source["labels"][16:]).mean(),
    }
    assert history[list(expected)].loc[0].to_dict() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("changes", [{}, EVERY], ids=["defaults", "every option"])
def test_training_is_what_torch_makes_of_the_same_options(source, tmp_path, changes):
    params, network = train_params(**changes), Line()
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=params.learning_rate,
        betas=(params.beta1, params.beta2),
        eps=params.epsilon,
        weight_decay=params.weight_decay,
    )
    steps = params.epochs * 2
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(params.epochs):
        for rows in epoch_samples(np.arange(16), 1, epoch, 16, 0)[0].reshape(-1, BATCH):
            logits = network(landmark_vector(torch.from_numpy(source["landmarks"][rows])))
            labels = torch.from_numpy(source["labels"][rows])
            value = nn.functional.cross_entropy(logits, labels, label_smoothing=params.label_smoothing)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if params.schedule == "cosine":
                rates.step()
    trained, _ = fit(source, tmp_path, **changes)
    assert_same(trained, weights(network))


def test_sgd_is_nesterovs_with_a_warm_up_and_a_decay_of_matrices_alone(source, tmp_path):
    """By hand: Sutskever et al., 2013, as PyTorch documents it; six steps, of which the rate rises over three."""
    rate, momentum, decay = 0.05, 0.9, 0.3
    network = Line()
    speeds = [torch.zeros_like(p) for p in network.parameters()]
    rates = [0.0, rate / 3, rate * 2 / 3, rate, rate * 2 / 3, rate / 3]
    batches = [epoch_samples(np.arange(16), 1, epoch, 16, 0)[0].reshape(-1, BATCH) for epoch in range(3)]
    for rows, now in zip(np.concatenate(batches), rates, strict=True):
        logits = network(landmark_vector(torch.from_numpy(source["landmarks"][rows])))
        value = nn.functional.cross_entropy(logits, torch.from_numpy(source["labels"][rows]))
        gradients = torch.autograd.grad(value, list(network.parameters()))
        for name, p, speed, gradient in zip(["line", "bias"], network.parameters(), speeds, gradients, strict=True):
            slope = gradient + decay * p.detach() if name == "line" else gradient
            speed.mul_(momentum).add_(slope)
            p.data -= now * (slope + momentum * speed)
    changes = {"optimizer": "sgd", "learning_rate": rate, "beta1": momentum, "weight_decay": decay}
    trained, _ = fit(source, tmp_path, warmup=0.5, schedule="linear", **changes)
    assert_same(trained, weights(network))


def test_sgd_without_momentum_trains(source, tmp_path):
    trained, _ = fit(source, tmp_path, optimizer="sgd", beta1=0.0)
    assert (trained.line.weight - Line().line.weight).abs().max() > 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (MemoryError(), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), MemoryError),
        (PermissionError(13, "Permission denied", "c.pt"), PermissionError),
    ],
)
def test_a_checkpoint_that_cannot_be_read_now_is_not_set_aside(tmp_path, monkeypatch, fault, told):
    def load(*_, **__):
        raise fault

    loop.save_checkpoint(loop.start_state(Line(), train_params()), tmp_path / "c.pt")
    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(told):
        loop.start_state(Line(), train_params(), tmp_path / "c.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_either_optimizer_goes_on_where_it_was(source, tmp_path, optimizer):
    def state(epochs):
        torch.manual_seed(0)
        made = loop.start_state(Line(), train_params(optimizer=optimizer), tmp_path / "c.pt")
        for _ in range(epochs):
            made.network.line.weight.sum().backward()
            made.optimizer.step()
        return made

    once = state(2)
    loop.save_checkpoint(once, tmp_path / "c.pt")
    saved, found = once.optimizer.state_dict(), state(0).optimizer.state_dict()
    assert saved["state"].keys() == found["state"].keys() != set()
    for number, values in saved["state"].items():
        torch.testing.assert_close(found["state"][number], values)


def test_mixup_ends_where_it_shall(source, tmp_path, monkeypatch):
    mixed, mix = [], loop.mix

    def noted(*args):
        mixed.append(len(seen))
        return mix(*args)

    monkeypatch.setattr(loop, "mix", noted)
    seen = []
    fit(source, tmp_path, seen=seen, epochs=4, mixup=1.0, mixup_until=0.625)
    assert mixed == [0, 0, 1, 1, 2]  # the epochs that were over at each batch that was mixed; two batches each


@pytest.mark.parametrize(("select", "epoch"), [("best", 2), ("last", 4)])
def test_the_weights_are_those_of_the_epoch_that_validation_chose(source, tmp_path, monkeypatch, select, epoch):
    measured = iter([0.2, 0.9, 0.5, 0.9])
    monkeypatch.setattr(loop, "assess", lambda *_: {"loss": 1.0, "accuracy": next(measured)})
    seen = []
    trained, _ = fit(source, tmp_path, seen=seen, epochs=4, select=select)
    assert_same(trained, seen[epoch - 1])


def test_averaged_weights_are_the_exponential_moving_average_and_are_used(source, tmp_path):
    seen, start = [], weights(Line())
    trained, history = fit(source, tmp_path, seen=seen, epochs=5, batch_size=16, learning_rate=0.1, ema=0.2)
    for step, state in enumerate(seen):  # one batch an epoch
        decay = min(0.2, (1 + step) / (10 + step))
        start = {name: decay * start[name] + (1 - decay) * value for name, value in state.items()}
    assert_same(trained, start)
    logits = trained(landmark_vector(torch.from_numpy(source["landmarks"][16:])))
    right = (logits.argmax(1).numpy() == source["labels"][16:]).mean()
    assert history["val_accuracy"].iloc[-1] == pytest.approx(right)


def test_a_training_that_was_interrupted_goes_on_to_the_same_weights(source, tmp_path, monkeypatch):
    whole, _ = fit(source, tmp_path / "whole", epochs=4, ema=0.9, **EVERY)
    save = loop.save_checkpoint

    def interrupted(state, path):
        save(state, path)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(source, tmp_path, epochs=4, ema=0.9, **EVERY)
    resumed, history = fit(source, tmp_path, epochs=4, ema=0.9, **EVERY)
    assert list(history["epoch"]) == [1, 2, 3, 4]
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def test_networks_learn_in_training_mode_and_are_measured_and_given_back_in_the_other(source, tmp_path):
    network = Line()
    trained, _ = fit(source, tmp_path, network, epochs=1)
    assert network.modes == [True, True, False]  # two batches, the validation faces
    assert not trained.training


def test_patience_counts_epochs_without_gain(source, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "assess", lambda *_: {"loss": 1.0, "accuracy": 0.5})
    _, history = fit(source, tmp_path, epochs=50, patience=2)
    assert len(history) == 3  # the first gained


def test_mixup_and_a_loss_of_its_own_change_what_is_learned(source, tmp_path):
    class Own(Line):
        def loss(self, logits, targets):
            return (logits - targets).square().mean()

    plain, _ = fit(source, tmp_path / "a")
    mixed, _ = fit(source, tmp_path / "b", mixup=1.0)
    own, _ = fit(source, tmp_path / "c", Own())
    for other in (mixed, own):
        assert (other.line.weight - plain.line.weight).abs().max() > 1e-4


def test_a_pass_shows_every_row_once_in_an_order_of_its_own():
    train = np.arange(100, 140)
    halves = [epoch_samples(train, 1, epoch, 20, 0)[0] for epoch in range(4)]
    first, second = np.concatenate(halves[:2]), np.concatenate(halves[2:])
    assert sorted(first) == sorted(second) == train.tolist()
    assert (first != second).any()
    assert (first != epoch_samples(train, 1, 0, 40, 1)[0]).any()


def test_the_binary_loss_is_that_of_torch_summed_over_the_classes(rng):
    logits = torch.from_numpy(rng.normal(size=(5, CLASSES)))
    targets = torch.from_numpy(rng.dirichlet(np.ones(CLASSES), 5))
    expected = nn.functional.binary_cross_entropy(logits.softmax(1), targets, reduction="sum") / 5
    assert loss(logits, targets, "binary").item() == pytest.approx(expected.item())
    assert math.isfinite(loss(1e4 * logits, targets, "binary").item())
