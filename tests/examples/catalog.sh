#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# catalog routes each file by what it holds, writes right thumbnails, and an index for each folder.
. "$(dirname "$0")/check.bash"
cp "$programs/catalog" . 2>/dev/null || skip 'catalog was not built'
modes=$(modes_of ./catalog serial pipeline process)
chmod 755 . catalog

make_folders() {
  rm -rf scans
  mkdir -p scans/sub/empty scans/.hidden
  { printf 'P5 4 2 255\n'; printf '\0\012\024\036\062\074\106\120'; } >scans/grey.pgm                # 0 10 20 30, 50 60 70 80
  { printf 'P6\n# a comment\n3 1\n255\n'; printf '\001\002\003\011\012\013\377\200\0'; } >scans/sub/colours  # what it is called does not matter
  { printf 'P5 1 1 255\n'; printf '\7'; } >scans/sub/dot.pgm
  printf 'P5 9 9 255\nshort' >scans/sub/broken.pgm
  printf 'P5 is a postcode\n' >scans/sub/postcode
  printf 'first "line"\nsecond\nthird, without an end' >scans/notes.txt
  : >scans/sub/nothing
  printf 'a\0b' >scans/binary
  printf 'secret' >scans/.secret
  printf 'hidden' >scans/.hidden/file
  ln -s notes.txt scans/symlink
  mkfifo scans/fifo
}
above='{
  "files": [
    {"name": "binary", "kind": "other", "bytes": 3, "xxh3": "d5a06cd078125351"},
    {"name": "grey.pgm", "kind": "image", "width": 4, "height": 2, "thumbnail": ".thumbnails/grey.pgm"},
    {"name": "notes.txt", "kind": "text", "lines": 3, "first": "first \"line\""}]
}'
below='{
  "files": [
    {"name": "broken.pgm", "error": "an image that ends too early"},
    {"name": "colours", "kind": "image", "width": 3, "height": 1, "thumbnail": ".thumbnails/colours"},
    {"name": "dot.pgm", "kind": "image", "width": 1, "height": 1, "thumbnail": ".thumbnails/dot.pgm"},
    {"name": "nothing", "kind": "text", "lines": 0, "first": ""},
    {"name": "postcode", "error": "no PPM or PGM image: a number is missing"}]
}'
for mode in $modes; do
  make_folders
  for time in once again; do  # what it has written itself is left out
    found=$(./catalog --mode $mode --workers 2 --size 2 scans 2>errors)
    same "$mode, $time: the exit code is 1 if an image is none" 1 $?
    same "$mode, $time: the line that counts" '3 indexes of 8 files, 2 errors' "$found"
    same "$mode, $time: the errors, with reasons" 'catalog: scans/sub/broken.pgm: an image that ends too early
catalog: scans/sub/postcode: no PPM or PGM image: a number is missing' "$(sort errors)"
    same "$mode, $time: an index has its files by name, each as what it is" "$above" "$(<scans/index.json)"
    same "$mode, $time: the index of a folder below" "$below" "$(<scans/sub/index.json)"
    same "$mode, $time: a folder without files has an empty index" '{
  "files": []
}' "$(<scans/sub/empty/index.json)"
    same "$mode, $time: what begins with a dot is left out" '' "$(find scans/.hidden scans/.thumbnails -name index.json)"
    { printf 'P5\n2 1\n255\n'; printf '\036\062'; } >expected  # the means of 0 10 50 60, and of 20 30 70 80
    check "$mode, $time: a pixel of a thumbnail is the mean of those that it stands for" cmp expected scans/.thumbnails/grey.pgm
    { printf 'P6\n2 1\n255\n'; printf '\005\006\007\377\200\0'; } >expected  # a colour by itself; the last pixel stands for one
    check "$mode, $time: a thumbnail in colours" cmp expected scans/sub/.thumbnails/colours
    { printf 'P5\n1 1\n255\n'; printf '\7'; } >expected
    check "$mode, $time: a small image stays as it is" cmp expected scans/sub/.thumbnails/dot.pgm
  done
done
if command -v perl >/dev/null; then check 'an index is JSON' is_json scans/index.json; fi

# An image of some size, against its mean.
mkdir large
{ printf 'P5 640 480 255\n'; head -c 153600 /dev/zero | tr '\0' '\002'; head -c 153600 /dev/zero | tr '\0' '\004'; } >large/image.pgm
./catalog large >found
same 'the exit code is 0 if all went well' 0 $?
same 'it counts one' '1 index of 1 file, 0 errors' "$(<found)"
{ printf 'P5\n64 48\n255\n'; head -c 1536 /dev/zero | tr '\0' '\002'; head -c 1536 /dev/zero | tr '\0' '\004'; } >expected
check 'a thumbnail has 64 pixels at most, and the shape of its image' cmp expected large/.thumbnails/image.pgm

# What cannot be read or written.
mkdir open shut fixed
printf 'text\n' | tee open/a open/secret shut/a >fixed/a
chmod 777 open
chmod 000 shut open/secret
chmod 555 fixed
for mode in $modes; do
  found=$(as_nobody ./catalog --mode $mode open shut fixed missing 2>errors)
  same "$mode: the exit code is 1" 1 $?
  same "$mode: the rest is done" '1 index of 2 files, 4 errors' "$found"
  same "$mode: each problem has its reason" 'catalog: fixed: cannot write fixed/index.json: Permission denied
catalog: missing: No such file or directory
catalog: open/secret: Permission denied
catalog: shut: Permission denied' "$(sort errors)"
  same "$mode: what cannot be read has its reason in the index" '{
  "files": [
    {"name": "a", "kind": "text", "lines": 1, "first": "text"},
    {"name": "secret", "error": "Permission denied"}]
}' "$(<open/index.json)"
done

same 'wrong usage: the exit code is 2' 2 "$(./catalog --mode fibers large >/dev/null 2>&1; echo $?)"
check '--help tells the exit codes' grep -q '^Exit code' <(./catalog --help)
finish
