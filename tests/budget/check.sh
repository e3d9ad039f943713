#!/usr/bin/env bash
# House rules over the source tree: check.sh includes|lengths|forbidden|test_files <root>
# Prints every violation and ends with 1 if there is one.
set -euo pipefail
rule=$1
cd "$2"

# The modules that each module of lib/ may include, besides itself. A new edge is a reviewed change of one line.
declare -A allowed=(
  [base]=""
  [model]="base"
  [hub]="model base"
  [cache]="model base"
  [inspect]="model base"
  [verify]="model base"
  [resolve]="model base"
  [machine]="model base"
  [runtime]="model base"
  [layers]="resolve runtime model base"
  [bench]="runtime model base"
  [bundle]="model base"
  [torch]="layers model base"
  [examples]="ops layers runtime model base"
  [ops]="bench bundle cache hub inspect layers machine model base resolve runtime verify"
)

includes() {
  local folder module file line to
  for folder in lib/*/; do
    module=$(basename "$folder")
    if [ -z "${allowed[$module]+known}" ]; then
      echo "lib/$module: no line in the table of modules"
      continue
    fi
    while IFS=: read -r file line to; do
      [ "$to" = "$module" ] && continue
      [[ " ${allowed[$module]} " == *" $to "* ]] || echo "$file:$line: $module may not include $to"
    done < <(grep -rnoE --include='*.h' --include='*.cpp' '^#include "kernels/[a-z_]+/' "$folder" |
      sed -E 's|#include "kernels/([a-z_]+)/|\1|')
  done
  # Nothing in lib/ knows the program or the kernels; a quoted include names our own public or private headers only.
  local kernels
  kernels=$(cd kernels 2> /dev/null && printf '%s|' */ | tr -d /)
  grep -rnE --include='*.h' --include='*.cpp' '^#include "[^"]*(\.\./|app/|kernels/('"${kernels}common|tools"')/)' lib || true
}

# Functions are what stands between an opening line at namespace or class level and the brace that closes it. The
# sources are formatted by clang-format, so the closing brace has the indentation of the line that begins the function.
function_lengths() { # limit, files…
  awk -v limit="$1" '
    FNR == 1 { inside = 0 }
    { match($0, /^ */); depth = RLENGTH }
    # A signature of several lines: its first line ends in a comma or an opening parenthesis.
    !inside && depth <= 2 && /[,(]$/ && !/^ *(if|for|while|switch|return|}|\/\/|case) ?/ { first = FNR; first_margin = depth; opening = $0; next }
    !inside && first && depth > 2 && /[,(]$/ { next }
    !inside && first && depth > 2 && /\{$/ { inside = 1; begin = first; margin = first_margin; name = opening; first = 0; next }
    { first = 0 }
    !inside && depth <= 2 && /\) ?(const)? ?(noexcept)?( override)? ?(: .*)?\{$/ && !/^ *(namespace|struct|class|enum|union|if|for|while|switch|else|do|}|extern) ?/ {
      inside = 1; begin = FNR; margin = depth; name = $0; next
    }
    inside && depth == margin && /^ *}/ {
      if (FNR - begin + 1 > limit) printf "%s:%d: %d lines, %d are allowed: %s\n", FILENAME, begin, FNR - begin + 1, limit, name
      inside = 0
    }' "${@:2}"
}

lengths() {
  local file lines
  for file in $(find lib app tests kernels -name '*.cpp' -o -name '*.h' -o -name '*.cu' | sort); do
    lines=$(wc -l < "$file")
    [ "$lines" -le 600 ] || echo "$file: $lines lines, 600 are allowed"
  done
  function_lengths 80 $(find lib -name '*.cpp' -o -name '*.h')
  function_lengths 40 $(find app -name '*.cpp' -o -name '*.h')
}

forbidden() {
  # Comments and texts may use the words. Two uses of `new` have an owner at once: a class whose constructor is private,
  # and the pool that cpp-httplib takes as a plain pointer.
  for file in $(find lib -path lib/examples -prune -o \( -name '*.cpp' -o -name '*.h' \) -print); do
    sed -E 's|"([^"\\]\|\\.)*"|""|g; s|//.*||' "$file" |
      grep -nE '(^|[^_[:alnum:]])(new [A-Za-z_:]+[({[ ;]|delete (\[\] ?)?[A-Za-z_]|delete\[\])|(^|[^_[:alnum:]])(f?printf|puts|putchar|perror) ?\(|std::(cout|cerr|clog)' |
      grep -vE 'unique_ptr<[A-Za-z]+>( [a-z]+)?\(new |return new GrowingPool' |
      sed "s|^|$file:|" || true
  done
}

test_files() {
  local file
  for file in $(find tests -name '*_test.cpp'); do
    grep -qE "(^|[[:space:](])$(basename "$file")([[:space:])]|$)" "$(dirname "$file")/CMakeLists.txt" 2> /dev/null ||
      echo "$file: in no target"
  done
}

found=$("$rule")
[ -z "$found" ] && exit 0
echo "$found"
exit 1
