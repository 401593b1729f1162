# SPDX-License-Identifier: MIT
# Takes the ```cpp blocks out of a page of Markdown, into the folder `out`. `page` is a name for it that is an identifier.
#
# A block with a `main` is a program: PAGE_LINE.cpp, and the ```text block that comes next in the page, if it is the next
# block of all, is what it prints: PAGE_LINE.expected. Any other block is a fragment of a function body and goes to
# PAGE.fragments; what it needs to be known before stands in a comment of the page that begins with a line `<!-- given` and
# ends with a line `-->`.
function finish_block() {
  if (language == "text") {
    if (program != "") printf "%s", text > (out "/" program ".expected")
  } else if (language == "cpp") {
    program = text ~ /(^|\n)int main\(/ ? page "_" start : ""
    if (program != "") {
      printf "%s", text > (out "/" program ".cpp")
    } else {
      count = split(text, lines, "\n")
      body = ""
      for (i = 1; i < count; ++i) {
        if (lines[i] ~ /^#include/) print lines[i] > (out "/fragments.includes")
        else body = body lines[i] "\n"
      }
      printf "namespace %s_%d {\n%svoid fragment() {\n%s}\n}\n", page, start, given, body > (out "/" page ".fragments")
    }
    return
  }
  program = ""
}

/^<!-- given$/ { in_given = 1; given = ""; next }
in_given && /^-->$/ { in_given = 0; next }
in_given {
  if ($0 ~ /^#include/) print > (out "/fragments.includes")
  else given = given $0 "\n"
  next
}
/^```/ {
  if (in_block) { in_block = 0; finish_block() }
  else { in_block = 1; language = substr($0, 4); text = ""; start = FNR }
  next
}
in_block { text = text $0 "\n" }
END {
  if (in_block || in_given) { print FILENAME ": a block is not closed"; exit 1 }
}
