#!/usr/bin/env bash
# Assembles a rustup toolchain that can build for wasm32-wasip2 where rustup's own target is not
# to be had: Debian's rustc, its std source and its wasi-libc, with the active toolchain's cargo
# and wasm linkers. Nothing is installed system-wide: packages are unpacked, not installed.
#
# Usage: assemble-toolchain.sh DIR NAME STAMP     (called by `cargo xtask`, which holds a lock)
# DIR is replaced as a whole. DIR/.ok, with STAMP in it, is written last, so that a half-finished
# DIR is never used.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)   # the two .rs files lie beside this script
DIR=$1 NAME=$2 STAMP=$3 TARGET=wasm32-wasip2
say() { echo "skep-guests: $*" >&2; }

BASE=$(rustc --print sysroot)
HOST=$(rustc -vV | sed -n 's/^host: //p')
VERSION=$(apt-cache policy rust-web-src | sed -n 's/^ *Candidate: \([0-9]*\.[0-9]*\).*/\1/p')
LLVM=$(apt-cache depends "libstd-rust-web-$VERSION" | sed -n 's/^ *Depends: \(libllvm[0-9]*\)$/\1/p')
W=$(mktemp -d); trap 'rm -rf "$W"' EXIT

say "1/4 downloading Debian's rustc $VERSION, its std source, clippy and wasi-libc (about 150 MB, once)"
(cd "$W"; chmod 755 .
 apt-get download -q rustc-web libstd-rust-web-dev "libstd-rust-web-$VERSION" rust-web-src rust-web-clippy \
     "$LLVM" libz3-4 libedit2 wasi-libc
 for d in *.deb; do dpkg -x "$d" root; done) >"$W/apt.log" 2>&1 || { cat "$W/apt.log" >&2; exit 1; }

say "2/4 putting the toolchain together in $DIR"
R=$W/root/usr; rm -rf "$DIR"
mkdir -p "$DIR"/bin "$DIR/lib/rustlib/$HOST" "$DIR/lib/rustlib/$TARGET/lib/self-contained" "$DIR"/lib/rustlib/src
cp "$R"/bin/rustc "$R"/bin/rustdoc "$R"/bin/clippy-driver "$R"/bin/cargo-clippy "$DIR"/bin/
ln -s "$BASE"/bin/cargo "$DIR"/bin/cargo
cp -a "$R"/lib/*-linux-gnu/lib{rustc_driver,LLVM,z3,edit}*.so* "$DIR"/lib/
ln -s "$BASE"/lib/libLLVM.so.*-rust-* "$DIR"/lib/                    # rust-lld's own LLVM
cp -a "$R/lib/rustlib/$HOST/lib" "$DIR/lib/rustlib/$HOST/"
ln -s "$BASE/lib/rustlib/$HOST/bin" "$DIR/lib/rustlib/$HOST/bin"     # rust-lld, wasm-component-ld
cp "$R"/lib/wasm32-wasi/libc.a "$DIR/lib/rustlib/$TARGET/lib/self-contained/"
mv "$R"/src/rustc-* "$DIR"/lib/rustlib/src/rust
rustup toolchain link "$NAME" "$DIR"

say "3/4 compiling std for $TARGET (about a minute on two cores, once)"
mkdir -p "$W"/dummy/src; : > "$W"/dummy/src/lib.rs
printf '[package]\nname="dummy"\nversion="0.0.0"\nedition="2021"\n' > "$W"/dummy/Cargo.toml
# Embedded bitcode lets guests use lto = true.
(cd "$W"/dummy; env -u RUSTC_WRAPPER -u CARGO_TARGET_DIR RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
  cargo "+$NAME" build -q -Zbuild-std=std,panic_abort,proc_macro,test --release --target $TARGET --target-dir "$W"/t)
rm -f "$W"/t/$TARGET/release/deps/libdummy*
cp "$W"/t/$TARGET/release/deps/lib*.rlib "$DIR/lib/rustlib/$TARGET/lib/"

say "4/4 adding what Debian's wasi-libc lacks for std's wasip2 port"
# The stubs and the start function travel in the crt objects, which every link includes.
obj() { RUSTC_BOOTSTRAP=1 rustc "+$NAME" --edition 2024 --target $TARGET --crate-type lib --crate-name x \
  -O -C panic=abort -C codegen-units=1 --emit obj="$2" "$1"; }
obj "$HERE"/wasi_stubs.rs "$W"/stubs.o; obj "$HERE"/wasi_crt1_command.rs "$W"/start.o
SC=$DIR/lib/rustlib/$TARGET/lib/self-contained; LLD=$DIR/lib/rustlib/$HOST/bin/rust-lld
"$LLD" -flavor wasm -r "$W"/start.o "$W"/stubs.o -o "$SC"/crt1-command.o
"$LLD" -flavor wasm -r "$R"/lib/wasm32-wasi/crt1-reactor.o "$W"/stubs.o -o "$SC"/crt1-reactor.o
rm -rf "$DIR"/lib/rustlib/src   # 500 MB, needed for building std only
printf '%s' "$STAMP" > "$DIR/.ok"
