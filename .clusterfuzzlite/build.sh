#!/bin/bash -eu
# Builds the targets for ClusterFuzzLite and OSS-Fuzz. Their images set the variables and the compilers' flags, and run
# this without arguments. `.ci/oss-fuzz` runs it on any machine; with arguments it builds only these targets.
#
# In $OUT each target has its program, its seeds as a zip file, its dictionary, and libFuzzer's options.
cd "$SRC/atlas-model-keys"

case $SANITIZER in
  address | memory | thread) flag=$SANITIZER ;;
  # Coverage is a flag of the compiler, which the images set.
  *) flag=none ;;
esac
if (($# == 0)); then
  cargo fuzz build --fuzz-dir fuzz --sanitizer "$flag"
  mapfile -t targets < <(basename --suffix .rs --multiple fuzz/fuzz_targets/*.rs)
else
  targets=("$@")
  for target in "${targets[@]}"; do
    cargo fuzz build --fuzz-dir fuzz --sanitizer "$flag" "$target"
  done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
programs=${CARGO_TARGET_DIR:-fuzz/target}/$host/release
for target in "${targets[@]}"; do
  cp "$programs/$target" "fuzz/options/$target.options" "$OUT/"
  # Not every input contains texts.
  [[ ! -f fuzz/dictionaries/$target.dict ]] || cp "fuzz/dictionaries/$target.dict" "$OUT/"
  inputs=("seeds/$target")
  [[ ! -d fuzz/regressions/$target ]] || inputs+=("regressions/$target")
  (cd fuzz && zip -q -r "$OUT/${target}_seed_corpus.zip" "${inputs[@]}")
done
