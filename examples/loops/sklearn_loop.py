"""A training loop in scikit-learn: one pass over the digits an iteration."""

from math import log

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss


def train(lr, seed, penalty=1e-4):
    images, digits = load_digits(return_X_y=True)
    images = images / 16
    model = SGDClassifier(
        loss="log_loss", learning_rate="constant", eta0=lr, alpha=penalty, random_state=seed
    )
    yield {"error": log(10), "accuracy": 0.1}  # before training: it cannot predict yet
    while True:
        model.partial_fit(images, digits, classes=range(10))
        error = log_loss(digits, model.predict_proba(images))
        print(f"error {error:.3f}")
        yield {"error": error, "accuracy": model.score(images, digits)}
