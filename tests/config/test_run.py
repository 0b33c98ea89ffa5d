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


def test_run_spec_default_is_the_notebook() -> None:
    made = spec()
    assert (made.lr, made.iters, made.rule, made.seed) == (0.1, 1, "notebook", 0)
    assert made.params() == {
        "lr": "0.1",
        "iters": "1",
        "rule": "notebook",
        "seed": "0",
        "network": "notebook",
        "data": "notebook",
        "trainer": "backprop",
    }


@pytest.mark.parametrize(("value", "iters"), [(1, 1), (1e5, 100_000), (10**12, 10**12)])
def test_iters_whole_number_is_taken(value: Any, iters: int) -> None:
    made = spec(iters=value)
    assert made.iters == iters
    assert isinstance(made.iters, int)


BAD = [
    ("lr", "abc"),
    ("lr", -1),
    ("lr", 0),
    ("lr", math.nan),
    ("lr", math.inf),
    ("lr", None),
    ("lr", True),
    ("lr", [0.1]),
    ("lr", 10**400),
    ("iters", 0),
    ("iters", -3),
    ("iters", 1.5),
    ("iters", math.nan),
    ("iters", math.inf),
    ("iters", "10**12"),
    ("iters", None),
    ("iters", True),
    ("rule", "magic"),
    ("rule", 3),
    ("seed", -1),
    ("seed", 1.5),
    ("seed", None),
]


@pytest.mark.parametrize(("key", "value"), BAD)
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


@pytest.mark.parametrize("value", [math.inf, 10**400])
def test_learning_rate_beyond_double_precision_says_so(value: float) -> None:
    with pytest.raises(ConfigError, match="double precision ends at 1.8e308"):
        spec(lr=value)


def test_run_spec_tells_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        spec(lr=-1, iters=0, rule="gradiant")
    assert len(caught.value.messages) == 3
    assert "did you mean 'gradient'?" in str(caught.value)


def test_rule_null_is_gradient_for_any_other_network() -> None:
    assert spec(choices={**CHOICES, "network": "mine"}).rule == "gradient"


def test_network_unknown_key_is_refused_with_a_suggestion() -> None:
    network = {**configuration()["network"], "layerz": [4, 3, 2]}
    with pytest.raises(ConfigError, match=r"network\.layerz.*did you mean 'layers'"):
        spec(network=network)


def test_network_that_does_not_fit_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="inputs has 3 columns"):
        spec(data={**configuration()["data"], "inputs": [[1, 2, 3]]})
    with pytest.raises(ConfigError, match="targets has 1 columns"):
        spec(data={**configuration()["data"], "targets": [[1.0]]})


CHANGES: dict[str, Any] = {
    "lr": 0.2,
    "iters": 2,
    "rule": "gradient",
    "seed": 1,
}


@pytest.mark.parametrize("key", CHANGES)
def test_signature_changes_with_what_changes_a_number(key: str) -> None:
    assert spec(**{key: CHANGES[key]}).signature != spec().signature


def test_signature_changes_with_data_and_network() -> None:
    network = copy.deepcopy(configuration()["network"])
    network["weights"][0][0][0] += 1e-15
    assert spec(network=network).signature != spec().signature
    data = copy.deepcopy(configuration()["data"])
    data["targets"][0][0] += 1e-15
    assert spec(data=data).signature != spec().signature


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": "elsewhere"},
        {"fail_fast": True},
        {"max_seconds": 5},
        {"parent": "20260101-000000-abcd"},
        {"iters": 1.0},
        {"rule": "notebook"},
        {"a_note": "of the user"},
    ],
)
def test_signature_stays_with_what_changes_no_number(changes: dict[str, Any]) -> None:
    assert spec(**changes).signature == spec().signature


def test_signature_does_not_depend_on_an_options_name() -> None:
    renamed = spec(choices={**CHOICES, "data": "mine"})
    assert renamed.signature == spec().signature


def test_trajectory_is_shared_by_runs_that_differ_in_iters_alone() -> None:
    assert spec(iters=7).trajectory == spec().trajectory
    assert spec(lr=0.2).trajectory != spec().trajectory
    assert spec(a_note="7").trajectory != spec().trajectory


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("outputs", ""),
        ("outputs", None),
        ("reuse", "yes"),
        ("dry_run", 1),
        ("resume", 3),
        ("max_seconds", 0),
        ("max_seconds", math.nan),
        ("max_seconds", "long"),
        ("max_seconds", "5"),
        ("max_seconds", 10**400),
        ("reuse", "true"),
        ("tracking", {"kind": "cloud", "experiment": "sweep", "uri": None}),
        ("tracking", {"kind": "local", "experiment": "", "uri": None}),
        ("tracking", {"kind": "local", "experiment": "sweep", "url": "x"}),
        ("tracking", None),
    ],
)
def test_settings_bad_value_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(configuration(**{key: value}), Path.cwd())
    assert all(message.startswith(key) for message in caught.value.messages)


def test_settings_text_in_quotes_is_shown_with_its_quotes() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(configuration(reuse="true", max_seconds="5"), Path.cwd())
    first, second = caught.value.messages
    assert first == 'reuse="true": write true or false.'
    assert second.startswith('max_seconds="5": this is text where a number is due; write ')


def test_unknown_key_of_a_node_lists_the_keys_of_that_node() -> None:
    tracking = {**configuration()["tracking"], "lr": 1}
    with pytest.raises(ConfigError, match=r"tracking\.lr: .*; tracking has kind, experiment, uri"):
        settings(configuration(tracking=tracking), Path.cwd())
    trainer = {**configuration()["trainer"], "iters": 1}
    with pytest.raises(ConfigError, match=r"trainer\.iters: .* has batch_size, shuffle"):
        spec(trainer=trainer)


def test_settings_outputs_is_relative_to_the_callers_folder(tmp_path: Path) -> None:
    assert settings(configuration(), tmp_path).outputs == tmp_path / "outputs"
