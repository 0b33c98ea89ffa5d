"""A training loop in PyTorch: it yields its loss and then takes the step."""

import torch
from torch import nn


def train(lr, data, seed, hidden=8):
    torch.manual_seed(seed)
    inputs, targets = torch.tensor(data.inputs), torch.tensor(data.targets)
    model = nn.Sequential(
        nn.Linear(inputs.shape[1], hidden), nn.Tanh(), nn.Linear(hidden, targets.shape[1])
    ).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    while True:
        outputs = model(inputs)
        loss = nn.functional.mse_loss(outputs, targets)
        right = ((outputs > 0.5) == (targets > 0.5)).double().mean()
        yield {"error": loss.item(), "accuracy": right.item(), "weights": model.state_dict}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
