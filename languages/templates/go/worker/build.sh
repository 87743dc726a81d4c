#!/bin/sh
# Builds the component: a module by the Go compiler, made a component by Skep.
set -e
cd "$(dirname "$0")"
mkdir -p build
GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags="-s -w" -o build/core.wasm .
"${SKEP:-skep}" componentize build/core.wasm -o {{name}}.wasm
