# SPDX-License-Identifier: MIT
"""The peers of process_noop: x + 1 of the numbers below COUNT, by two processes. Prints the seconds from before the pool is
started until all results are there, in order or not; the end of the pool is not counted.

usage: pools.py map | imap | loky | multiprocessing COUNT
"""
import multiprocessing
import sys
import time


def next_number(x):
    return x + 1


def by_pool(how, count):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        if how == "map":
            results = pool.map(next_number, range(count))
        else:
            results = list(pool.imap_unordered(next_number, range(count), chunksize=1))
        return results, time.perf_counter()


def by_joblib(backend, count):
    results = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(next_number)(x) for x in range(count))
    return results, time.perf_counter()


how, count = sys.argv[1], int(sys.argv[2])
if how in ("loky", "multiprocessing"):
    import joblib
    by = by_joblib
else:
    by = by_pool
begin = time.perf_counter()
results, end = by(how, count)
assert sum(results) == count * (count + 1) // 2, "wrong answer"
print(end - begin)
