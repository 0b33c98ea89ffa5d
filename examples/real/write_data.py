"""Write diabetes.csv and iris.csv, which scikit-learn bundles, into the working directory."""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris


def main() -> None:
    diabetes = load_diabetes()
    _write("diabetes.csv", [*diabetes.feature_names, "progression"], diabetes)
    iris = load_iris()
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in iris.feature_names]
    iris.target = iris.target_names[iris.target]
    _write("iris.csv", [*names, "species"], iris)


def _write(file, columns, data) -> None:
    rows = [[*map(repr, inputs.tolist()), str(target)] for inputs, target in _pairs(data)]
    lines = [",".join(row) for row in [columns, *rows]]
    Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pairs(data):
    return zip(data.data, data.target, strict=True)


if __name__ == "__main__":
    main()
