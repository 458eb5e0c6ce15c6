"""How the advice of the guide is measured: claims, pools of trials, what is trained for them, and verdicts.

``docs/claims.toml`` says what is claimed, ``docs/evidence/pools/`` what is trained for it,
``docs/evidence/tasks.toml`` on which data. ``docs/evidence/trials/`` holds a line for each trained member, and
``docs/evidence/verdicts.json`` follows from all of them.

A pool is of a design (``design.py``, all in ``designs.py``): a module that says what a pool lacks, trains it and
compares its trials. The usual one, ``tuned.py``, tunes each level over learning rates and reports it: ``pool.py`` (read
and checked), ``tasks.py`` (its tasks made), ``plan.py`` (its members), ``train.py`` (a population becomes lines),
``draws.py`` (whose members learn different draws of the data), ``scores.py``, ``baselines.py`` (classical methods in
the place of a level, on the same draws), ``contrasts.py`` (pairs of values).
``failures.py`` counts trainings that are lost, at every rate; ``shares.py`` decides what their shares show.

``grid.py`` trains each level at every rate, and tells how large one may be; ``timing.py`` lets levels take turns, and
tells what time and memory a training step takes.

Whole searches, ``search.py``: ``search_pool.py`` (read and checked), ``search_plan.py`` (which trials a search has),
``search_results.py`` (what it chose, and its contrasts), ``best_settings.py`` (the best of all, as files for ``tune``).

``splits.py`` trains folds of a cross-validation before each of several futures, which ``eras.py`` makes; ``metrics.py``
scores random configurations by several metrics, those of ``domain_metrics.py`` among them.

For all: ``trial_file.py``, ``runner.py`` (what is missing, in turn), ``registry.py`` (the claims), ``verdicts.py``,
``comparisons.py`` (a level against all others of its pool, task by task: no advice, but decided alike),
``advice.py`` (the changelog of advice: what was told of each claim, and when that changed), ``checksums.py`` (what was
changed by hand is seen), ``record.py`` (all of it read, from a checkout or a wheel), ``reproduce.py`` (a claim on fresh
seeds, beside it),
``build_check.py`` (whether a build still shows it: by ``against_record.py``, by ``placebo.py``, in ``trial_rows.py``,
drawn by ``check_figure.py``),
``checks.py`` (claims that need no trials: they hold or do not).
The rule in words is ``docs/evidence/rule.rst``, and in other code ``docs/evidence/recompute.py``.
"""
