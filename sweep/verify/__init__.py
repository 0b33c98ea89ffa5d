"""Retrain stored runs and compare all stored values.

A stored run cannot name code to execute: a trainer class runs only if it is built in, or if the
user's current configuration names it and its source is unchanged.
"""
