"""The list of faults: what goes wrong, what is promised, and the tests that show it."""

from __future__ import annotations

import ast

import pytest

from tests.processes import ROOT

FAULTS: dict[str, dict[str, list[str]]] = {
    "silent wrong results": {
        "sweeps started in the same second: no run has another's weights": [
            "faults/test_silent.py::test_eight_sweeps_started_in_the_same_second",
        ],
        "divergence is a result, in store, tables and pictures": [
            "faults/test_silent.py::test_divergence",
            "faults/test_silent.py::test_divergence_through_tables_and_pictures",
            "tracking/test_write.py::test_diverged_run_is_finished_without_a_final_error",
            "tracking/test_write.py::test_run_that_was_never_finite_has_no_curve",
        ],
        "stalling is said": ["faults/test_silent.py::test_stalling"],
        "lr = -1, nan, inf; iters = 0, -3: refused, nothing is made": [
            "end_to_end/test_refusals.py::test_single_run_is_refused_before_anything_exists",
            "end_to_end/test_refusals.py::test_mistakes_of_a_command_are_listed_together",
            "config/test_run.py::test_run_spec_bad_value_is_one_sentence_naming_key_and_value",
        ],
        "an added key that nothing reads; a number that no float holds; reuse without a sweep": [
            "end_to_end/test_refusals.py::test_single_run_is_refused_before_anything_exists",
            "end_to_end/test_refusals.py::test_added_key_that_is_read_is_accepted",
        ],
        "a sweep's folder that holds files of the user's own": [
            "end_to_end/test_refusals.py::test_sweep_folder_that_holds_something_is_refused",
        ],
        "more runs than one answer of MLflow holds": [
            "faults/test_long.py::test_grid_of_2000",
            "tracking/test_read.py::test_more_runs_than_one_answer_holds",
        ],
        "project folder moved: everything is found, nothing is written to the old place": [
            "faults/test_silent.py::test_project_folder_moved",
            "tracking/test_moved.py::test_copy_is_readdressed_and_told",
            "tracking/test_moved.py::test_store_of_another_version_is_not_readdressed",
        ],
        "param over 6000 characters; doubled cells": [
            "faults/test_silent.py::test_doubled_cells_and_long_params",
        ],
        "0-byte database beside existing runs": [
            "faults/test_store_lost.py::test_damaged_database_is_left_alone",
            "tracking/test_store.py::test_empty_database_beside_runs_is_not_made_again",
        ],
        "clock set back": [
            "tracking/test_read.py::test_last_is_the_sweep_that_was_begun_last_whatever_the_clock",
            "faults/test_silent.py::test_clock_set_back",
        ],
    },
    "state that lies": {
        "SIGKILL in mid-sweep, then resume": [
            "faults/test_signals.py::test_killed_sweep_is_resumed",
            "tracking/test_results.py::test_killed_at_any_step_of_recording_loses_nothing",
        ],
        "the whole group is killed: what had finished training is stored, not trained again": [
            "faults/test_signals.py::test_whole_group_is_killed_with_results_that_wait",
        ],
        "a power cut left files empty": [
            "tracking/test_results.py::test_result_that_a_power_cut_left_empty_does_not_count",
            "tracking/test_results.py::test_stored_run_whose_files_are_empty_is_not_finished",
        ],
        "the process that records is killed, or the command beside it": [
            "faults/test_store_lost.py::test_process_that_records_dies",
            "faults/test_store_lost.py::test_process_that_records_dies_with_the_command",
            "tracking/test_recorder.py::test_death_of_the_process_is_told",
            "tracking/test_recorder.py::test_process_ends_when_its_command_is_killed",
        ],
        "SIGINT, SIGTERM, SIGHUP": [
            "faults/test_signals.py::test_signal_ends_a_sweep",
            "faults/test_signals.py::test_signal_ends_a_single_run",
            "faults/test_signals.py::test_signal_while_a_single_run_waits_for_the_lock",
            "faults/test_signals.py::test_signal_while_a_single_run_is_shown_in_a_locked_store",
            "faults/test_signals.py::test_signal_while_the_report_is_drawn",
            "faults/test_server.py::test_signal_while_a_silent_server_is_waited_for",
            "faults/test_signals.py::test_signal_ends_a_trainer_that_never_returns",
            "faults/test_signals.py::test_interrupted_sweep_is_resumed_by_the_command_that_it_names",
        ],
        "a signal that was ignored at the start stays ignored": [
            "faults/test_signals.py::test_ignored_signal_stays_ignored",
        ],
        "the reader of the output, or the terminal, goes away": [
            "faults/test_signals.py::test_reader_that_goes_away_ends_no_sweep",
            "end_to_end/test_terminal.py::test_terminal_that_is_closed_ends_the_sweep_as_a_signal",
        ],
        "a second Ctrl-C leaves at once": [
            "faults/test_signals.py::test_interrupt_while_another_program_holds_the_lock",
        ],
        "some jobs raise": [
            "faults/test_failures.py::test_some_jobs_raise",
            "faults/test_failures.py::test_single_run_raises",
        ],
        "fail_fast": ["faults/test_failures.py::test_fail_fast_leaves_the_rest_out"],
        "run deleted in the UI; experiment deleted": [
            "faults/test_failures.py::"
            "test_deleted_run_is_computed_again_and_a_deleted_experiment_is_named",
        ],
        "run, sweep or experiment deleted while running": [
            "faults/test_failures.py::test_deleted_while_running",
            "faults/test_failures.py::test_single_run_is_deleted_while_it_trains",
        ],
        "resume: the plan counts, today's defaults do not": [
            "faults/test_resume.py::test_resume_takes_the_cells_of_the_plan",
        ],
        "resume: data or trainer changed": [
            "faults/test_resume.py::test_resume_with_other_data_or_another_trainer",
        ],
        "reuse says what it takes": ["faults/test_resume.py::test_reuse_says_what_it_takes"],
        "unknown sweep": ["faults/test_resume.py::test_unknown_sweep"],
        "one sweep is resumed twice at once; a plan changes nothing": [
            "faults/test_resume.py::test_two_resume_one_sweep",
        ],
        "a living holder, here or elsewhere, is never touched": [
            "tracking/test_locks.py::"
            "test_living_process_keeps_its_runs_and_a_killed_one_loses_them",
            "tracking/test_locks.py::test_other_machine_is_left_alone_until_it_is_silent_for_long",
            "tracking/test_locks.py::test_job_of_a_launcher_keeps_its_sweep",
            "tracking/test_locks.py::test_reading_closes_nothing",
        ],
        "signatures change with what changes a number, and with nothing else": [
            "config/test_run.py::test_signature_changes_with_what_changes_a_number",
            "config/test_run.py::test_signature_changes_with_data_and_network",
            "config/test_run.py::test_signature_stays_with_what_changes_no_number",
        ],
    },
    "store lost": {
        "first starts at once": [
            "tracking/test_first_start.py::test_eight_first_starts_at_once",
            "tracking/test_first_start.py::test_eight_first_starts_at_once_ten_times",
        ],
        "SIGKILL while the store is made": [
            "tracking/test_first_start.py::test_first_start_killed_at_twenty_moments",
        ],
        "truncated, garbage": ["faults/test_store_lost.py::test_damaged_database_is_left_alone"],
        "database of another version": [
            "tracking/test_store.py::test_older_schema_is_named_with_the_upgrade",
            "tracking/test_store.py::test_newer_schema_is_left_alone",
        ],
        "disk full": [
            "faults/test_store_lost.py::test_disk_is_full_while_logging",
            "faults/test_store_lost.py::test_disk_is_really_full",
            "tracking/test_store.py::test_less_space_than_the_plan_needs",
        ],
        "a file system that cannot lock; two that look at a lock at once": [
            "tracking/test_locks.py::test_lock_that_cannot_be_made_is_one_sentence",
            "tracking/test_locks.py::"
            "test_two_that_look_at_a_lock_at_once_do_not_take_each_other_for_its_holder",
        ],
        "another program holds the lock": [
            "faults/test_store_lost.py::test_another_program_holds_the_lock",
        ],
    },
    "loud but slow": {
        "server unreachable": ["faults/test_store_lost.py::test_server_is_unreachable"],
        "server dies in mid-sweep, or in a single run": [
            "faults/test_server.py::test_server_dies_in_mid_sweep",
            "faults/test_server.py::test_server_dies_while_a_single_run_trains",
        ],
        "a server refuses a result: the others are stored, and it waits": [
            "tracking/test_server.py::test_result_that_a_server_refuses_keeps_back_no_other",
        ],
        "a server hangs without answering": [
            "faults/test_server.py::test_hanging_server_holds_up_neither_training_nor_the_end",
            "tracking/test_recorder.py::"
            "test_recorder_that_hangs_holds_nobody_up_once_the_command_shall_end",
        ],
        "a server that was silent is tried again while the sweep goes on": [
            "faults/test_server.py::test_results_are_stored_as_soon_as_the_server_is_back",
        ],
        "outputs cannot be written; a file in their place; read-only database": [
            "faults/test_store_lost.py::test_outputs_cannot_be_written",
            "faults/test_store_lost.py::test_outputs_of_a_single_run_cannot_be_written",
            "faults/test_store_lost.py::test_file_in_the_place_of_outputs",
            "faults/test_store_lost.py::test_database_is_read_only",
        ],
        "a grid of thousands": ["faults/test_long.py::test_grid_of_2000"],
        "iters=10**12": [
            "faults/test_long.py::test_run_that_would_never_end",
            "faults/test_long.py::test_sweep_that_would_never_end",
        ],
    },
    "strings and trust": {
        "HTML, newlines, mathematics, formulas, CJK": [
            "faults/test_strings.py::test_hostile_names_and_params",
        ],
        "folder names stay inside outputs": [
            "faults/test_strings.py::test_hostile_names_and_params",
            "tracking/test_locks.py::test_heartbeat_names_a_lock_below_outputs_alone",
        ],
        "a _target_ outside the trainer group is never run": [
            "faults/test_strings.py::test_target_is_not_run",
            "faults/test_strings.py::test_target_outside_the_trainer_is_not_run_by_a_sweep",
        ],
        "a _target_ of the store is never run": [
            "faults/test_strings.py::test_stored_target_is_not_run",
        ],
        "nothing is unpickled": [
            "faults/test_strings.py::test_pickled_array_in_the_store_is_not_unpickled",
            "faults/test_strings.py::test_pickled_array_as_data_is_refused",
        ],
    },
    "already good": {
        "Hydra's unknown-key error": [
            "end_to_end/test_refusals.py::test_single_run_is_refused_before_anything_exists",
        ],
        "several writers on an existing database": [
            "faults/test_silent.py::test_eight_sweeps_started_in_the_same_second",
        ],
        "integrity after a full disk": [
            "faults/test_store_lost.py::test_disk_is_full_while_logging",
        ],
        "a batch may be logged twice": [
            "tracking/test_results.py::test_killed_at_any_step_of_recording_loses_nothing",
        ],
        "one failed job stops no other": ["faults/test_failures.py::test_some_jobs_raise"],
        "the server binds to the loopback and refuses a foreign Host or Origin": [
            "faults/test_server.py::test_server_refuses_strangers",
        ],
    },
}
"""Kind of fault -> what goes wrong or is promised -> its tests, below tests/."""

NAMED = [
    (fault, test) for faults in FAULTS.values() for fault, tests in faults.items() for test in tests
]


@pytest.mark.parametrize(("fault", "test"), NAMED)
def test_fault_has_its_test(fault: str, test: str) -> None:
    path, _, name = test.partition("::")
    module = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_test_is_in_the_list() -> None:
    listed = {test for _, test in NAMED}
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        if path.name == "test_list.py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert f"faults/{path.name}::{node.name}" in listed
