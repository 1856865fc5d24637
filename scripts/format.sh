#!/usr/bin/env bash
# Lays out the code: TypeScript and JavaScript by Prettier, C++ by clang-format of Debian 12 (other versions do it otherwise).
#   format.sh                             writes all
#   format.sh --check typescript|cpp      says what is laid out otherwise; exit code 1 if anything is, 3 without clang-format 14
set -u
cd "$(dirname "$0")/.." || exit 1
check=''
[ "${1:-}" = --check ] && check=$2

files() { git ls-files -co --exclude-standard -- "$@" | while read -r file; do [ ! -e "$file" ] || printf '%s\n' "$file"; done; }
prettier() { files '*.ts' '*.mts' '*.mjs' '*.cjs' '*.js' | xargs node_modules/.bin/prettier --log-level warn "$@"; }
clang_format() {
  local tool
  tool=$(command -v clang-format-14) || { echo 'no clang-format 14 (Debian: clang-format-14)'; return 3; }
  files '*.h' '*.cc' | xargs "$tool" "$@"
}

case $check in
  typescript) prettier --check || exit 1 ;;
  cpp)
    clang_format --dry-run -Werror
    code=$?
    [ $code = 0 ] || [ $code = 3 ] || code=1
    exit $code ;;
  '') prettier --write && clang_format -i ;;
  *) echo "format.sh: --check typescript or --check cpp, not $check" >&2; exit 2 ;;
esac
