"""How the advice of the guide is measured: claims, pools of trials, what is trained for them, and verdicts.

``docs/claims.toml`` says what is claimed, ``docs/evidence/pools/`` what is trained for it,
``docs/evidence/tasks.toml`` on which data. ``docs/evidence/trials/`` holds a line for each trained member, and
``docs/evidence/verdicts.json`` follows from all of them.

A pool: ``pool.py`` (read and checked), ``tasks.py`` (its tasks made), ``plan.py`` (its members: tuned, then reported).
Trials: ``train.py`` (a population becomes lines), ``draws.py`` (whose members learn different draws of the data),
``scores.py``, ``trial_file.py``, ``runner.py`` (what is missing, in turn). Claims: ``registry.py``, ``contrasts.py``
(pairs of values from trials), ``verdicts.py``.
"""
