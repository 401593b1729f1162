#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# dupes finds the groups that jdupes finds: in folders of this machine, and in a tree made to differ if anything could.
. "$(dirname "$0")/check.bash"
command -v jdupes >/dev/null || skip 'jdupes is not installed'
cp "$programs/dupes" . && chmod 755 . dupes || exit 1
modes=$(modes_of ./dupes serial thread process)

# The groups on standard input, in the form of -0, a line each: the sorted inodes of their files. By inode, because of a file
# with several names jdupes shows one, or all, as it comes; what is then alone in its group is no group.
by_inode() { # FOLDER...
  find "$@" -type f -printf '%D:%i\t%p\0' 2>/dev/null | tr '\0\n' '\n\1' >inodes
  tr '\0\n' '\n\1' | awk '
    FILENAME == "inodes" { tab = index($0, "\t"); inode[substr($0, tab + 1)] = substr($0, 1, tab - 1); next }
    $0 != "" {
      id = ($0 in inode) ? inode[$0] : "unknown:" $0
      if (!(id in here)) { here[id]; ids[++count] = id }
      next
    }
    { end_group() }
    END { end_group() }  # jdupes does not always end the last one
    function end_group(  i, j, swap, line) {
      for (i = 2; i <= count; ++i) {
        for (j = i; j > 1 && ids[j - 1] > ids[j]; --j) { swap = ids[j]; ids[j] = ids[j - 1]; ids[j - 1] = swap }
      }
      for (i = 1; i <= count; ++i) line = line " " ids[i]
      if (count > 1) print line
      count = 0
      split("", here)
    }' inodes - | sort
}

# What stands in a folder, and since when.
state() { find "$@" -printf '%D:%i %s %C@ %p\0' 2>/dev/null | sort -z | cksum; }

compare() { # WHAT MODE FOLDER...
  local what=$1 mode=$2 before try
  shift 2
  for try in 1 2 3 4 5; do  # in case the folder changes meanwhile
    before=$(state "$@")
    ./dupes --mode "$mode" -0 "$@" 2>ours.errors | by_inode "$@" >ours
    jdupes -r -q -0 "$@" 2>theirs.errors | by_inode "$@" >theirs
    cmp -s ours theirs && break
    [ "$before" = "$(state "$@")" ] && break
    printf '%s: %s changed while it was searched\n' "$mode" "$what"
  done
  printf '%s: %s groups in %s\n' "$mode" "$(wc -l <theirs)" "$what"
  cmp -s ours theirs || head -n 20 ours.errors theirs.errors
  same "$mode: the same groups as jdupes in $what" "$(<theirs)" "$(<ours)"
}

for folder in /usr/share /usr/include; do
  for mode in $modes; do [ ! -d $folder ] || compare $folder $mode $folder; done
done

mkdir -p tree/{a,b,c}/{d,e} tree/shut
seed=${TASKMGR_SEED-$RANDOM}
RANDOM=$seed
for ((k = 0; k < 300; ++k)); do
  folder=tree/$((RANDOM % 2)) name=$k
  case $((RANDOM % 4)) in 0) folder=tree/a/d ;; 1) folder=tree/b ;; 2) folder=tree/c/e ;; 3) folder=tree ;; esac
  case $((RANDOM % 6)) in 0) name=$'new\nline'$k ;; 1) name=$'\xff\xfe'$k ;; 2) name="sp ace$k" ;; esac
  file=$folder/$name
  case $((RANDOM % 8)) in
    0) : >"$file" ;;                                                            # empty
    1) ln -s "$(find tree -type f -print -quit)" "$file" 2>/dev/null ;;             # symbolic link
    2) ln "$(find tree -type f -name '[0-9]*' -print -quit)" "$file" 2>/dev/null ;;  # hard link
    3) head -c $((60000 + RANDOM % 3)) /dev/zero >"$file" ;;
    4) { head -c 70000 /dev/zero; printf %s $((RANDOM % 3)); } >"$file" ;;      # alike but for the end
    5) { printf %s $((RANDOM % 3)); head -c 70000 /dev/zero; } >"$file" ;;      # alike but for the start
    *) printf %s $((RANDOM % 20)) >"$file" ;;
  esac
done
mkfifo tree/fifo
printf 1 >tree/shut/1
echo "TASKMGR_SEED=$seed repeats the made tree"
for mode in $modes; do compare 'the made tree' $mode tree; done

# As a user who may not read all of it. There jdupes loses groups, so the truth comes from checksums as well.
find tree -type f -name '[0-9]*1' -exec chmod 000 {} +
chmod 000 tree/shut
as_nobody find tree -type f -size +0 -readable -exec sha256sum -z {} + 2>/dev/null | tr '\0\n' '\n\1' | sort |
  awk '{ sum = substr($0, 1, 64) } NR > 1 && sum != last { print "" } { print substr($0, 67); last = sum } END { print "" }' |
  tr '\n\1' '\0\n' | by_inode tree >truth
for mode in $modes; do
  as_nobody ./dupes --mode $mode -0 tree 2>errors | by_inode tree >ours
  same "$mode: the exit code is 1 where something may not be read" 1 "${PIPESTATUS[0]}"
  same "$mode: the groups of what may be read" "$(<truth)" "$(<ours)"
  check "$mode: what may not be read is an error" grep -q '^dupes: cannot read .*: Permission denied$' errors
  as_nobody jdupes -r -q -0 tree 2>/dev/null | by_inode tree >theirs
  same "$mode: jdupes finds nothing that dupes does not" '' "$(comm -23 theirs ours)"
done
printf 'as another user: %s groups in the made tree\n' "$(wc -l <truth)"
finish
