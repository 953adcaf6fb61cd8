"""Machines whose functions give other bits are told apart; those of numpy decide nothing."""

import os
import subprocess
import sys

import pytest

from stream.core.probe import math_digest
from tests.end_to_end.outside import REPOSITORY

ASK = "from stream.core.probe import math_digest; print(math_digest())"

FOLD = """
import numpy as np, struct, hashlib
from stream.core.event import Kind
from stream.core.recipe import Recipe
from stream.core.fold.task import Task
from tests.folds import PARTITION, fold, recipe, workload
from stream.models import catalogue
print(hashlib.sha256(np.log(np.linspace(1e-3, 20, 20_000)).tobytes()).hexdigest())
for name in sorted(catalogue()):
    task = Task(recipe(f"stream.models:{name}"), partition=PARTITION)
    fold(task, workload(task.kind, 300))
    print(name, task.metadata().digest, task.serving.learned)
"""


def said(code: str, **environ: str) -> list[str]:
    """What a process of its own says."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY, env=os.environ | {"PYTHONHASHSEED": "7"} | environ,
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_the_digest_is_the_same_in_every_process() -> None:
    """It is a part of the recipe."""
    assert said(ASK)[0] == math_digest()


def test_functions_that_give_other_bits_give_another_digest() -> None:
    """Glibc without what this processor has: as a machine that lacks it."""
    other = said(ASK, GLIBC_TUNABLES="glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4,-AVX512F")[0]
    if other == math_digest():
        pytest.skip("this machine's C library has one way to compute, whatever is taken away")
    assert len(other) == len(math_digest())


def test_numpys_instructions_change_no_bit_of_a_fold() -> None:
    """In all ready models: numpy counts and sorts in them, and computes nothing."""
    with_all = said(FOLD)
    without = said(FOLD, NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX AVX2 FMA3")

    assert len(with_all) > 10
    assert without[1:] == with_all[1:]
