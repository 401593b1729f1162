#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fetch tells what links lead to, at a server of our own with all that can be wrong with one: see moody_server.cpp.
. "$(dirname "$0")/check.bash"
[ -x "$programs/fetch" ] || skip 'fetch was not built, for want of libcurl or CLI11'
fetch() { timeout 120 "$programs/fetch" "$@"; }  # what hangs shall fail
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY

mkfifo ports
"${2:?the folder of the helpers is missing}/moody_server" log >ports &
read -r port refuser <ports || exit 1
at=http://127.0.0.1:$port

# look [WORD]...: what fetch writes as JSON, into the file `found`; gives its exit code.
look() {
  local options=(--json)
  [[ " $* " == *' --timeout '* ]] || options+=(--timeout 60)
  [[ " $* " == *' --retry-delay '* ]] || options+=(--retry-delay 0.01)
  : >log
  fetch "${options[@]}" "$@" >found
}
# of NAME [LINK]: what the members of that name say, a line for each link; or for those that end with LINK.
of() { sed -nE 's!^ *\{"link": "[^"]*'"${2-}"'", .*"'"$1"'": ("[^"]*"|[^,}]*)[,}].*!\1!p' found; }
requests() { grep -c "^/${1-}" log; }
# How many requests the server had at most at the same time.
most() { awk '/^\// && $2 > most { most = $2 } END { print most + 0 }' log; }

# --- good ones

look "$at/ok/10" "$at/ok/0" "$at/ok/200000" "$at/slow/200" "$at/redirect/3"
same 'the exit code is 0 if all links are good' 0 $?
same 'each was good' 'true true true true true' "$(echo $(of good))"
same 'each has its status' '200 200 200 200 200' "$(echo $(of status))"
same 'each has its size' '10 0 200000 10 7' "$(echo $(of bytes))"
same 'redirects are counted' '0 0 0 0 3' "$(echo $(of redirects))"
same 'it is told where they lead' "\"$at/redirect/0\"" "$(of url /redirect/3)"
check 'the time is that of the whole answer' awk "BEGIN { exit !($(of seconds /slow/200) >= 0.2) }"

fetch "$at/ok/10" "$at/redirect/1" "$at/status/404" >found
same 'as text: a line for each link, in their order, and one that counts' "1
200  T s       10 B  $at/ok/10
200  T s        7 B  $at/redirect/1 -> $at/redirect/0 (1 redirect)
404  T s        6 B  $at/status/404: status 404
3 links: 2 good, 1 bad; 0 retries, T s" "$?
$(sed -E 's/ +[0-9]+\.[0-9]{3} s/  T s/; s/, +T/, T/' found)"
printf '  %s/ok/1  \r\n\n%s/ok/2' "$at" "$at" >list
look <list
same 'links are read from standard input, spaces and empty lines aside' '0 1 2' "$? $(echo $(of bytes))"
same 'no link, no complaint' '0 links: 0 good, 0 bad; 0 retries' "$(fetch </dev/null | sed 's/, [0-9.]* s$//')"
look "$at/ok/3" "$at/ok/4" "$at/ok/3" "$at/ok/3"
same 'equal links are told each time' '3 4 3 3' "$(echo $(of bytes))"
same 'and looked at once' 1 "$(requests ok/3)"

# --- bad ones

for status in 400 404 410; do
  look "$at/status/$status"
  same "$status: the link is bad, and that is all" "1 false $status 1 \"status $status\" 1" \
    "$? $(of good) $(of status) $(of attempts) $(of error) $(requests status)"
done
look "$at/status/304"
same 'a status from 300 on that leads nowhere is good' '0 true 304' "$? $(of good) $(of status)"
look --retries 1 "$at/garbage"
same 'what is no HTTP is bad' '1 false 1' "$? $(of good) $(of attempts)"
look --retries 1 "$at/close"
same 'so is no answer at all, which is tried again' '1 false 0 2' "$? $(of good) $(of status) $(of attempts)"
look --retries 1 "$at/short"
same 'so is half an answer' '1 false 200 3 2' "$? $(of good) $(of status) $(of bytes) $(of attempts)"
look --retries 2 "http://127.0.0.1:$refuser/"
same 'so is a port where nobody listens' '1 false 0 3' "$? $(of good) $(of status) $(of attempts)"
check 'it says that there is no connection' grep -qi 'connect' found
look --retries 1 "https://127.0.0.1:$port/ok/1"
same 'so is TLS where there is none' '1 false 0 2' "$? $(of good) $(of status) $(of attempts)"
for link in 'http://' 'nothing://x' "ftp://127.0.0.1:$port/" "file:///etc/passwd" 'http://a b/' ''; do
  look -- "$link"
  same "'$link' is bad, and is not tried again" '1 false 0 1' "$? $(of good) $(of status) $(of attempts)"
done
printf '%s\0/more\n' "$at/ok/1" >list
look <list
same 'so is what has a zero byte' '1 false 0' "$? $(of good) $(requests)"

# --- retries

look --retries 2 "$at/retry/503/2/a"
same '503 twice, and then well: the link is good' '0 true 200 3 null 3' \
  "$? $(of good) $(of status) $(of attempts) $(of error) $(requests retry)"
look --retries 1 "$at/retry/503/2/b"
same '503 once too often: it is bad, with what was answered' '1 false 503 4 2 "status 503"' \
  "$? $(of good) $(of status) $(of bytes) $(of attempts) $(of error)"
look --retries 1 "$at/retry/429/1/c" "$at/retry/500/1/d"
same '429 and 500 are tried again' '0 2 2' "$? $(echo $(of attempts))"
look --retries 0 "$at/retry/503/1/e"
same 'not with --retries 0' '1 1' "$? $(of attempts)"
look --retries 2 "$at/reset/2/f"
same 'a connection that is reset is tried again' '0 true 3' "$? $(of good) $(of attempts)"
look --retries 3 --retry-delay 0.2 "$at/retry/503/3/g"
total=$(sed -nE 's/.*"retries": 3, "seconds": ([0-9.]*)$/\1/p' found)
check 'before a retry there is a delay, twice as long before the next' awk "BEGIN { exit !($total >= 0.9 * 1.4) }"
check 'that is no time of the link' awk "BEGIN { exit !($(of seconds) <= $total - 0.9 * 1.4) }"

# --- deadlines

look --timeout 0.3 --retries 1 "$at/silent" "$at/stuck"
same 'no answer in time: the link is bad, after each attempt was given its time' \
  '1 false false 2 2 "no result within the timeout of 0.3 s" "no result within the timeout of 0.3 s"' \
  "$? $(echo $(of good) $(of attempts) $(of error))"
check 'the time is that of all attempts' awk "BEGIN { exit !($(of seconds /silent) >= 0.6) }"
same 'a transfer is given up at its deadline, before it is tried again' '/silent
gone /silent
/silent
gone /silent' "$(grep silent log | sed 's/ [0-9]*$//')"
look --timeout 3 --retries 0 --per-host 4 "$at/silent" "$at/stuck" "$at/slow/60000" $(seq -f "$at/ok/%.0f" 50)
same 'three that take too long hold up nobody else' '1 50' "$? $(of good | grep -c true)"
look --timeout 0.3 --retries 0 "$at/slow/60000"
same 'a deadline is for the whole answer' '1 false' "$? $(of good)"

cat >names.c <<'END'
/* A name server that does not answer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

typedef int Lookup(const char*, const char*, const struct addrinfo*, struct addrinfo**);

int getaddrinfo(const char* name, const char* service, const struct addrinfo* hints, struct addrinfo** found) {
  if (strcmp(name, "silent.example") == 0) sleep(600);
  return ((Lookup*)dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, found);
}
END
for compiler in ${CC-} cc gcc clang; do
  command -v "$compiler" >/dev/null && "$compiler" -shared -fPIC -o names.so names.c -ldl 2>compiler.log && break
done
if [ -e names.so ] && LD_PRELOAD=$work/names.so "$programs/fetch" --help >help 2>errors && [ ! -s errors ]; then
  LD_PRELOAD=$work/names.so look --timeout 0.3 --retries 1 http://silent.example/ "$at/ok/1"
  same 'no answer from a name server: the same, and nobody waits for it' '1 false true 2 1' "$? $(echo $(of good) $(of attempts))"
fi

# --- redirects

look "$at/loop"
same 'a circle of redirects is bad, and is not tried again' '1 false 301 10 1' \
  "$? $(of good) $(of status) $(of redirects) $(of attempts)"
look --redirects 3 "$at/redirect/3" "$at/redirect/4"
same 'no more of them are followed than --redirects' '1 true false' "$? $(echo $(of good))"
look --redirects 0 "$at/redirect/1"
same 'none with --redirects 0' '1 false 302' "$? $(of good) $(of status)"
look "$at/away/http://localhost:$port/ok/5" "$at/away/http://127.0.0.1:$port/status/404" "$at/away/http://127.0.0.1:$refuser/" --retries 0
same 'what counts is where they lead' '1 true false false 200 404 307' "$? $(echo $(of good)) $(echo $(of status))"
look "$at/away/file:///etc/passwd"
same 'they lead to no other protocol' '1 false 307 1' "$? $(of good) $(of status) $(of attempts)"

# --- bounds

for bound in 1 4 7; do
  look --per-host $bound $(seq -f "$at/together/$bound/%.0f" $((6 * bound)))
  same "--per-host $bound: so many at a time, and no more" "0 $((6 * bound)) $bound" "$? $(of good | grep -c true) $(most)"
done
look $(seq -f "$at/together/4/again%.0f" 8)
same 'four of a host if nothing is given' '0 4' "$? $(most)"
other=http://localhost:$port
look --per-host 2 $(seq -f "$at/together/4/%.0f" 4) $(seq -f "$other/together/4/%.0f" 4)
same 'several hosts side by side' '0 8 4' "$? $(of good | grep -c true) $(most)"
look --hosts 1 --per-host 2 $(seq -f "$at/together/2/%.0f" 4) $(seq -f "$other/together/2/%.0f" 4)
same '--hosts 1: one after the other' '0 8 2' "$? $(of good | grep -c true) $(most)"
look --per-host 1 --retries 6 --retry-delay 0.05 "$at/after/20/h" $(seq -f "$at/ok/%.0f" 20)
same 'a link that waits for its retry takes no place' '0 21' "$? $(of good | grep -c true)"
seq -f "$at/ok/%.0f" 3000 >list
look --per-host 50 <list
same '3,000 links' '0 3000' "$? $(of good | grep -c true)"
same 'in their order' "$(seq 3000)" "$(of bytes)"

# --- JSON

fetch --json --retry-delay 0 --retries 1 "$at/ok/3" "$at/redirect/1" "$at/retry/503/9/z" >found
same 'all that JSON tells' "{
  \"links\": [
    {\"link\": \"$at/ok/3\", \"good\": true, \"status\": 200, \"bytes\": 3, \"seconds\": T, \"redirects\": 0, \"url\": \"$at/ok/3\", \"attempts\": 1, \"error\": null},
    {\"link\": \"$at/redirect/1\", \"good\": true, \"status\": 200, \"bytes\": 7, \"seconds\": T, \"redirects\": 1, \"url\": \"$at/redirect/0\", \"attempts\": 1, \"error\": null},
    {\"link\": \"$at/retry/503/9/z\", \"good\": false, \"status\": 503, \"bytes\": 4, \"seconds\": T, \"redirects\": 0, \"url\": \"$at/retry/503/9/z\", \"attempts\": 2, \"error\": \"status 503\"}],
  \"good\": 2, \"bad\": 1, \"retries\": 1, \"seconds\": T
}" "$(sed -E 's/"seconds": [0-9]+\.[0-9]{6}/"seconds": T/' found)"
if command -v perl >/dev/null; then
  fetch --json </dev/null >none
  check 'without a link it is JSON as well' is_json none
  fetch --json --retries 0 "$at/a\"b" "$at/a\\b" "$at/"$'\x01\t\x7f' "$at/"$'\xc3\xa9' "$at/"$'\xff\xfe' "nothing\"\\"$'\x01\xff' "http://"$'\xff/' >found
  check 'it is JSON whatever the links' is_json found
  same 'all of them are there' 7 "$(grep -c '"link"' found)"
  check 'what has no place in a URL is written as %XX' grep -qF "\"$at/%C3%A9\"" found
fi

# --- https

if command -v openssl >/dev/null &&
  openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost >/dev/null 2>&1; then
  mkfifo accepts
  timeout 120 openssl s_server -accept 127.0.0.1:0 -key key.pem -cert cert.pem -www >accepts 2>/dev/null &
  tls=$!
  exec 8<accepts
  while read -r word where <&8 && [ "$word" != ACCEPT ]; do :; done
  look --ca cert.pem --retries 0 "https://localhost:${where##*:}/"
  same 'https, of a server that is believed' '0 true 200' "$? $(of good) $(of status)"
  look --retries 3 "https://localhost:${where##*:}/"
  same 'https, of one that is not: no retry helps' '1 false 0 1' "$? $(of good) $(of status) $(of attempts)"
  look --ca cert.pem --retries 0 "https://127.0.0.1:${where##*:}/"
  same 'https, of one that is somebody else' '1 false 0' "$? $(of good) $(of status)"
  kill $tls
  { wait $tls; } 2>/dev/null
fi

# --- usage, the bar

wrong() { # WHAT MESSAGE [WORD]...
  local what=$1 message=$2 said
  shift 2
  said=$(fetch "$@" 2>&1 </dev/null)
  same "$what: the exit code is 2" 2 $?
  check "$what: the message has '$message', but is: $said" grep -qF -e "$message" <<<"$said"
}
wrong 'no place' 'Value 0 not in range 1 to' --per-host 0 "$at/ok/1"
wrong 'no host' 'Value 0 not in range 1 to' --hosts 0 "$at/ok/1"
wrong 'no time' '--timeout' --timeout 0 "$at/ok/1"
wrong 'a negative number of retries' '--retries' --retries -1 "$at/ok/1"
wrong 'a file that is not there' 'absent.pem' --ca absent.pem "$at/ok/1"
wrong 'an option that there is not' '--post' --post "$at/ok/1"
same '--help succeeds' 0 "$(fetch --help >help; echo $?)"
check '--help tells the exit codes' grep -q '^Exit code' help
if [ -c /dev/full ]; then
  fetch "$at/ok/1" >/dev/full 2>errors
  same 'a result that cannot be written is an error' 2 $?
  check 'it says why' grep -q 'No space left on device' errors
fi
same 'no bar without --bar' '' "$(fetch "$at/ok/1" 2>&1 >/dev/null)"
fetch --bar --retries 1 --retry-delay 0 "$at/ok/1" "$at/ok/1" "$other/ok/1" "$at/garbage" "$at/retry/503/1/y" >found 2>drawn
check 'the bar, where standard error is no terminal: a line for all hosts together' grep -qE '^links: .*5/5.*1 failed' drawn
same 'one line' 1 "$(wc -l <drawn)"
if command -v script >/dev/null; then
  TERM=xterm script -qec "'$programs/fetch' --bar '$at/slow/1000' '$at/ok/1' '$other/ok/2'" /dev/null </dev/null >drawn
  check 'the bar, on a terminal: how many are done meanwhile' grep -q '2/3' drawn
  check 'the bar, on a terminal: all are done in the end' grep -q '3/3' drawn
fi
finish
