"""Train the configured network on the configured data with PyTorch's own derivatives."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "identity": nn.Identity,
    "softmax": nn.Identity,  # inside the cross-entropy
}


class TorchNet:
    """A trainer of the sweep: a module with one bias a neuron, on the full batch.

    Parameters
    ----------
    network, data
        Given by the program: the network with its first weights, and the samples; read-only.
    lr, momentum
        Of torch.optim.SGD.
    """

    def __init__(self, network, data, lr: float, momentum: float = 0.0) -> None:
        torch.set_num_threads(1)  # the order of sums, and so their bits, depend on it
        if network.bias != "per_neuron":
            raise ValueError("TorchNet needs a network with bias: per_neuron")
        self.loss = network.loss
        self.inputs = torch.tensor(data.inputs)
        self.targets = torch.tensor(data.targets)
        layers: list[nn.Module] = []
        starts = zip(network.weights, network.biases, network.activations, strict=True)
        for weights, biases, activation in starts:
            layer = nn.Linear(*weights.shape, dtype=torch.float64)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(weights.T))
                layer.bias.copy_(torch.tensor(biases))
            layers += [layer, ACTIVATIONS[activation]()]
        self.model = nn.Sequential(*layers)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=momentum)

    def advance(self, iterations):
        """Do `iterations` updates; return the error after each of them."""
        errors = []
        for _ in range(iterations):
            self.optimizer.zero_grad()
            self._error().backward()
            self.optimizer.step()
            errors.append(self.error())
        return errors

    def error(self):
        """Return the error now."""
        with torch.no_grad():
            return self._error().item()

    def weights(self):
        """Return each layer's weights as the project has them, a row for each sending neuron."""
        linear = [layer for layer in self.model if isinstance(layer, nn.Linear)]
        named = {}
        for at, layer in enumerate(linear, start=1):
            named[f"weights_{at}"] = layer.weight.detach().numpy().T
            named[f"biases_{at}"] = layer.bias.detach().numpy()
        return named

    def state(self):
        """Return all that a later process needs to go on from here: arrays alone."""
        momenta = {
            f"momentum_{at}": held["momentum_buffer"].numpy()
            for at, held in self.optimizer.state_dict()["state"].items()
            if held.get("momentum_buffer") is not None
        }
        weights = {name: value.numpy() for name, value in self.model.state_dict().items()}
        return {**weights, **momenta}

    def restore(self, state):
        """Go on from a state."""
        arrays = {name: torch.tensor(np.array(value)) for name, value in state.items()}
        momenta = {name: arrays.pop(name) for name in list(arrays) if "momentum" in name}
        self.model.load_state_dict(arrays)
        if momenta:
            held = self.optimizer.state_dict()
            held["state"] = {
                int(name.removeprefix("momentum_")): {"momentum_buffer": value}
                for name, value in momenta.items()
            }
            self.optimizer.load_state_dict(held)

    def _error(self):
        outputs = self.model(self.inputs)
        if self.loss == "cross_entropy":
            return nn.functional.cross_entropy(outputs, self.targets)
        return 0.5 * ((outputs - self.targets) ** 2).sum() / len(self.inputs)
