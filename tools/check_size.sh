#!/bin/sh
# Fail when a source file has more than 600 lines (tables apart): it holds more than one noun.
set -eu
cd "$(dirname "$0")/.."
find . \( -name '.?*' -o -name build \) -prune -o -name '*.py' ! -name regs.py -exec wc -l {} + |
    awk '$2 != "total" && $1 > 600 { print $2 " has " $1 " lines, more than 600: divide it"; bad = 1 }
         $2 != "total" { files++; lines += $1 }
         END { print files " files, " lines " lines"; exit bad }'
