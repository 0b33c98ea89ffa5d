"""Train scikit-learn's linear classifier on its bundled digits, one pass an iteration."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

CLASSES = np.arange(10)


class DigitsSGD:
    """A trainer of the sweep: advance, error and weights; the other methods are optional.

    Parameters
    ----------
    lr
        The constant learning rate of the stochastic gradient descent.
    seed
        Orders the samples of a pass.
    penalty
        How strongly large weights are held down.
    """

    def __init__(self, lr: float, seed: int = 0, penalty: float = 1e-4) -> None:
        images, digits = load_digits(return_X_y=True)
        images = images / 16
        self.train, self.test = (images[:1347], digits[:1347]), (images[1347:], digits[1347:])
        self.model = SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=lr, alpha=penalty, random_state=seed
        )
        self.passes = 0
        self.others = [self._error(*self.test)]

    def advance(self, iterations):
        """Do `iterations` passes; return the error after each of them."""
        errors, self.others = [], []
        for _ in range(iterations):
            self.model.partial_fit(*self.train, classes=CLASSES)
            self.passes += 1
            errors.append(self._error(*self.train))
            self.others.append(self._error(*self.test))
        return errors

    def error(self):
        """Return the error now: half the squared distance of the shares to the right ones."""
        return self._error(*self.train)

    def weights(self):
        """Return the weights of all ten classes."""
        if not self.passes:
            return {"weights": np.zeros((10, 64)), "biases": np.zeros(10)}
        return {"weights": self.model.coef_, "biases": self.model.intercept_}

    def validation_errors(self):
        """Return the errors on the digits kept back, after each pass of the last advance."""
        return self.others

    def metrics(self):
        """Return the share of the digits kept back that are told right."""
        return {"accuracy": self.model.score(*self.test)} if self.passes else {}

    def state(self):
        """Return all that a later process needs to go on from here: arrays and numbers."""
        if not self.passes:
            return {"passes": 0}
        return {
            "passes": self.passes,
            "weights": self.model.coef_,
            "biases": self.model.intercept_,
            "samples_seen": self.model.t_,
        }

    def restore(self, state):
        """Go on from a state."""
        self.passes = int(state["passes"])
        if self.passes:
            self.model.partial_fit(*self.train, classes=CLASSES)  # makes the arrays
            self.model.coef_[:] = state["weights"]
            self.model.intercept_[:] = state["biases"]
            self.model.t_ = float(state["samples_seen"])
            self.others = [self._error(*self.test)]

    def _error(self, images, digits):
        shares = (
            self.model.predict_proba(images) if self.passes else np.full((len(images), 10), 0.1)
        )
        return 0.5 * np.mean(np.sum((shares - np.eye(10)[digits]) ** 2, axis=1))
