# SPDX-License-Identifier: MIT
"""The peers of sleeping: COUNT tasks that sleep for a second, more or less, all at the same time. Prints the seconds that it
takes, and the bytes by which the peak of the memory grows meanwhile.

usage: sleeping.py asyncio | uvloop COUNT
"""
import asyncio
import resource
import sys
import time


def nap(x):
    return (900_000 + ((x * 0x9E3779B1 & 0xFFFFFFFF) >> 8) % 200_001) / 1e6


async def sleep(x):
    await asyncio.sleep(nap(x))
    return x + 1


async def sleep_all(count):
    return await asyncio.gather(*(sleep(x) for x in range(count)))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


how, count = sys.argv[1], int(sys.argv[2])
if how == "uvloop":
    import uvloop
    uvloop.install()
before = peak()
begin = time.perf_counter()
answers = asyncio.run(sleep_all(count))
seconds = time.perf_counter() - begin
assert answers == list(range(1, count + 1)), "wrong answer"
print(seconds, peak() - before)
