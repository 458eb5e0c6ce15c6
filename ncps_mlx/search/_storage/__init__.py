"""Trials in Optuna's storage: opened, queued, leased, retried."""
