#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# dupes on a disk with faults, and with a hash that deceives: a library is put between it and the system's functions.
. "$(dirname "$0")/check.bash"
cp "$programs/dupes" . || exit 1
modes=$(modes_of ./dupes serial thread process)

cat >faults.c <<'END'
/* Of files with these words in their name: "flaky" can be read from the third try on, "late" twice only, "broken" never, and
   "short" only a few bytes at a time. "growing" gets longer, "shrinking" shorter, when somebody reads it. With FAULTS_HASH all hashes are equal. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int flaky_reads, late_reads;

ssize_t read(int fd, void* into, size_t size) {
  static ssize_t (*next)(int, void*, size_t);
  char link[64], path[4096];
  if (next == NULL) next = (ssize_t(*)(int, void*, size_t))dlsym(RTLD_NEXT, "read");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = '\0';
  const char* name = strrchr(path, '/') != NULL ? strrchr(path, '/') : "";
  if (strstr(name, "broken") != NULL || (strstr(name, "flaky") != NULL && __sync_add_and_fetch(&flaky_reads, 1) <= 2) ||
      (strstr(name, "late") != NULL && __sync_add_and_fetch(&late_reads, 1) > 2)) {
    errno = EIO;
    return -1;
  }
  if (strstr(name, "growing") != NULL && truncate(path, 300000) != 0) abort();
  if (strstr(name, "shrinking") != NULL && truncate(path, 10) != 0) abort();
  return next(fd, into, strstr(name, "short") != NULL && size > 7 ? 7 : size);
}

struct Hash { uint64_t low, high; };

struct Hash XXH3_128bits(const void* data, size_t size) {
  static struct Hash (*next)(const void*, size_t);
  struct Hash same = {1, 2};
  if (next == NULL) next = (struct Hash(*)(const void*, size_t))dlsym(RTLD_NEXT, "XXH3_128bits");
  if (getenv("FAULTS_HASH") == NULL) return next(data, size);
  fprintf(stderr, "equal hashes\n");
  return same;
}

struct Hash XXH3_128bits_digest(const void* state) {
  static struct Hash (*next)(const void*);
  struct Hash same = {1, 2};
  if (next == NULL) next = (struct Hash(*)(const void*))dlsym(RTLD_NEXT, "XXH3_128bits_digest");
  return getenv("FAULTS_HASH") == NULL ? next(state) : same;
}
END
for compiler in ${CC-} cc gcc clang ''; do
  command -v "$compiler" >/dev/null && "$compiler" -shared -fPIC -o faults.so faults.c -ldl 2>compiler.log && break
done
[ -e faults.so ] || skip "no C compiler that makes a library: $(tail -n 1 compiler.log 2>/dev/null)"
LD_PRELOAD=$work/faults.so ./dupes --help >help 2>errors && [ ! -s errors ] || skip "no library can be put before dupes: $(tail -n 1 errors)"
with_faults() { LD_PRELOAD=$work/faults.so ./dupes "$@"; }
groups() { tr '\0\n' '\n~' | awk '{ if ($0 == "") { print line; line = "" } else line = line (line == "" ? "" : " = ") $0 }'; }

mkdir tree
head -c 100000 /dev/zero | tee tree/a tree/flaky tree/broken tree/short >tree/z
[ "$(LD_PRELOAD=$work/faults.so cat tree/broken 2>/dev/null | wc -c)" = 0 ] || skip 'reads cannot be made to fail here'
for mode in $modes; do
  [ $mode != process ] || workers='--workers 1'  # which counts the failures that it has had
  found=$(with_faults --mode $mode ${workers-} -0 tree 2>errors | groups)
  same "$mode: the exit code is 1 if a file could not be read at all" 1 $?
  same "$mode: what can be read on the third try is found" 'tree/a = tree/flaky = tree/short = tree/z' "$found"
  same "$mode: the error tells the reason and the attempts" \
    'dupes: cannot read tree/broken: Input/output error (after 4 attempts)' "$(<errors)"
done

# The file that the others are compared with can be read when it is hashed, and no more then.
mkdir leader
printf 'the same' | tee leader/late leader/b leader/c >leader/d
found=$(with_faults -0 leader 2>errors | groups)
same 'files that were to be compared with one that cannot be read are compared with each other' \
  'leader/b = leader/c = leader/d' "$found"
same 'the error is told once' 'dupes: cannot read leader/late: Input/output error (after 4 attempts)' "$(<errors)"

mkdir changing
head -c 200000 /dev/zero | tee changing/a changing/b changing/growing >changing/shrinking
found=$(with_faults -0 changing 2>errors | groups)
same 'the exit code is 1 if files changed' 1 $?
same 'files that change are in no group' 'changing/a = changing/b' "$found"
same 'files that change are errors' 'dupes: cannot read changing/growing: it changed while it was looked at
dupes: cannot read changing/shrinking: it changed while it was looked at' "$(<errors)"

# Twenty files of one size and four contents, and all hashes are equal: only the comparison can tell.
mkdir alike
for ((k = 0; k < 20; ++k)); do
  { head -c 20000 /dev/zero; printf %s $((k % 4)); head -c 60000 /dev/zero; } >"alike/$((k % 4))_$(printf %02d $k)"
done
{ printf 4; head -c 80000 /dev/zero; } >alike/4
expected='alike/0_00 = alike/0_04 = alike/0_08 = alike/0_12 = alike/0_16
alike/1_01 = alike/1_05 = alike/1_09 = alike/1_13 = alike/1_17
alike/2_02 = alike/2_06 = alike/2_10 = alike/2_14 = alike/2_18
alike/3_03 = alike/3_07 = alike/3_11 = alike/3_15 = alike/3_19'
for mode in $modes; do
  found=$(FAULTS_HASH=1 with_faults --mode $mode -0 alike 2>errors | groups)
  same "$mode: files are compared byte by byte, should their hashes be equal" "$expected" "$found"
  same "$mode: the hashes were equal" 'equal hashes' "$(sort -u errors)"
done
finish
