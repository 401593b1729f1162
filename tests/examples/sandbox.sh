#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# sandbox, with a parser that dies in every way.
. "$(dirname "$0")/check.bash"
cp "$programs/sandbox" . || exit 1

cat >parser.c <<'END'
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  char word[16] = "";
  memcpy(word, data, size < 15 ? size : 15);
  if (strcmp(word, "segv") == 0) *(volatile int*)8 = 1;
  if (strcmp(word, "abort") == 0) abort();
  if (strcmp(word, "exit") == 0) exit(3);
  if (strcmp(word, "hang") == 0) for (;;) pause();
  if (strcmp(word, "spin") == 0) for (volatile int k = 0;; k = k + 1) continue;
  if (strcmp(word, "kill") == 0) kill(getpid(), SIGKILL);
  if (strcmp(word, "eat") == 0) {
    char* all = malloc((size_t)900 << 20);
    if (all == NULL) abort();
    memset(all, 1, (size_t)900 << 20);
  }
  if (strcmp(word, "print") == 0) puts("the parser says so");
  return 0;
}
END
for compiler in ${CC-} cc gcc clang ''; do
  command -v "$compiler" >/dev/null && "$compiler" -shared -fPIC -O0 -o parser.so parser.c 2>compiler.log && break
done
[ -e parser.so ] || skip "no C compiler that makes a library: $(tail -n 1 compiler.log 2>/dev/null)"
memory='--memory 512'
! is_sanitized ./sandbox || memory='--memory 0'  # a sanitizer needs more

mkdir corpus
for word in good segv fine abort exit hang kill better print; do printf %s "$word" >"corpus/$word"; done
./sandbox --timeout 1 --workers 2 $memory ./parser.so corpus/* corpus/absent corpus/good >found 2>errors
same 'the exit code is 1 if a file was not borne' 1 $?
same 'nothing to complain of' '' "$(<errors)"
same 'what the parser prints appears' 1 "$(grep -cxF 'the parser says so' found)"
same 'each death is told, in order' "corpus/abort: its worker process was killed by SIGABRT
corpus/exit: its worker process has exited with code 3 in the middle of the task: a task must return or throw
corpus/hang: no result within the timeout of 1 s
corpus/kill: its worker process was killed by SIGKILL: by somebody, or for want of memory (then the kernel's log says so: dmesg)
corpus/segv: its worker process was killed by SIGSEGV
corpus/absent: std::runtime_error: cannot be read
10 files: 4 borne, 6 not" "$(grep -vxF 'the parser says so' found)"

if [ "$memory" != '--memory 0' ]; then
  printf eat >corpus/eat
  same 'memory has its limit' 'corpus/eat: its worker process was killed by SIGABRT' "$(./sandbox $memory ./parser.so corpus/eat | head -n 1)"
fi
./sandbox $memory ./parser.so corpus/good corpus/fine >found
same 'the exit code is 0 if all were borne' 0 $?
same 'they are counted' '2 files: 2 borne, 0 not' "$(<found)"

wrong() {  # WHAT MESSAGE ARGUMENT...
  local what=$1 message=$2 said
  shift 2
  said=$(./sandbox "$@" 2>&1 >/dev/null)
  same "$what: the exit code is 2" 2 $?
  check "$what: the message has '$message', but is: $said" grep -qF -e "$message" <<<"$said"
}
wrong 'no library' 'absent.so' $memory ./absent.so corpus/good
wrong 'a library of something else' 'LLVMFuzzerTestOneInput' $memory libc.so.6 corpus/good
wrong 'no files' 'at least one file' ./parser.so
wrong 'a timeout that is none' "'soon'" --timeout soon ./parser.so corpus/good
check '--help tells the exit codes' grep -q '^Exit code' <(./sandbox --help)
finish
