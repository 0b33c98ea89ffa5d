"""The configuration is refused in one sentence each, or becomes a frozen RunSpec."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import settings
from sweep.errors import ConfigError
from tests.configuration import CHOICES, configuration, spec


@pytest.mark.parametrize(("value", "iters"), [(1, 1), (1e5, 100_000), (10**12, 10**12)])
def test_iters_whole_number_is_taken(value: Any, iters: int) -> None:
    made = spec(iters=value)
    assert made.iters == iters
    assert isinstance(made.iters, int)


def pairs(values: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(key, value) for key, own in values.items() for value in own]


BAD: dict[str, list[Any]] = {
    "lr": ["abc", -1, 0, math.nan, math.inf, None, True, [0.1], 10**400],
    "iters": [0, -3, 1.5, math.nan, math.inf, "10**12", None, True],
    "rule": ["magic", 3],
    "seed": [-1, 1.5, None],
}


@pytest.mark.parametrize(("key", "value"), pairs(BAD))
def test_run_spec_bad_value_is_one_sentence_naming_key_and_value(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(**{key: value})
    (message,) = caught.value.messages
    assert message.startswith(f"{key}=")
    assert message.endswith(".") or message.endswith("?.")
    assert "\n" not in message


@pytest.mark.parametrize("key", ["lr", "iters", "seed"])
def test_number_in_quotes_is_told_as_text(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(**{key: "5"})
    assert str(caught.value) == (
        f'{key}="5": this is text where a number is due; write {key}=5, without quotes, or '
        f"for a variable of the environment '{key}=\"${{oc.decode:${{oc.env:NAME}}}}\"'."
    )


@pytest.mark.parametrize(("key", "value"), [("lr", "-1"), ("iters", "1.5"), ("seed", "x")])
def test_quotes_are_not_blamed_for_another_mistake(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(**{key: value})
    assert str(caught.value).startswith(f"{key}={value}: the ")


def test_rule_null_is_gradient_for_any_other_network() -> None:
    assert spec(choices={**CHOICES, "network": "mine"}).rule == "gradient"


def test_network_that_does_not_fit_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="inputs has 3 columns"):
        spec(data={**configuration()["data"], "inputs": [[1, 2, 3]]})
    with pytest.raises(ConfigError, match="targets has 1 columns"):
        spec(data={**configuration()["data"], "targets": [[1.0]]})


def test_signature_changes_with_what_changes_a_number() -> None:
    network, data = (copy.deepcopy(configuration()[key]) for key in ("network", "data"))
    network["weights"][0][0][0] += 1e-15
    data["targets"][0][0] += 1e-15
    changes = {"lr": 0.2, "iters": 2, "rule": "gradient", "seed": 1, "network": network}
    changed = {key: spec(**{key: value}) for key, value in {**changes, "data": data}.items()}
    assert len({spec().signature, *(one.signature for one in changed.values())}) == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": "elsewhere", "fail_fast": True, "max_seconds": 5, "a_note": "of the user"},
        {"parent": "20260101-000000-abcd"},
        {"iters": 1.0},
        {"rule": "notebook"},
        {"choices": {**CHOICES, "data": "mine"}},
    ],
)
def test_signature_stays_with_what_changes_no_number(changes: dict[str, Any]) -> None:
    assert spec(**changes).signature == spec().signature


def test_trajectory_is_shared_by_runs_that_differ_in_iters_alone() -> None:
    assert spec(iters=7).trajectory == spec().trajectory
    assert spec(lr=0.2).trajectory != spec().trajectory
    assert spec(a_note="7").trajectory != spec().trajectory


BAD_SETTINGS: dict[str, list[Any]] = {
    "outputs": ["", None],
    "reuse": ["yes", "true"],
    "dry_run": [1],
    "resume": [3],
    "max_seconds": [0, math.nan, "long", "5", 10**400],
    "tracking": [
        None,
        {"kind": "cloud", "experiment": "sweep", "uri": None},
        {"kind": "local", "experiment": "", "uri": None},
        {"kind": "local", "experiment": "sweep", "url": "x"},
    ],
}


@pytest.mark.parametrize(("key", "value"), pairs(BAD_SETTINGS))
def test_settings_bad_value_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(configuration(**{key: value}), Path.cwd())
    assert all(message.startswith(key) for message in caught.value.messages)
    if value in ("true", "5"):
        assert f'{key}="{value}": ' in str(caught.value), "a text is shown with its quotes"
