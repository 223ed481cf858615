#!/bin/sh
# Builds the fuzz targets with coverage and runs each for FUZZ_SECONDS, JOBS at a time. Arguments name targets; none means all.
# New inputs are kept in target/fuzz/corpus; what breaks a promise is left in target/fuzz/found and fails the run.
set -eu
cd "$(dirname "$0")"
SECONDS_EACH="${FUZZ_SECONDS:-600}"
JOBS="${FUZZ_JOBS:-2}"
TARGET_DIR="${CARGO_TARGET_DIR:-../../target}/fuzz"
HOST="$(rustc -vV | sed -n 's/^host: //p')"
mkdir -p "$TARGET_DIR"
TARGET_DIR="$(cd "$TARGET_DIR" && pwd)"

run() {
  name="$1"
  mkdir -p "$TARGET_DIR/corpus/$name" "$TARGET_DIR/found/$name"
  dictionary=""
  [ -f "dictionaries/$name" ] && dictionary="-dict=dictionaries/$name"
  status=0
  "$TARGET_DIR/build/$HOST/release/$name" "$TARGET_DIR/corpus/$name" "seeds/$name" $dictionary \
    -artifact_prefix="$TARGET_DIR/found/$name/" -max_total_time="$SECONDS_EACH" -max_len="$(longest "$name")" \
    -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 >"$TARGET_DIR/$name.log" 2>&1 || status=$?
  runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$TARGET_DIR/$name.log")"
  rss="$(sed -n 's/^stat::peak_rss_mb: *//p' "$TARGET_DIR/$name.log")"
  if [ "$status" -eq 0 ]; then
    echo "fuzz: $name: ${runs} runs, ${rss} MB at most, nothing found"
  else
    echo "fuzz: $name: broken after ${runs:-?} runs; see $TARGET_DIR/$name.log and $TARGET_DIR/found/$name"
    return 1
  fi
}

longest() {
  case "$1" in
    bootstrap) echo 16384 ;;
    path | format_string | http_preface) echo 512 ;;
    *) echo 4096 ;;
  esac
}

if [ "${RUN_ONE:-}" ]; then
  run "$RUN_ONE"
  exit
fi
# What `cargo fuzz` passes, without a sanitizer: the code is safe Rust, and panics are what is looked for.
COVERAGE="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
COVERAGE="$COVERAGE -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# `--target` keeps the flags away from build scripts.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="$COVERAGE" CARGO_TARGET_DIR="$TARGET_DIR/build" cargo build --release --bins --target "$HOST"

[ "$#" -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | grep -v '^ninon-fuzz$')
printf '%s\n' "$@" | FUZZ_SECONDS="$SECONDS_EACH" xargs -P "$JOBS" -I{} env RUN_ONE={} sh ./run.sh
